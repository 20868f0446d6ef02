/** A scenario: one fault, what it does to the rig, and what it claims beside the criteria that stand for all. Types only. */

import type { Load } from './load.ts'
import type { Rig, RigOptions } from './rig.ts'
import type { Kind, Traffic } from './traffic.ts'

export interface Claim {
  readonly claim: string
  readonly ok: boolean
  /** What was seen. */
  readonly got: string
}

export interface Stage {
  readonly rig: Rig
  readonly traffic: Traffic
  readonly load: Load
  readonly long: boolean
  /** How many, in the short form and in the long one. */
  many(short: number, long: number): number
  progress(message: string): void
}

export interface Scenario {
  readonly name: string
  /** Numbers of the fault list: F1, F2 … */
  readonly covers: readonly string[]
  readonly title: string
  /** Part of the form that CI runs. */
  readonly short: boolean
  readonly rig?: RigOptions
  /** Also through a listener with failure_mode_allow: true. */
  readonly lenient?: boolean
  /** Only these kinds of requests. */
  readonly kinds?: readonly Kind[]
  /** Tokens and proofs are dated by this clock, and meshbind judges by this one; offsets in seconds. */
  readonly clock?: { meshbindOffsetSeconds: number }
  /** Envoy itself goes away: then a connection may break, which is an answer too. */
  readonly breaksConnections?: boolean
  /** After the fault: sound requests may be refused for this long. */
  readonly recoverySeconds: number
  /** Sound requests pass all the while, during the fault as well: at least this share of them. */
  readonly soundDuring?: number
  /** Why this machine cannot run it, if it cannot. */
  readonly impossible?: () => string | undefined
  /** What of the fault list's entry is not done here. */
  readonly without?: string
  /** Why it is missed, where that is known. */
  readonly known?: string
  /** Before the baseline is taken. */
  readonly prepare?: (stage: Stage) => Promise<void>
  /** Brings the fault about and ends it. */
  readonly fault: (stage: Stage) => Promise<readonly Claim[]>
  /** Once all has settled. */
  readonly afterwards?: (stage: Stage) => Promise<readonly Claim[]>
}

export const claim = (text: string, ok: boolean, got: string | number): Claim => ({
  claim: text,
  ok,
  got: String(got),
})
