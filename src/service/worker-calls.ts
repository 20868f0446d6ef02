/** What the first process and its workers ask of each other, over the channel that Node opens between them. */

import { type BirpcReturn, createBirpc } from 'birpc'
import type { Spending } from '../state/replay.ts'
import type { RevocationEntry } from '../state/revocations.ts'
import type { Counts } from './figures.ts'
import type { InForce } from './policy-keeper.ts'

/** What a worker asks of the first process. */
export interface CallsToFirst {
  begin(): WorkerStart
  /** It answers checks from now on. */
  serving(): void
  /** It has the connection of that number; and one of those that it had has gone. */
  took(connection: number): void
  left(): void
  /** A proof is good for one request, whichever worker it comes to. */
  spend(key: string, expiresAt: number, now: number): Spending | Promise<Spending>
  /** Told to drain, it has: all that it has counted. */
  ended(counts: Counts): Promise<void>
}

/** What the first process asks of a worker. */
export interface CallsToWorker {
  /** Also the question whether it still lives. */
  state(): Promise<WorkerState>
  count<Name extends keyof Counts>(name: Name): Promise<Counts[Name]>
  revoke(entries: readonly RevocationEntry[]): Promise<'stored' | 'unavailable'>
  leave(): Promise<void>
  /** Begins the drain; `ended` tells of its end. */
  drain(limitMs: number): void
}

export interface WorkerStart {
  /** From 1; the one that replaces it has the same. */
  readonly number: number
  readonly inForce: InForce
  /** What the first process remembers for all; undefined where Redis does. */
  readonly memory: WorkerMemory | undefined
}

export interface WorkerMemory {
  /** Unix seconds. */
  readonly remembersSince: number
  readonly nonceKey: Uint8Array
  readonly revocations: readonly RevocationEntry[]
}

export interface WorkerState {
  readonly policyRevision: string
  readonly inFlight: number
}

/** The message that a connection comes with. */
export interface Handover {
  readonly connection: number
}

export function isHandover(message: unknown): message is Handover {
  return typeof message === 'object' && message !== null && 'connection' in message
}

/** The process at the other end: a worker, or for a worker its own `process`. */
interface Channel {
  send?(message: unknown, handle: undefined, options: object, done: () => void): unknown
  on(event: 'message', listener: (message: unknown) => void): unknown
}

export type First = BirpcReturn<CallsToFirst, CallsToWorker>
export type Worker = BirpcReturn<CallsToWorker, CallsToFirst>

/** Who does not answer within this has lost its event loop. */
export const answerLimitMs = 10_000

export function callFirst(channel: Channel, own: CallsToWorker): First {
  return createBirpc<CallsToFirst, CallsToWorker>(own, over(channel))
}

export function callWorker(channel: Channel, own: CallsToFirst): Worker {
  return createBirpc<CallsToWorker, CallsToFirst>(own, over(channel))
}

function over(channel: Channel) {
  return {
    timeout: answerLimitMs,
    // Not waited for: behind a connection that a hanging worker does not take nothing is sent, and nothing is called back.
    post(message: unknown): void {
      channel.send?.(message, undefined, {}, () => {})
    },
    on: (take: (message: unknown) => void) =>
      channel.on('message', (message) => {
        if (!isHandover(message)) take(message)
      }),
  }
}
