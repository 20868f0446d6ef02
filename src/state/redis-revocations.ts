/** Revocations that all replicas share through Redis: one sorted set of entries by their end, and a number that tells of every change. */

import { randomUUID } from 'node:crypto'
import type { RevocationStore } from './revocation-feed.ts'
import {
  createRevocationIndex,
  type Revocation,
  type RevocationEntry,
  type RevocationIndex,
  type RevocationKind,
  revocationKinds,
} from './revocations.ts'

export const revocationsName = 'meshbind:revocations'
const versionName = 'meshbind:revocations:version'
/** Another one than before: the server has lost its data, and begun anew. */
const epochName = 'meshbind:revocations:epoch'
/** What may be written. Twice as much is read: writers that race, and replicas that restore, must not end the reading. */
const maxEntries = 100_000
const sliceEntries = 5000
/** Two texts of 2048 characters, each of which JSON may spell with six. */
const maxMemberLength = 32 * 1024

/** Sends one command on the connection that stands; rejects where there is none, or no answer in time. */
export type Send = (command: readonly string[]) => Promise<unknown>

export interface SharedRevocations extends RevocationStore {
  /** Resolves with the first reading that succeeds. */
  readonly tried: Promise<void>
  /** Reads what has changed since the last reading; rejects if it cannot. To be called again and again. */
  refresh(): Promise<void>
  list(): readonly RevocationEntry[]
  /** Takes every entry for the same out, whatever its `before`. */
  remove(revocation: Revocation): Promise<number>
}

/**
 * @param clock Unix seconds.
 */
export function createSharedRevocations(send: Send, clock: () => number): SharedRevocations {
  let known: readonly RevocationEntry[] = []
  let index: RevocationIndex | undefined
  let version = 0
  let epoch: unknown
  let readAt = Number.NEGATIVE_INFINITY
  let firstRead: () => void = () => {}
  const tried = new Promise<void>((resolve) => {
    firstRead = resolve
  })

  async function refresh(): Promise<void> {
    const reply = await send(['MGET', epochName, versionName])
    const [currentEpoch, current] = Array.isArray(reply) ? reply : []
    const found = Number(current ?? 0)
    // A server that has lost data (a restart, a failover to a replica behind) is told again what is still known here.
    const lost = currentEpoch !== epoch || found < version
    if (lost && known.length > 0) await write(known)
    if (lost || index === undefined || found !== version) await readAll()
    ;[epoch, version] = [currentEpoch, found]
    readAt = clock()
    firstRead()
  }

  /** In slices, between which checks go on. */
  async function readAll(): Promise<void> {
    const now = clock()
    const entries: RevocationEntry[] = []
    for (let from = 0; ; from += sliceEntries) {
      if (from > 2 * maxEntries) throw new Error(`more than ${2 * maxEntries} revocations`)
      const range = [revocationsName, `(${now}`, '+inf', 'WITHSCORES']
      const slice = ['LIMIT', String(from), String(sliceEntries)]
      const reply = await send(['ZRANGEBYSCORE', ...range, ...slice])
      if (!Array.isArray(reply)) throw new Error('not a list of entries')
      entries.push(...readSlice(reply))
      if (reply.length < 2 * sliceEntries) break
    }
    known = entries
    index = createRevocationIndex(entries)
  }

  async function write(entries: readonly RevocationEntry[]): Promise<void> {
    const members = entries.flatMap(({ revocation, until }) => [
      scoreOf(until),
      memberOf(revocation),
    ])
    await send(['SET', epochName, randomUUID(), 'NX'])
    // GT: an entry that is there stays for the longer of the two times.
    for (let from = 0; from < members.length; from += 2 * sliceEntries)
      await send(['ZADD', revocationsName, 'GT', ...members.slice(from, from + 2 * sliceEntries)])
    await send(['INCR', versionName])
  }

  /** By the server's clock: one writer's that is ahead would delete what is in force. A login may lack the right. */
  async function forgetExpired(): Promise<void> {
    try {
      const [now] = (await send(['TIME'])) as readonly string[]
      await send(['ZREMRANGEBYSCORE', revocationsName, '-inf', String(Number(now) - 60)])
    } catch {
      // expired entries hit nothing; another writer deletes them
    }
  }

  return {
    get index() {
      return index
    },
    get readAt() {
      return readAt
    },
    tried,
    refresh,
    list: () => known,
    async add(entries) {
      try {
        await forgetExpired()
        const size = Number(await send(['ZCARD', revocationsName]))
        if (size + entries.length > maxEntries) return 'unavailable'
        await write(entries)
        await refresh()
        return 'stored'
      } catch {
        return 'unavailable'
      }
    },
    async remove(revocation) {
      const { before: _, ...name } = revocation as Revocation & { before?: number }
      const same = known.filter(({ revocation: { ...each } }) => {
        if ('before' in each) delete each.before
        return memberOf(each) === memberOf(name as Revocation)
      })
      if (same.length === 0) return 0
      const members = same.map((entry) => memberOf(entry.revocation))
      const removed = await send(['ZREM', revocationsName, ...members])
      await send(['INCR', versionName])
      await refresh()
      return Number(removed)
    },
  }
}

/** One spelling for each, so that the same entry is one member. */
function memberOf(revocation: Revocation): string {
  const sorted = Object.entries(revocation)
    .filter(([, value]) => value !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(sorted))
}

function scoreOf(until: number): string {
  return until === Number.POSITIVE_INFINITY ? '+inf' : String(until)
}

/** What others have written is read strictly; a member that is none of ours hits nothing and is passed over. */
function readSlice(reply: readonly unknown[]): RevocationEntry[] {
  const entries: RevocationEntry[] = []
  for (let i = 0; i + 1 < reply.length; i += 2) {
    const revocation = readMember(reply[i])
    const until = reply[i + 1] === 'inf' ? Number.POSITIVE_INFINITY : Number(reply[i + 1])
    if (revocation !== undefined && !Number.isNaN(until)) entries.push({ revocation, until })
  }
  return entries
}

function readMember(text: unknown): Revocation | undefined {
  if (typeof text !== 'string' || text.length > maxMemberLength) return undefined
  try {
    const member: unknown = JSON.parse(text)
    return isRevocation(member) && memberOf(member) === text ? member : undefined
  } catch {
    return undefined
  }
}

const ofIssuer: ReadonlySet<RevocationKind> = new Set(['jti', 'subject', 'session', 'key'])

function isRevocation(value: unknown): value is Revocation {
  if (typeof value !== 'object' || value === null) return false
  const { before, ...names } = value as { readonly [name: string]: unknown }
  const kinds = revocationKinds.filter((kind) => kind in names)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) return false
  const expected = ofIssuer.has(kind) ? 2 : 1
  return (
    Object.keys(names).length === expected &&
    ofIssuer.has(kind) === 'issuer' in names &&
    Object.values(names).every((name) => typeof name === 'string') &&
    (before === undefined || Number.isSafeInteger(before))
  )
}
