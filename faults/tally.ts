/** What became of the requests of one phase, in counts, with the first few of whatever should not have been. */

import type { RequestFacts } from './facts.ts'
import type { Expectation } from './oracle.ts'
import type { Outcome } from './send.ts'

export interface Tally {
  sent: number
  /** Sound requests: how many, and how many of them were let through by meshbind. */
  sound: number
  soundAllowed: number
  /** Sound requests that were refused, by reason; `envoy 403`: by Envoy itself. */
  readonly soundRefused: Map<string, number>
  hostile: number
  hostileDenied: number
  /** Near a limit, or while something was changing. */
  open: number
  /** Let through against the oracle's word, judged by meshbind. */
  falseAllows: number
  /** Passed by Envoy because of failure_mode_allow, unjudged. */
  hostileUnjudged: number
  soundUnjudged: number
  /** Refused, and for another reason than the oracle would have it. */
  otherReasons: number
  unanswered: number
  broken: number
  /** Milliseconds. */
  readonly latencies: number[]
  readonly examples: string[]
}

const maxExamples = 12
const maxLatencies = 1_000_000

export function createTally(): Tally {
  return {
    ...{ sent: 0, sound: 0, soundAllowed: 0, hostile: 0, hostileDenied: 0, open: 0 },
    ...{ falseAllows: 0, hostileUnjudged: 0, soundUnjudged: 0, otherReasons: 0 },
    ...{ unanswered: 0, broken: 0, soundRefused: new Map(), latencies: [], examples: [] },
  }
}

/** @returns Whether a sound request did not pass. */
export function addOutcome(
  tally: Tally,
  facts: RequestFacts,
  { verdict, reasons }: Expectation,
  outcome: Outcome,
): boolean {
  tally.sent++
  if (tally.latencies.length < maxLatencies) tally.latencies.push(outcome.milliseconds)
  if (verdict === 'allow') tally.sound++
  else if (verdict === 'deny') tally.hostile++
  else tally.open++
  const told = describe(facts, outcome)
  if (outcome.kind !== 'answered') {
    tally[outcome.kind]++
    remember(tally, `${outcome.kind}: ${told}`)
    if (verdict === 'allow') count(tally.soundRefused, outcome.kind)
    if (verdict === 'deny') tally.hostileDenied++
    return verdict === 'allow'
  }
  if (outcome.opened && outcome.unjudged) {
    if (verdict === 'deny') tally.hostileUnjudged++
    if (verdict === 'allow') tally.soundUnjudged++
    return false
  }
  if (outcome.opened) {
    if (verdict === 'allow') tally.soundAllowed++
    if (verdict === 'deny') {
      tally.falseAllows++
      remember(tally, `FALSE ALLOW: ${told}`)
    }
    return false
  }
  const reason = outcome.reason || `envoy ${outcome.status}`
  if (verdict === 'deny') {
    tally.hostileDenied++
    if (!reasons.includes(reason)) {
      tally.otherReasons++
      remember(tally, `another reason: ${told}, expected ${reasons.join(' or ')}`)
    }
  }
  if (verdict !== 'allow') return false
  count(tally.soundRefused, reason)
  remember(tally, `refused: ${told}`)
  return true
}

function describe(facts: RequestFacts, outcome: Outcome): string {
  const answer =
    outcome.kind === 'answered' ? `${outcome.status} ${outcome.reason}`.trim() : outcome.error
  return `${facts.title} (${facts.method} ${facts.path}): ${answer}`
}

function remember(tally: Tally, text: string): void {
  if (tally.examples.length < maxExamples) tally.examples.push(text)
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}

/** Of sound requests that were meant to pass, the share that did; 1 where there were none. */
export function successOf({ sound, soundAllowed, soundUnjudged }: Tally): number {
  return sound === 0 ? 1 : (soundAllowed + soundUnjudged) / sound
}

/** @param share 0.99 for p99. */
export function latencyAt(
  { latencies }: { readonly latencies: readonly number[] },
  share: number,
): number {
  const sorted = latencies.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
