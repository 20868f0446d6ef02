/** Spent proofs in this process's own memory: bounded, and forgotten once they have expired. */

import type { ReplayStore } from './replay.ts'

/**
 * How many expired keys one call deletes at most, unless room is short: more than the one that it may add, and few
 * enough that no request pays for a flood that has passed (500,000 deletions at once take 100 ms).
 */
const deletionsPerSpend = 8

interface Bucket {
  readonly second: number
  readonly keys: string[]
}

export function createMemoryReplay(
  startedAt: number,
  maxEntries = 500_000,
): ReplayStore & { readonly size: number } {
  /** The last second in which each key is remembered. */
  const lastSeconds = new Map<string, number>()
  /** The keys by that second. */
  const live = new Map<number, Bucket>()
  const expired: Bucket[] = []
  /** The latest time seen: a clock that is set back brings nothing back that has been forgotten. */
  let latest = Number.NEGATIVE_INFINITY

  /** Once per second, over buckets and not over keys: as many as a proof may live seconds. */
  function passTo(second: number): void {
    if (second <= latest) return
    latest = second
    for (const bucket of live.values()) {
      if (bucket.second >= second) continue
      live.delete(bucket.second)
      expired.push(bucket)
    }
  }

  function forgetSome(): void {
    let left = deletionsPerSpend
    while (left > 0 || lastSeconds.size >= maxEntries) {
      const bucket = expired.at(-1)
      if (bucket === undefined) return
      const key = bucket.keys.pop()
      if (key === undefined) expired.pop()
      // Otherwise it was spent again after it had expired, and stands in a live bucket too.
      else if (lastSeconds.get(key) === bucket.second) lastSeconds.delete(key)
      left--
    }
  }

  function remember(key: string, second: number): void {
    lastSeconds.set(key, second)
    const bucket = live.get(second)
    if (bucket === undefined) live.set(second, { second, keys: [key] })
    else bucket.keys.push(key)
  }

  return {
    remembersSince: startedAt,
    /** Expired keys that are yet to be deleted count. */
    get size() {
      return lastSeconds.size
    },
    spend(key, expiresAt, now) {
      const second = Math.ceil(expiresAt)
      passTo(Math.floor(now))
      forgetSome()
      // What expires before the latest time seen may have been spent and forgotten: a check that read its clock before
      // another check did comes here, and every check does after the clock was set back.
      if (second < latest) return 'spent'
      if ((lastSeconds.get(key) ?? Number.NEGATIVE_INFINITY) >= latest) return 'spent'
      if (lastSeconds.size >= maxEntries) return 'full'
      remember(key, second)
      return 'fresh'
    },
  }
}
