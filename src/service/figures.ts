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

export async function countsOf({ metrics, rollout, evidence }: Observers): Promise<Counts> {
  return {
    metrics: await metrics.snapshot(),
    rollout: rollout.tally,
    evidence: evidence.summary(),
  }
}

/**
 * @param all At least one.
 * @param since Unix milliseconds.
 */
export function figuresTogether(all: () => Promise<readonly Counts[]>, since: number): Figures {
  const joined = async <Name extends 'rollout' | 'evidence'>(name: Name): Promise<Counts[Name]> =>
    (await all()).map((counts) => counts[name]).reduce(countTogether)
  return {
    metrics: async () => exposeTogether((await all()).map(({ metrics }) => metrics)),
    rollout: async () => reportRollout(await joined('rollout'), { kind: 'live', since }),
    evidence: () => joined('evidence'),
  }
}

/** What is left of processes that have ended: no count may fall back because of them. */
export async function remainsTogether(ended: readonly Counts[]): Promise<Counts | undefined> {
  const [first, ...others] = ended
  if (first === undefined) return undefined
  return {
    metrics: await remainsOf(ended.map(({ metrics }) => metrics)),
    rollout: others.map(({ rollout }) => rollout).reduce(countTogether, first.rollout),
    evidence: others.map(({ evidence }) => evidence).reduce(countTogether, first.evidence),
  }
}
