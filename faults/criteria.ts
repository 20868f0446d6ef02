/** The standing criteria: the same for every scenario, and each of them can be missed. */

import { envoyTimeoutMs } from './envoy.ts'
import { type Load, type Phase, phases } from './load.ts'
import type { PhaseCounts, Result } from './result.ts'
import { answerLimitMs } from './rig.ts'
import { memoryTolerance } from './run.ts'
import { type Claim, claim, type Scenario } from './scenario.ts'
import { latencyAt, successOf, type Tally } from './tally.ts'

export interface Seen {
  readonly strict: Load
  readonly lenient: Load | undefined
  readonly baseline: number
  readonly memory: number
  readonly counters: { readonly [name: string]: number }
  readonly leaks: number
  /** Services that are not running at the end. */
  readonly ended: number
  readonly claims: readonly Claim[]
  readonly form: 'short' | 'long'
  readonly rate: number
  readonly seed: number
  readonly startedAt: Date
  readonly commit: string
}

const neededSuccess = 0.999
/** Fewer say nothing about either. */
const neededOfEach = 50

export function judge(scenario: Scenario, seen: Seen): Result {
  const { strict, lenient, baseline, memory, counters } = seen
  const criteria = [...standing(scenario, seen), ...seen.claims]
  const ofLenient = lenient && phases.map((phase) => lenient.tallies[phase])
  return {
    scenario: scenario.name,
    covers: scenario.covers,
    title: scenario.title,
    form: seen.form,
    ok: criteria.every(({ ok }) => ok),
    startedAt: seen.startedAt.toISOString(),
    commit: seen.commit,
    seconds: Math.round((Date.now() - seen.startedAt.getTime()) / 1000),
    rate: seen.rate,
    seed: seen.seed,
    phases: Object.fromEntries(phases.map((phase) => [phase, countsOf(strict.tallies[phase])])),
    ...(ofLenient === undefined
      ? {}
      : {
          lenient: {
            falseAllows: sum(ofLenient, 'falseAllows'),
            hostileUnjudged: sum(ofLenient, 'hostileUnjudged'),
            soundUnjudged: sum(ofLenient, 'soundUnjudged'),
          },
        }),
    recoveredAfterMs: Math.round(strict.lastRefusalMs('settling')),
    memoryBeforeBytes: baseline,
    memoryAfterBytes: memory,
    envoy: counters,
    criteria,
    examples: examplesOf(lenient === undefined ? [strict] : [strict, lenient]),
    ...(scenario.without === undefined ? {} : { without: scenario.without }),
  }
}

const maxExamples = 30

/** What was refused while it warmed up was refused for want of a past: it comes last. */
function examplesOf(loads: readonly Load[]): readonly string[] {
  const ordered = [...phases.slice(1), ...phases.slice(0, 1)]
  return ordered
    .flatMap((phase) =>
      loads.flatMap(({ tallies }) => tallies[phase].examples.map((text) => `${phase}: ${text}`)),
    )
    .slice(0, maxExamples)
}

type Countable = { [K in keyof Tally]: Tally[K] extends number ? K : never }[keyof Tally]

function sum(tallies: readonly Tally[], name: Countable): number {
  return tallies.reduce((total, tally) => total + tally[name], 0)
}

function countsOf(tally: Tally): PhaseCounts {
  return {
    sent: tally.sent,
    sound: tally.sound,
    soundPassed: tally.soundAllowed,
    soundRefused: Object.fromEntries(tally.soundRefused),
    hostile: tally.hostile,
    falseAllows: tally.falseAllows,
    unanswered: tally.unanswered,
    broken: tally.broken,
    open: tally.open,
    p50Ms: Math.round(latencyAt(tally, 0.5) * 10) / 10,
    p99Ms: Math.round(latencyAt(tally, 0.99) * 10) / 10,
    slowestMs: Math.round(latencyAt(tally, 1)),
  }
}

function standing(scenario: Scenario, seen: Seen): readonly Claim[] {
  const { strict, lenient, counters } = seen
  const tally = (phase: Phase) => strict.tallies[phase]
  const loads = lenient === undefined ? [strict] : [strict, lenient]
  const all = loads.flatMap(({ tallies }) => phases.map((phase) => tallies[phase]))
  const quiet = [tally('before'), tally('after')]
  const percent = (of: Tally) => `${(successOf(of) * 100).toFixed(2)} % of ${of.sound}`
  // While it warms up, connections are opened and everything is asked at full speed.
  const timed = loads.flatMap(({ tallies }) => phases.slice(1).map((phase) => tallies[phase]))
  const unanswered = sum(timed, 'unanswered')
  const broken = sum(timed, 'broken')
  const limit = `${envoyTimeoutMs} + 50 ms`
  const late = timed
    .flatMap(({ latencies }) => latencies)
    .filter((milliseconds) => milliseconds > envoyTimeoutMs + 50).length
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1)
  const falseAllows = sum(all, 'falseAllows')
  const during = tally('during')
  return [
    claim(
      'no false allow, in any phase',
      falseAllows === 0,
      `${falseAllows} of ${sum(all, 'hostile')} hostile`,
    ),
    claim(
      `every request is answered within ${answerLimitMs} ms`,
      unanswered === 0,
      `${unanswered} of ${sum(timed, 'sent')} were not; ${late} took over ${limit}`,
    ),
    ...(scenario.breaksConnections === true
      ? []
      : [claim('no connection of a client breaks', broken === 0, broken)]),
    claim(
      'sound requests pass before the fault (≥ 99.9 %)',
      successOf(tally('before')) >= neededSuccess,
      percent(tally('before')),
    ),
    claim(
      `sound requests pass ${scenario.recoverySeconds} s after it (≥ 99.9 %)`,
      successOf(tally('after')) >= neededSuccess,
      percent(tally('after')),
    ),
    ...(scenario.soundDuring === undefined
      ? []
      : [
          claim(
            `sound requests pass during it (≥ ${scenario.soundDuring * 100} %)`,
            successOf(during) >= scenario.soundDuring,
            percent(during),
          ),
        ]),
    claim(
      'a refusal has the reason that the oracle names, before and after',
      sum(quiet, 'otherReasons') === 0,
      `${sum(quiet, 'otherReasons')} have another`,
    ),
    claim(
      'there was something to see: sound and hostile requests before and after',
      quiet.every(({ sound, hostile }) => sound >= neededOfEach && hostile >= neededOfEach),
      quiet.map(({ sound, hostile }) => `${sound} and ${hostile}`).join(', '),
    ),
    claim(
      'memory after it is at most a tenth above the baseline',
      seen.memory <= seen.baseline * memoryTolerance,
      `${megabytes(seen.baseline)} → ${megabytes(seen.memory)} MiB`,
    ),
    claim(
      'Envoy found no answer invalid',
      (counters['invalid'] ?? 0) === 0,
      counters['invalid'] ?? 0,
    ),
    claim('no token in any line of the log', seen.leaks === 0, seen.leaks),
    claim('meshbind runs at the end', seen.ended === 0, `${seen.ended} ended`),
  ]
}
