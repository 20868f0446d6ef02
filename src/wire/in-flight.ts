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
  expire(): void
}

/** How late an answer at the deadline may be. */
const sweepMs = 5

/**
 * One timer sweeps all checks while there are any: a timer for each would cost a fair part of a warm check, which is
 * over before it could fire.
 */
export function createInFlight(monotonic: () => number): InFlight {
  const entries = new Set<InFlightEntry>()
  let sweeping = false

  function sweep(): void {
    if (entries.size === 0) sweeping = false
    else schedule()
    const now = monotonic()
    for (const entry of entries) if (entry.dueAt <= now) entry.expire()
  }

  /** Never what keeps the process alive: a check that does not end must not stop it from ending. */
  function schedule(): void {
    setTimeout(sweep, sweepMs).unref()
  }

  return {
    get size() {
      return entries.size
    },
    add(entry) {
      entries.add(entry)
      if (sweeping) return
      sweeping = true
      schedule()
    },
    remove(entry) {
      entries.delete(entry)
    },
  }
}
