/** The revocations that are written while meshbind runs, and their reading back: in this process, or shared (redis-revocations.ts). */

import {
  createRevocationIndex,
  kindOf,
  type Revocation,
  type RevocationEntry,
  type RevocationIndex,
} from './revocations.ts'

export interface RevocationFeed {
  /** Undefined while it has never been read: then nobody knows what was revoked before this process started. */
  readonly index: RevocationIndex | undefined
  /** Unix seconds of the last reading that succeeded; undefined where nothing has to be read. */
  readonly readAt: number | undefined
}

export interface RevocationStore extends RevocationFeed {
  /** Adding an entry again changes nothing. `stored`: in force here, and on its way to every replica. Never rejects. */
  add(entries: readonly RevocationEntry[]): Promise<'stored' | 'unavailable'>
}

/** No policy takes tokens that live longer (policy/meaning.ts), so what was revoked is dead by then. */
export const longestTokenLifeSeconds = 30 * 24 * 3600
/** Clocks of issuers and replicas may differ by as much as `clockSkew` may be. */
const marginSeconds = 300

/**
 * When an entry can hit nothing any more: the tokens that it names were issued before `before`, or before now. Without
 * `before` it names tokens that are yet to be issued too, and stays.
 */
export function endOf(revocation: Revocation, now: number): number {
  const before = 'before' in revocation ? revocation.before : undefined
  const ofToken = now + marginSeconds
  const lastIssued = before ?? (kindOf(revocation) === 'jti' ? ofToken : Number.POSITIVE_INFINITY)
  return lastIssued + longestTokenLifeSeconds + marginSeconds
}

/** What may be written. */
export const maxEntries = 100_000

export interface MemoryRevocations extends RevocationStore {
  entries(): readonly RevocationEntry[]
}

/** In this process's own memory: gone with it, and known to no other replica. */
export function createMemoryRevocations(clock: () => number): MemoryRevocations {
  let entries = new Map<string, RevocationEntry>()
  let index = createRevocationIndex([])
  return {
    get index() {
      return index
    },
    readAt: undefined,
    entries: () => [...entries.values()],
    async add(added) {
      const now = clock()
      const live = [...entries].filter(([, { until }]) => until > now)
      const next = new Map(live)
      for (const entry of added) next.set(JSON.stringify(entry.revocation), entry)
      if (next.size > maxEntries) return 'unavailable'
      entries = next
      index = createRevocationIndex(entries.values())
      return 'stored'
    },
  }
}
