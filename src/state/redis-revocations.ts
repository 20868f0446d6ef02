/** Revocations that all replicas share through Redis: one sorted set of entries by their end, and a mark that every change renews. */

import { randomUUID } from 'node:crypto'
import { maxEntries, type RevocationStore } from './revocation-feed.ts'
import {
  createRevocationIndex,
  isOfIssuer,
  type Revocation,
  type RevocationEntry,
  type RevocationIndex,
  revocationKinds,
} from './revocations.ts'

export const revocationsName = 'meshbind:revocations'
const versionName = 'meshbind:revocations:version'
/** Another one than before: the server has lost its data, and begun anew. */
const epochName = 'meshbind:revocations:epoch'
const sliceEntries = 5000
/** A set that changes all the time is read as it is in the end; the next reading follows in half a second. */
const maxReadings = 5

/** Two texts of 2048 characters, each of which JSON may spell with six. */
const maxMemberLength = 32 * 1024

/** Epoch and version: the same while nothing has changed. */
type Mark = readonly [epoch: unknown, version: unknown]

/** Sends one command on the connection that stands; rejects where there is none, or no answer in time. */
export type Send = (command: readonly string[]) => Promise<unknown>

export interface SharedRevocations extends RevocationStore {
  /** Resolves with the first reading that succeeds. */
  readonly tried: Promise<void>
  /** Reads what has changed since the last reading; rejects if it cannot. To be called again and again. */
  refresh(): Promise<void>
  /** The connection is new: it may lead to a server that has less than the one before. */
  suspectLoss(): void
  list(): readonly RevocationEntry[]
  /** Takes every entry for the same out, whatever its `before`. */
  remove(revocation: Revocation): Promise<number>
}

/** @param clock Unix seconds. */
export function createSharedRevocations(send: Send, clock: () => number): SharedRevocations {
  let known: readonly RevocationEntry[] = []
  let index: RevocationIndex | undefined
  let seen: Mark = [undefined, undefined]
  let suspect = false
  let readAt = Number.NEGATIVE_INFINITY
  let last: Promise<unknown> = Promise.resolve()
  let firstRead: () => void = () => {}
  const tried = new Promise<void>((resolve) => {
    firstRead = resolve
  })

  /** One after the other: an older reading that ended last would bring back what it began with. */
  function refresh(): Promise<void> {
    const reading = last.then(readIfChanged)
    last = reading.catch(() => {})
    return reading
  }

  async function readIfChanged(): Promise<void> {
    const mark = await readMark()
    const isSame = isSameMark(mark, seen)
    // A restart, a failover to a server that was behind, an eviction: what is still known here is told again.
    const lost = suspect || mark[0] !== seen[0] || (isSame && (await isEvicted()))
    if (index === undefined || lost || !isSame) await readAll(mark, lost ? liveOf(known) : [])
    suspect = false
    readAt = clock()
    firstRead()
  }

  async function isEvicted(): Promise<boolean> {
    if (liveOf(known).length === 0) return false
    return Number(await send(['ZCARD', revocationsName])) === 0
  }

  /**
   * @param mark Read before.
   * @param kept What has to be there as well.
   */
  async function readAll(mark: Mark, kept: readonly RevocationEntry[]): Promise<void> {
    let before: Mark
    let after = mark
    let entries: RevocationEntry[]
    let tries = 0
    do {
      before = after
      entries = await readSlices()
      after = await readMark()
    } while (!isSameMark(before, after) && ++tries < maxReadings)
    const there = new Set(entries.map(({ revocation }) => memberOf(revocation)))
    const missing = kept.filter(({ revocation }) => !there.has(memberOf(revocation)))
    if (missing.length > 0) await write(missing)
    known = [...entries, ...missing]
    index = createRevocationIndex(known)
    seen = missing.length > 0 ? await readMark() : after
  }

  async function readMark(): Promise<Mark> {
    const reply = await send(['MGET', epochName, versionName])
    const [epoch, version] = Array.isArray(reply) ? reply : []
    return [epoch ?? undefined, version ?? undefined]
  }

  /** In slices, between which checks go on. */
  async function readSlices(): Promise<RevocationEntry[]> {
    const range = [revocationsName, `(${clock()}`, '+inf', 'WITHSCORES']
    const entries: RevocationEntry[] = []
    for (let from = 0; ; from += sliceEntries) {
      // Twice as much as may be written: writers that race, and replicas that restore, must not end the reading.
      if (from > 2 * maxEntries) throw new Error(`more than ${2 * maxEntries} revocations`)
      const slice = ['LIMIT', String(from), String(sliceEntries)]
      const reply = await send(['ZRANGEBYSCORE', ...range, ...slice])
      if (!Array.isArray(reply)) throw new Error('not a list of entries')
      entries.push(...readSlice(reply))
      if (reply.length < 2 * sliceEntries) return entries
    }
  }

  function liveOf(entries: readonly RevocationEntry[]): readonly RevocationEntry[] {
    const now = clock()
    return entries.filter(({ until }) => until > now)
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
    await raise()
  }

  /** No number: a server that is behind and is written to would come level with what replicas have seen. */
  async function raise(): Promise<void> {
    await send(['SET', versionName, randomUUID()])
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
    suspectLoss() {
      suspect = true
    },
    list: () => known,
    async add(entries) {
      try {
        await forgetExpired()
        const there = new Set(known.map(({ revocation }) => memberOf(revocation)))
        const added = entries.filter(({ revocation }) => !there.has(memberOf(revocation)))
        const size = Number(await send(['ZCARD', revocationsName]))
        if (added.length > 0 && size + added.length > maxEntries) return 'unavailable'
        await write(entries)
      } catch {
        return 'unavailable'
      }
      // It is stored; a reading that fails is the next one's affair.
      await refresh().catch(() => {})
      return 'stored'
    },
    async remove(revocation) {
      const { before: _, ...name } = revocation as Revocation & { before?: number }
      const same = known.filter(({ revocation: { ...each } }) => {
        if ('before' in each) delete each.before
        return memberOf(each) === memberOf(name as Revocation)
      })
      const members = same.map((entry) => memberOf(entry.revocation))
      const removed =
        members.length === 0 ? 0 : Number(await send(['ZREM', revocationsName, ...members]))
      // Whatever was found: an undo that was cut off before this line is made good.
      await raise()
      await refresh()
      return removed
    },
  }
}

function isSameMark(a: Mark, b: Mark): boolean {
  return a[0] === b[0] && a[1] === b[1]
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

function isRevocation(value: unknown): value is Revocation {
  if (typeof value !== 'object' || value === null) return false
  const { before, ...names } = value as { readonly [name: string]: unknown }
  const kinds = revocationKinds.filter((kind) => kind in names)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) return false
  const ofIssuer = isOfIssuer(kind)
  return (
    Object.keys(names).length === (ofIssuer ? 2 : 1) &&
    ofIssuer === 'issuer' in names &&
    Object.values(names).every((name) => typeof name === 'string') &&
    (before === undefined || Number.isSafeInteger(before))
  )
}
