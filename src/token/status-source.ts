/** Keeps the status lists that tokens point to fresh in the background, so that no check ever waits for one (draft-ietf-oauth-status-list-20 §8). */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { type JsonObject, member } from '../strict-json.ts'
import type { FetchedDocument } from './fetch.ts'
import type { SignatureKeys } from './signed-text.ts'
import { readStatusClaim, type StatusList } from './status-list.ts'
import { readStatusListToken, type SignedStatusList } from './status-list-token.ts'

export type StatusFetchResult = 'ok' | 'unusable' | 'failed'

export interface StatusListOptions {
  /** The hosts that lists may come from: lower case, without port; an IPv6 address in brackets. */
  readonly hosts: ReadonlySet<string>
  /** A list answers for this long after it was fetched, or until its `exp`. */
  readonly maxStaleSeconds: number
  readonly clockSkewSeconds: number
  /** Reads the document once, bounded in time and in size (`maxStatusListLength`); throws if it cannot be had. */
  readonly load: (url: URL) => Promise<FetchedDocument>
  /** Who signs the lists for an issuer's tokens (exact `iss`): the issuer itself, or whom the policy names. */
  readonly keys: (issuer: string) => SignatureKeys | undefined
  /** Unix seconds. */
  readonly clock: () => number
  /** Told of each read; `error` holds no content of the document. */
  readonly onFetch?: (host: string, result: StatusFetchResult, error?: string) => void
}

export interface StatusLists {
  /** For the claims of a token that is verified already (§8.3: an invalid one must not cause a fetch). */
  judge(claims: JsonObject): Refusal | undefined
  /** Ends the background reads. */
  close(): void
}

/** The one that was asked for the longest ago goes first. */
export const maxLists = 64
/** After a read that failed, whatever asks for the list. */
export const retrySeconds = 10
const minRefreshSeconds = 5
/** A list that no token has pointed to for so long is not kept fresh any more. */
const forgetAfterSeconds = 3600
const sweepMs = 1000

interface Entry {
  readonly issuer: string
  readonly uri: string
  readonly url: URL
  usedAt: number
  triedAt: number
  /** From one read to the next. */
  waitSeconds: number
  isUnderWay: boolean
  current: (SignedStatusList & { readonly fetchedAt: number }) | undefined
}

/** A list is known by the issuer whose tokens point to it and by its URI: no issuer answers for another one's tokens. */
export function createStatusLists(options: StatusListOptions): StatusLists {
  const { clock, clockSkewSeconds, maxStaleSeconds } = options
  /** In the order of use. */
  const entries = new Map<string, Entry>()

  function entryOf(issuer: string, uri: string, url: URL): Entry {
    const name = JSON.stringify([issuer, uri])
    const entry = entries.get(name) ?? createEntry(issuer, uri, url)
    entries.delete(name)
    entries.set(name, entry)
    const [oldest] = entries.keys()
    if (entries.size > maxLists && oldest !== undefined) entries.delete(oldest)
    return entry
  }

  /** A key that has gone takes the lists that it signed with it, as it takes its tokens. */
  function isSigned({ issuer, current }: Entry): boolean {
    return current !== undefined && options.keys(issuer)?.isCurrent(current.key) === true
  }

  function listInForce(entry: Entry, now: number): StatusList | undefined {
    const { current } = entry
    if (current === undefined || !isSigned(entry)) return undefined
    if (now >= current.expiresAt + clockSkewSeconds) return undefined
    return elapsed(current.fetchedAt, now) <= maxStaleSeconds ? current.list : undefined
  }

  function refreshIfDue(entry: Entry, now: number): void {
    const lostKey = entry.current !== undefined && !isSigned(entry)
    const wait = lostKey ? Math.min(entry.waitSeconds, retrySeconds) : entry.waitSeconds
    if (!entry.isUnderWay && elapsed(entry.triedAt, now) >= wait) void refresh(entry, now)
  }

  /** What fails or cannot be used leaves the list before in force, for its time. */
  async function refresh(entry: Entry, startedAt: number): Promise<void> {
    entry.isUnderWay = true
    entry.triedAt = startedAt
    entry.waitSeconds = retrySeconds
    try {
      const { bytes } = await options.load(entry.url)
      const problem = await take(entry, Buffer.from(bytes).toString('latin1'))
      report(entry, problem === undefined ? 'ok' : 'unusable', problem)
    } catch (error) {
      report(entry, 'failed', error instanceof Error ? error.message : 'unknown error')
    } finally {
      entry.isUnderWay = false
    }
  }

  /** What is wrong with the text, or undefined: then it is the list from now on. */
  async function take(entry: Entry, text: string): Promise<string | undefined> {
    const keys = options.keys(entry.issuer)
    if (keys === undefined) return 'there are no keys for the issuer of the token'
    const now = clock()
    const notBefore = entry.current?.issuedAt ?? 0
    const rules = { uri: entry.uri, keys, clockSkewSeconds, notBefore, now }
    const read = await readStatusListToken(text, rules)
    if (typeof read === 'string') return read
    entry.current = { ...read, fetchedAt: now }
    // At half its time at the latest, so that a read may fail before anything is refused.
    const halfLife = Math.floor(Math.min(maxStaleSeconds, read.expiresAt - now) / 2)
    entry.waitSeconds = Math.max(minRefreshSeconds, Math.min(read.ttlSeconds, halfLife))
    return undefined
  }

  /** What is told about a read must not end the reading. */
  function report({ url }: Entry, result: StatusFetchResult, error?: string): void {
    try {
      options.onFetch?.(url.hostname, result, error)
    } catch {
      // the log is the listener's own affair
    }
  }

  /** Without it a list would go stale between two requests that are far apart, and the second would be refused. */
  function sweep(): void {
    const now = clock()
    for (const [name, entry] of entries) {
      if (elapsed(entry.usedAt, now) > forgetAfterSeconds) entries.delete(name)
      else refreshIfDue(entry, now)
    }
  }

  const timer = setInterval(sweep, sweepMs).unref()
  return {
    judge(claims) {
      const claim = readStatusClaim(claims)
      if (claim === undefined || isRefusal(claim)) return claim
      const issuer = member(claims, 'iss')
      const url = URL.parse(claim.uri)
      if (typeof issuer !== 'string' || url === null || !options.hosts.has(url.hostname))
        return refuse('revocation_stale', 'the status list is on a host that is not listed')
      const now = clock()
      const entry = entryOf(issuer, claim.uri, url)
      entry.usedAt = now
      refreshIfDue(entry, now)
      const list = listInForce(entry, now)
      if (list === undefined) return refuse('revocation_stale', 'no fresh status list')
      const status = list.status(claim.index)
      if (status === 0) return undefined
      // §8.3: about an index beyond the list nothing can be said, and the token must be rejected.
      const detail = status === undefined ? 'index beyond the status list' : 'status list'
      return refuse('token_revoked', detail)
    },
    close: () => clearInterval(timer),
  }
}

function createEntry(issuer: string, uri: string, url: URL): Entry {
  return {
    issuer,
    uri,
    url,
    usedAt: 0,
    triedAt: Number.NEGATIVE_INFINITY,
    waitSeconds: 0,
    isUnderWay: false,
    current: undefined,
  }
}

/** A clock that was set back counts as time gone by: nothing stays fresh because of it. */
function elapsed(since: number, now: number): number {
  return Math.abs(now - since)
}
