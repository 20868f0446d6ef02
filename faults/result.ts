/** What is kept of a run: a scenario's counts, and every criterion with what was seen. Types only. */

import type { Phase } from './load.ts'
import type { Claim } from './scenario.ts'

export interface PhaseCounts {
  readonly sent: number
  readonly sound: number
  readonly soundPassed: number
  readonly soundRefused: { readonly [reason: string]: number }
  readonly hostile: number
  readonly falseAllows: number
  readonly unanswered: number
  readonly broken: number
  /** Near a limit, or while something was changing: either answer was right. */
  readonly open: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly slowestMs: number
}

export interface Result {
  readonly scenario: string
  readonly covers: readonly string[]
  readonly title: string
  readonly form: 'short' | 'long'
  readonly ok: boolean
  readonly startedAt: string
  /** The last one that touched what is run, and whether anything of it was changed since. */
  readonly commit: string
  readonly seconds: number
  readonly rate: number
  readonly seed: number
  readonly phases: { readonly [phase in Phase]?: PhaseCounts }
  /** Through the listener with failure_mode_allow: true, where there was one. */
  readonly lenient?: {
    readonly falseAllows: number
    readonly hostileUnjudged: number
    readonly soundUnjudged: number
  }
  readonly recoveredAfterMs: number
  readonly memoryBeforeBytes: number
  readonly memoryAfterBytes: number
  readonly envoy: { readonly [counter: string]: number }
  readonly criteria: readonly Claim[]
  readonly examples: readonly string[]
  readonly without?: string
}
