/** What workers have counted: asked of each that lives, and kept of those that have ended. */

import { inTime } from '../time-limit.ts'
import { type Counts, remainsTogether } from './figures.ts'
import type { Worker } from './worker-calls.ts'

export interface Counting {
  readonly calls: Worker
  /** What it said last. */
  counts: Partial<Counts>
}

export interface Ledger {
  ask<Name extends keyof Counts>(
    workers: readonly Counting[],
    name: Name,
  ): Promise<readonly Counts[Name][]>
  /** It has ended. */
  close(worker: Counting): void
}

/** A scrape's own limit is ten seconds as a rule. */
const askLimitMs = 1000

export function createLedger(): Ledger {
  let remains: Promise<Partial<Counts>> = Promise.resolve({})

  /** Of one that does not say it in time, what it said last stands. */
  async function askOne(worker: Counting, name: keyof Counts): Promise<void> {
    const asked: Promise<Counts[keyof Counts] | undefined> = worker.calls.count(name)
    const count = await inTime(askLimitMs, asked, () => undefined).catch(() => undefined)
    if (count !== undefined) worker.counts = { ...worker.counts, [name]: count }
  }

  return {
    async ask(workers, name) {
      // Of now: one that ends meanwhile is among the workers, and must not be counted twice.
      const kept = remains
      await Promise.all(workers.map((worker) => askOne(worker, name)))
      const counts = [...workers.map((worker) => worker.counts), await kept]
      return counts.map((each) => each[name]).filter((count) => count !== undefined)
    },
    close({ counts }) {
      remains = remains.then((before) => remainsTogether(before, counts).catch(() => before))
    },
  }
}
