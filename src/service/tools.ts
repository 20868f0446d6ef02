/** The live parts that outlast a policy, put together from the settings: caches of facts, spent proofs, the nonce key. */

import { randomBytes } from 'node:crypto'
import type { Tools } from '../check.ts'
import { minNonceKeyBytes } from '../confirmation/nonce.ts'
import { CommandError } from '../exit.ts'
import type { Log } from '../observe/log.ts'
import { createMemoryReplay } from '../state/memory.ts'
import { createSharedState, type SharedState, type SharedStateOptions } from '../state/redis.ts'
import type { ReplayStore, Spending } from '../state/replay.ts'
import { createMemoryRevocations, type RevocationStore } from '../state/revocation-feed.ts'
import { inTime } from '../time-limit.ts'
import { readBoundedFile } from './read-file.ts'
import { assembleTools } from './tool-set.ts'
import type { WorkerMemory } from './worker-calls.ts'

export interface StateSettings {
  /** `memory`, or the URL of a Redis server. */
  readonly state: string
  readonly nonceKeyFile: string | undefined
}

export interface LiveTools {
  readonly tools: Tools
  readonly revocations: RevocationStore
  /** Spent proofs in memory; undefined where Redis keeps them. */
  replayEntries(): number | undefined
  /** Undefined where there is no shared state. */
  sharedConnected(): boolean | undefined
  /** What was revoked has been read once. */
  readonly tried: Promise<void>
  /** What workers have to know of this process's memory; undefined where Redis knows it. */
  memory(): WorkerMemory | undefined
  close(): Promise<void>
}

const maxNonceKeyBytes = 4096
/** As with Redis: a check that waits longer takes a place from those that need no proof. */
const spendLimitMs = 50
const unavailable = () => 'unavailable' as const

/** @param clock Unix seconds: memory knows nothing of what was spent before its start. */
export async function createTools(
  settings: StateSettings,
  log: Log,
  clock: () => number,
): Promise<LiveTools> {
  const fixedKey = await readNonceKey(settings.nonceKeyFile)
  if (settings.state === 'memory') {
    const remembersSince = clock()
    const replay = createMemoryReplay(remembersSince, {
      monotonic: () => performance.now() / 1000,
    })
    const revocations = createMemoryRevocations(clock)
    const nonceKey = fixedKey ?? randomBytes(minNonceKeyBytes)
    return {
      ...createToolsInMemory(replay, revocations, nonceKey),
      replayEntries: () => replay.size,
      memory: () => ({ remembersSince, nonceKey, revocations: revocations.entries() }),
    }
  }
  const shared = connectState({
    url: settings.state,
    clock,
    onChange(state, problem) {
      if (state === 'lost')
        log.app.warn(
          { problem },
          'shared state lost: what needs it is refused as state_unavailable',
        )
      else log.app.info({ warning: problem }, 'shared state connected')
    },
    onRevocations(problem) {
      if (problem === undefined) log.app.info('revocations read from the shared state')
      else log.app.error({ problem }, revocationsUnread)
    },
  })
  return {
    tools: assembleTools(shared, () => fixedKey ?? shared.nonceKey()),
    revocations: shared.revocations,
    replayEntries: () => undefined,
    sharedConnected: () => shared.isConnected(),
    tried: shared.revocations.tried,
    memory: () => undefined,
    close: () => shared.close(),
  }
}

/**
 * What the first process remembers for all of its workers: proofs are spent there, and revocations are told here.
 *
 * @param spend Rejects where the first process does not answer.
 */
export async function createToolsOfWorker(
  { remembersSince, nonceKey, revocations }: WorkerMemory,
  spend: (...proof: Parameters<ReplayStore['spend']>) => Promise<Spending>,
  clock: () => number,
): Promise<LiveTools> {
  const store = createMemoryRevocations(clock)
  await store.add(revocations)
  const replay: ReplayStore = {
    remembersSince,
    spend: (...proof) =>
      inTime<Spending>(spendLimitMs, spend(...proof), unavailable, { ref: false }).catch(
        unavailable,
      ),
  }
  return createToolsInMemory(replay, store, Buffer.from(nonceKey))
}

function createToolsInMemory(
  replay: ReplayStore,
  revocations: RevocationStore,
  nonceKey: Buffer,
): LiveTools {
  return {
    tools: assembleTools({ replay, revocations }, () => nonceKey),
    revocations,
    replayEntries: () => undefined,
    sharedConnected: () => undefined,
    tried: Promise.resolve(),
    memory: () => undefined,
    close: async () => {},
  }
}

const revocationsUnread =
  'revocations cannot be read from the shared state: may this user run MGET, ZADD, ZREM, ZCARD, ZRANGEBYSCORE and ZREMRANGEBYSCORE? Without them tokens are refused as state_unavailable, or as revocation_stale after five minutes'

function connectState(options: SharedStateOptions): SharedState {
  try {
    return createSharedState(options)
  } catch (error) {
    throw new CommandError(`--state: ${error instanceof Error ? error.message : 'cannot be used'}`)
  }
}

async function readNonceKey(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  const bytes = await readBoundedFile(file, maxNonceKeyBytes).catch((error: Error) => {
    throw new CommandError(`--nonce-key-file: ${error.message}`)
  })
  if (bytes.length < minNonceKeyBytes) {
    throw new CommandError(
      `--nonce-key-file: ${file}: has fewer than ${minNonceKeyBytes} bytes; make one with: openssl rand -out ${file} 32`,
    )
  }
  return bytes
}
