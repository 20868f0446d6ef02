/** Spent proofs in this process's own memory: bounded, and forgotten once they have expired. */

import type { ReplayStore } from './replay.ts'

export interface MemoryReplayOptions {
  readonly maxEntries?: number
  /**
   * Seconds that pass evenly, whatever is done to the clock. Without it, or where the clock is ahead for longer than
   * proofs live, what was forgotten by that clock is refused until it is that late: closed, not open.
   */
  readonly monotonic?: () => number
}

/**
 * How many expired keys one call deletes at most, unless room is short: more than the one that it may add, and few
 * enough that no request pays for a flood that has passed (500,000 deletions at once take 100 ms).
 */
const deletionsPerSpend = 8

/** The keys that expire in one second. */
interface Bucket {
  readonly second: number
  readonly keys: string[]
  /** When that second ends if nobody touches the clock, by the monotonic one. */
  until: number
  forgotten: boolean
}

/**
 * A key is forgotten when its second has passed by the clock and its time by the monotonic clock too: a clock that is
 * ahead for a while, and put right, costs no memory of what was spent.
 */
export function createMemoryReplay(
  startedAt: number,
  { maxEntries = 500_000, monotonic }: MemoryReplayOptions = {},
): ReplayStore & { readonly size: number } {
  const bucketOf = new Map<string, Bucket>()
  /** By second. */
  const live = new Map<number, Bucket>()
  const expired: Bucket[] = []
  /** What expires by then may have been spent and forgotten: it is not taken again, wherever the clock is set. */
  let forgottenUntil = Number.NEGATIVE_INFINITY
  let latest = Number.NEGATIVE_INFINITY
  let lookedAt = { clock: Number.NaN, monotonic: Number.NaN }

  /** Once per second, over buckets and not over keys: as many as a proof may live seconds. */
  function passTo(now: number, elapsed: number): void {
    const clock = Math.floor(now)
    if (clock === lookedAt.clock && elapsed < lookedAt.monotonic + 1) return
    lookedAt = { clock, monotonic: elapsed }
    for (const bucket of live.values()) {
      if (bucket.second >= clock || bucket.until >= elapsed) continue
      live.delete(bucket.second)
      bucket.forgotten = true
      forgottenUntil = Math.max(forgottenUntil, bucket.second)
      expired.push(bucket)
    }
  }

  function forgetSome(): void {
    let left = deletionsPerSpend
    while (left > 0 || bucketOf.size >= maxEntries) {
      const bucket = expired.at(-1)
      if (bucket === undefined) return
      const key = bucket.keys.pop()
      if (key === undefined) expired.pop()
      // Otherwise it was spent again after it had expired, and stands in a live bucket too.
      else if (bucketOf.get(key) === bucket) bucketOf.delete(key)
      left--
    }
  }

  function remember(key: string, second: number, until: number): void {
    const bucket = live.get(second) ?? { second, keys: [], until, forgotten: false }
    bucket.until = Math.max(bucket.until, until)
    bucket.keys.push(key)
    live.set(second, bucket)
    bucketOf.set(key, bucket)
  }

  return {
    remembersSince: startedAt,
    /** Expired keys that are yet to be deleted count. */
    get size() {
      return bucketOf.size
    },
    spend(key, expiresAt, now) {
      latest = Math.max(latest, now)
      const elapsed = monotonic?.() ?? latest
      const second = Math.ceil(expiresAt)
      passTo(now, elapsed)
      forgetSome()
      if (bucketOf.get(key)?.forgotten === false || second <= forgottenUntil) return 'spent'
      if (bucketOf.size >= maxEntries) return 'full'
      remember(key, second, elapsed + second - now)
      return 'fresh'
    },
  }
}
