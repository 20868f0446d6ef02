/** The checks under way: how many there may be, and when each must have been answered. */

export interface InFlight {
  readonly size: number
  /** Calls `expire` once `dueAt` has passed, unless the entry is removed before. */
  add(entry: InFlightEntry): void
  remove(entry: InFlightEntry): void
}

export interface InFlightEntry {
  /** Milliseconds of the monotonic clock. */
  readonly dueAt: number
  /** Where it stands; kept by the list that it was added to. */
  place: number
  expire(): void
}

/** How late an answer at the deadline may be. */
const sweepMs = 5

/**
 * One timer sweeps all checks while there are any: a timer for each would cost a fair part of a warm check, which is
 * over before it could fire.
 *
 * An array whose holes are filled from its end, and no Set: a Set under steady adding and deleting leaves tables behind
 * that point at their successors, so one that has grown old keeps every check of the last seconds alive until a full
 * garbage collection (measured: a third of all that a check allocates).
 */
export function createInFlight(monotonic: () => number): InFlight {
  const entries: InFlightEntry[] = []
  let sweeping = false

  function sweep(): void {
    if (entries.length === 0) sweeping = false
    else schedule()
    const now = monotonic()
    // A copy: `expire` may remove entries, whose places others take.
    for (const entry of entries.slice()) if (entry.dueAt <= now) entry.expire()
  }

  /** Never what keeps the process alive: a check that does not end must not stop it from ending. */
  function schedule(): void {
    setTimeout(sweep, sweepMs).unref()
  }

  return {
    get size() {
      return entries.length
    },
    add(entry) {
      entry.place = entries.push(entry) - 1
      if (sweeping) return
      sweeping = true
      schedule()
    },
    remove(entry) {
      const last = entries.pop()
      if (last === undefined || last === entry) return
      last.place = entry.place
      entries[entry.place] = last
    },
  }
}
