/**
 * What all replicas share through one Redis server: spent proofs and the nonce key. No request waits for it to return. A
 * server that comes back without its data says so: proofs from before are refused, as after a restart of the memory.
 */

import { randomBytes } from 'node:crypto'
import {
  type Connection,
  isErrorReply,
  isOutOfMemory,
  openConnection,
  readUrl,
  replayPrefix,
  sinceName,
  within,
  withoutSecrets,
} from './redis-connection.ts'
import { createSharedRevocations, type SharedRevocations } from './redis-revocations.ts'
import type { ReplayStore, Spending } from './replay.ts'

export interface SharedState {
  readonly replay: ReplayStore
  readonly revocations: SharedRevocations
  isConnected(): boolean
  /** 32 bytes shared by every replica (for DPoP nonces), made by the first; undefined while they are not known yet. */
  nonceKey(): Buffer | undefined
  close(): Promise<void>
}

export interface SharedStateOptions {
  /** redis:// or rediss://, with user, password and database number if there are. */
  readonly url: string
  /** The CA file's text for rediss://; the system's own CAs where there is none. */
  readonly ca?: string | undefined
  /** Unix seconds: when the server begins to remember, if it comes without data. */
  readonly clock: () => number
  /** Longest wait for one command, milliseconds. */
  readonly timeoutMs?: number | undefined
  /** Told once per change. `problem` never holds the URL's credentials. */
  readonly onChange: (state: 'connected' | 'lost', problem?: string) => void
  /** Why what was revoked cannot be read, told once per change; undefined when it can again. */
  readonly onRevocations?: (problem: string | undefined) => void
}

const nonceName = 'meshbind:nonce-key'
const minBackoffMs = 50
const askAgainMs = 500
const maxBackoffMs = 1000
/** Two of them, and the reading, are within the 2 s in which a revocation is in force everywhere. */
const revocationsEveryMs = 500
const revocationsLimitMs = 1000

/** Returns at once; connects in the background and keeps trying for ever. Throws if the URL is none, without citing it. */
export function createSharedState(options: SharedStateOptions): SharedState {
  const timeoutMs = options.timeoutMs ?? 50
  const server = readUrl(options.url)
  let newest: Connection
  /** The newest, while it can be used. */
  let ready: Connection | undefined
  let remembersSince: number | undefined
  let failures = 0
  let retry: NodeJS.Timeout | undefined
  let closed = false
  let told: 'connected' | 'lost' | undefined
  let nonce: { readonly key: Buffer; readonly readFrom: Connection } | undefined

  function tell(state: 'connected' | 'lost', problem?: string): void {
    if (closed || state === told) return
    told = state
    try {
      options.onChange(state, problem === undefined ? undefined : withoutSecrets(problem, server))
    } catch {
      // the log is the listener's own affair
    }
  }

  function connect(): void {
    const connection = openConnection(server, options.ca, options.clock, {
      onReady(since, warning) {
        ready = connection
        remembersSince = since
        void learnNonceKey(connection)
        void followRevocations(connection)
        failures = 0
        tell('connected', warning)
      },
      onEnd(problem) {
        ready = undefined
        tell('lost', problem)
        if (!closed) retry = setTimeout(connect, backoffMs(failures++)).unref()
      },
    })
    newest = connection
  }

  /**
   * The mark is read after the proof was written: a server that was emptied meanwhile (FLUSHALL, a failover) would call
   * every spent proof fresh, and does not have the mark that this connection began with.
   *
   * A late answer is dropped: the proof may then be spent without having been used, and never used twice.
   */
  async function spend(key: string, seconds: number): Promise<Spending> {
    const connection = ready
    const since = remembersSince
    if (connection === undefined) return 'unavailable'
    try {
      const written = connection.send(['SET', replayPrefix + key, '1', 'NX', 'EX', String(seconds)])
      const marked = connection.send(['GET', sinceName])
      const [reply, mark] = await within(timeoutMs, Promise.all([written, marked]))
      if (mark !== String(since)) {
        connection.end(new Error('the server has lost what it remembered'))
        return 'unavailable'
      }
      return reply === 'OK' ? 'fresh' : reply === null ? 'spent' : 'unavailable'
    } catch (error) {
      if (isOutOfMemory(error)) return 'full'
      // READONLY after a failover, say: the address may lead to another server by now.
      if (isErrorReply(error)) connection.end(error)
      return 'unavailable'
    }
  }

  /**
   * Asked anew on every connection until it is told, and the known key is what is offered: so replicas agree again
   * after a server has come back without its data.
   */
  async function learnNonceKey(connection: Connection): Promise<void> {
    while (ready === connection && nonce?.readFrom !== connection) {
      await readNonceKey(connection).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, askAgainMs).unref())
    }
  }

  const revocations = createSharedRevocations((command) => {
    const connection = ready
    return connection === undefined
      ? Promise.reject(new Error('not connected'))
      : within(revocationsLimitMs, connection.send(command))
  }, options.clock)

  let revocationProblem: string | undefined
  function tellOfRevocations(problem: string | undefined): void {
    // A connection that is lost has been told of.
    if (closed || problem === revocationProblem || (problem && ready === undefined)) return
    revocationProblem = problem
    options.onRevocations?.(problem)
  }

  /** No request waits for it: checks look at what was read last. */
  async function followRevocations(connection: Connection): Promise<void> {
    revocations.suspectLoss()
    while (ready === connection) {
      await revocations.refresh().then(
        () => tellOfRevocations(undefined),
        (error: Error) => tellOfRevocations(withoutSecrets(error.message, server)),
      )
      await new Promise((resolve) => setTimeout(resolve, revocationsEveryMs).unref())
    }
  }

  async function readNonceKey(connection: Connection): Promise<void> {
    const offer = nonce?.key ?? randomBytes(32)
    // A server that is out of memory still tells the key that it has.
    connection.send(['SET', nonceName, offer.toString('hex'), 'NX']).catch(() => {})
    const reply = await within(timeoutMs, connection.send(['GET', nonceName]))
    const text = typeof reply === 'string' && /^[0-9a-f]{64}$/.test(reply) ? reply : undefined
    if (text !== undefined) nonce = { key: Buffer.from(text, 'hex'), readFrom: connection }
  }

  connect()
  return {
    replay: {
      get remembersSince() {
        return remembersSince
      },
      spend: (key, expiresAt, now) => spend(key, Math.max(1, Math.ceil(expiresAt - now) + 1)),
    },
    revocations,
    isConnected: () => ready !== undefined,
    nonceKey: () => nonce?.key,
    async close() {
      closed = true
      clearTimeout(retry)
      newest.end(new Error('closed'))
    },
  }
}

/** Replicas that lost one server do not all come back in the same instant. */
function backoffMs(failures: number): number {
  return Math.min(maxBackoffMs, minBackoffMs * 2 ** failures) * (0.5 + Math.random() / 2)
}
