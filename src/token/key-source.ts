/** Keeps one issuer's keys fresh in the background, so that no check ever waits for a key server. */

import { type Refusal, refuse } from '../decision/decision.ts'
import { inTime } from '../time-limit.ts'
import type { Algorithm } from './algorithms.ts'
import type { FetchedDocument } from './fetch.ts'
import { importKeySet, type KeyUse, selectKey, type VerificationKey } from './key-set.ts'

export type KeyFetchResult = 'ok' | 'unusable' | 'failed'

export interface KeySourceOptions {
  /** Reads the document once; throws if it cannot be had. Bounded in size by its maker, in time here as well. The signal gives it up. */
  readonly load: (signal: AbortSignal) => Promise<FetchedDocument>
  readonly algorithms: readonly Algorithm[]
  /** Default `sig`. */
  readonly use?: KeyUse
  /** Unix seconds. */
  readonly clock: () => number
  /** Seconds between reads where the document does not say; 300 for a URL, 3 for a file. */
  readonly refreshSeconds: number
  /** Told of each read; `error` holds no secret and no content of the document. */
  readonly onFetch?: (result: KeyFetchResult, error?: string) => void
}

export interface KeySource {
  /** The first read has ended, well or badly. */
  readonly tried: Promise<void>
  /** The key for a token's header; `unknown` starts a read unless one was made within the cooldown. */
  find(keyId: string | undefined, algorithm: string): VerificationKey | 'unknown' | 'unavailable'
  /** Whether a key that verified a token earlier is still in force. */
  isCurrent(key: VerificationKey): boolean
  /** Since the last read that brought keys; Infinity before that. */
  ageSeconds(): number
  /** Reads now, or joins the read that is under way. */
  refresh(): Promise<void>
  /** Ends the background reads. */
  close(): void
}

/** Last good keys serve this long while their source fails; then `unavailable`. */
export const maxStaleSeconds = 3600
/** At most one read per this many seconds because of an unknown `kid`, whatever the read brought. */
export const unknownKeyCooldownSeconds = 10
const retrySeconds = 10
/** A read that has not ended by then has failed: a file on a mount that hangs, say. */
const readLimitMs = 15_000
const late = () => {
  throw new Error(`no end within ${readLimitMs} ms`)
}
const minRefreshSeconds = 60
const maxRefreshSeconds = 600

export function createKeySource(options: KeySourceOptions): KeySource {
  let keys: readonly VerificationKey[] = []
  let goodAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let underWay: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const end = new AbortController()

  const ageSeconds = () => options.clock() - goodAt
  const isStale = () => ageSeconds() > maxStaleSeconds

  /** What is told about a read must not end the reading. */
  function report(result: KeyFetchResult, error?: string): void {
    try {
      options.onFetch?.(result, error)
    } catch {
      // the log is the listener's own affair
    }
  }

  /** Starts a read unless one was made within the cooldown; a clock that was set back does not count as one. */
  function refreshUnlessRecent(): void {
    const since = options.clock() - triedAt
    if (since < 0 || since >= unknownKeyCooldownSeconds) void refresh()
  }

  async function read(): Promise<void> {
    triedAt = options.clock()
    let nextSeconds = Math.min(retrySeconds, options.refreshSeconds)
    try {
      const document = await inTime(readLimitMs, options.load(end.signal), late, { ref: false })
      const fresh = await importKeySet(document.bytes, options.algorithms, keys, options.use)
      if (fresh === undefined) {
        report('unusable', 'not a JWK Set with at least one usable key')
      } else {
        keys = fresh
        goodAt = options.clock()
        nextSeconds = refreshAfter(document, options.refreshSeconds)
        report('ok')
      }
    } catch (error) {
      if (closed) return
      report('failed', error instanceof Error ? error.message : 'unknown error')
    }
    if (!closed) timer = setTimeout(refresh, nextSeconds * 1000).unref()
  }

  function refresh(): Promise<void> {
    if (underWay === undefined) {
      clearTimeout(timer)
      underWay = read().finally(() => {
        underWay = undefined
      })
    }
    return underWay
  }

  return {
    tried: refresh(),
    find(keyId, algorithm) {
      const key = isStale() ? undefined : selectKey(keys, keyId, algorithm)
      if (key !== undefined) return key
      refreshUnlessRecent()
      return isStale() ? 'unavailable' : 'unknown'
    },
    ageSeconds,
    isCurrent: (key) => keys.includes(key) && !isStale(),
    refresh,
    close() {
      closed = true
      clearTimeout(timer)
      end.abort()
    },
  }
}

/** The key for a token's header, or why there is none. */
export function findKey(
  keys: Pick<KeySource, 'find'>,
  keyId: string | undefined,
  algorithm: string,
): VerificationKey | Refusal {
  const key = keys.find(keyId, algorithm)
  if (key === 'unavailable') return refuse('keys_unavailable')
  return key === 'unknown' ? refuse('token_key_unknown') : key
}

/** A server's `max-age` is taken within bounds: neither a busy loop nor a key that can never be withdrawn. */
function refreshAfter(document: FetchedDocument, refreshSeconds: number): number {
  if (document.maxAgeSeconds === undefined) return refreshSeconds
  return Math.min(Math.max(document.maxAgeSeconds, minRefreshSeconds), maxRefreshSeconds)
}
