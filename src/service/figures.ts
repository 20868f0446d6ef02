/** What is counted, for the pages: of this process, or of several as if they were one. */

import type { EvidenceSummary } from '../observe/evidence-seen.ts'
import {
  type Exposition,
  exposeTogether,
  type MetricsSnapshot,
  remainsOf,
} from '../observe/metrics-together.ts'
import type { Tally } from '../observe/rollout.ts'
import { type RolloutReport, reportRollout } from '../observe/rollout-report.ts'
import { countTogether } from '../observe/together.ts'
import type { Observers } from './observers.ts'

/** What the pages tell. */
export interface Figures {
  metrics(): Promise<Exposition>
  rollout(): Promise<RolloutReport>
  evidence(): Promise<EvidenceSummary>
}

/** All that a process has counted, in plain values that can be sent. */
export interface Counts {
  readonly metrics: MetricsSnapshot
  readonly rollout: Tally
  readonly evidence: EvidenceSummary
}

export function figuresOf({ metrics, rollout, evidence }: Observers): Figures {
  return {
    metrics: () => metrics.expose(),
    rollout: async () => rollout.report(),
    evidence: async () => evidence.summary(),
  }
}

/** One of them: the rollout tally may be large, and a scrape does without it. */
export async function countOf<Name extends keyof Counts>(
  name: Name,
  { metrics, rollout, evidence }: Observers,
): Promise<Counts[Name]> {
  const count: { readonly [each in keyof Counts]: () => Counts[each] | Promise<Counts[each]> } = {
    metrics: () => metrics.snapshot(),
    rollout: () => rollout.tally,
    evidence: () => evidence.summary(),
  }
  return count[name]()
}

export async function countsOf(observers: Observers): Promise<Counts> {
  return {
    metrics: await countOf('metrics', observers),
    rollout: await countOf('rollout', observers),
    evidence: await countOf('evidence', observers),
  }
}

/** At least one of each: `serve` puts the first process's own before those of the workers. */
export type AskAll = <Name extends keyof Counts>(name: Name) => Promise<readonly Counts[Name][]>

/** @param since Unix milliseconds. */
export function figuresTogether(all: AskAll, since: number): Figures {
  return {
    metrics: async () => exposeTogether(await all('metrics')),
    rollout: async () =>
      reportRollout((await all('rollout')).reduce(countTogether), { kind: 'live', since }),
    evidence: async () => (await all('evidence')).reduce(countTogether),
  }
}

/** What is left of processes that have ended: no count may fall back because of them. */
export async function remainsTogether(
  before: Partial<Counts>,
  { metrics, rollout, evidence }: Partial<Counts>,
): Promise<Partial<Counts>> {
  const snapshots = [before.metrics, metrics].filter((each) => each !== undefined)
  return {
    metrics: await remainsOf(snapshots),
    ...joined('rollout', before.rollout, rollout),
    ...joined('evidence', before.evidence, evidence),
  }
}

function joined<Name extends string, Count>(
  name: Name,
  a: Count | undefined,
  b: Count | undefined,
) {
  const count = a === undefined || b === undefined ? (a ?? b) : countTogether(a, b)
  return count === undefined ? {} : ({ [name]: count } as { readonly [each in Name]: Count })
}
