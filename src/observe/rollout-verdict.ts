/** What the counts of a route mean, in plain words: may it be enforced, and if not, who would break and why. */

import type { PresenterReport, RouteReport, Span } from './rollout-report.ts'

/** What needs attention comes first. */
export const verdictLevels = [
  'breaks',
  'unknown',
  'early',
  'disabled',
  'unseen',
  'safe',
  'apart',
  'enforced',
  'unprotected',
] as const

export interface Verdict {
  readonly level: (typeof verdictLevels)[number]
  /** Two or three words. */
  readonly title: string
  readonly sentence: string
  /** What an operator should know besides, one sentence or two each. */
  readonly notes: readonly string[]
}

/**
 * What the shares of refusals are worth: all checks were counted; allows may be missing (a sampled log), so that the
 * true share is lower; or there is not one allow, and no share can be told.
 */
export type Shares = 'exact' | 'upper bound' | 'unknown'

type RouteFacts = Omit<RouteReport, 'verdict'>

/** Less than this says little about a day: clients that call rarely, tokens that outlive a certificate. */
const enoughChecks = 100
const enoughMs = 3_600_000

export function judgeRoute(route: RouteFacts, shares: Shares): Verdict {
  const verdict = (level: Verdict['level'], title: string, sentence: string): Verdict => ({
    level,
    title,
    sentence,
    notes: notesOn(route),
  })
  if (route.route === null) return verdict('apart', titleApart(route), sentenceApart(route))
  if (route.checks === 0)
    return verdict('unseen', 'No checks yet', 'No check under the latest policy revision.')
  if (route.mode === 'disabled')
    return verdict(
      'disabled',
      'Not looked at',
      `${formatChecks(route.checks)} in ${periodOf(route)} passed without a look. Mode audit shows what enforcing would refuse.`,
    )
  if (route.unprotected === route.checks)
    return verdict(
      'unprotected',
      'Unprotected',
      `The route requires nothing: ${formatChecks(route.checks)} in ${periodOf(route)} passed.`,
    )
  const said = sentenceOf(route, shares)
  if (route.mode === 'enforce') return verdict('enforced', 'Enforced', said)
  if (shares === 'unknown') return verdict('unknown', 'Share unknown', said)
  if (route.refused > 0)
    return verdict('breaks', 'Not safe yet', `Not safe to enforce yet: ${said} ${whoBreaks(route)}`)
  if (route.checks < enoughChecks || lengthOf(route) < enoughMs)
    return verdict('early', 'Too early', `Too early to tell: ${said}`)
  return verdict('safe', 'Safe to enforce', `Safe to enforce: ${said}`)
}

/** The grammar of `37 of 12,410 checks in 24 h (at most 0.3 %) would be refused.` */
function sentenceOf(route: RouteFacts, shares: Shares): string {
  const { refused, checks, mode } = route
  const verb = mode === 'enforce' ? (refused === 1 ? 'was' : 'were') : 'would be'
  if (shares === 'unknown')
    return `${formatChecks(refused)} in ${periodOf(route)} ${verb} refused. The log holds no allows, so it does not tell out of how many.`
  const share = refused === 0 ? '' : ` (${formatShare(refused, checks, shares)})`
  return `${formatCount(refused)} of ${formatChecks(checks)} in ${periodOf(route)}${share} ${verb} refused.`
}

function whoBreaks({ presenters }: RouteFacts): string {
  const [first] = presenters
  if (first === undefined) return ''
  const reasons = first.by.map(({ name }) => name)
  const named = `${formatPresenter(first.presenter)} (${reasons.slice(0, 2).join(', ')}${reasons.length > 2 ? ', …' : ''})`
  const more = presenters.length - 1
  if (more === 0) return `Would break: ${named}.`
  return `Would break: ${named}, and ${formatCount(more)} more ${more === 1 ? 'presenter' : 'presenters'}.`
}

function titleApart({ isRest }: RouteFacts): string {
  return isRest ? 'Counted together' : 'No route'
}

function sentenceApart({ isRest, checks, refused, enforced }: RouteFacts): string {
  const what = isRest
    ? `${formatChecks(checks)} of routes beyond those that are kept apart`
    : `${formatChecks(checks)} that no route is known for`
  return `${what}: ${formatCount(enforced)} refused, ${formatCount(refused - enforced)} would be if enforced.`
}

function notesOn(route: RouteFacts): string[] {
  const { unbound, unboundBy, withheld, set, remove } = route
  const of = (reason: string) => route.reasons.find(({ name }) => name === reason)?.checks ?? 0
  const notes: string[] = []
  const mismatched = of('binding_mismatch')
  if (mismatched > 0)
    notes.push(
      `binding_mismatch, ${formatChecks(mismatched)}: another workload presents the token, or the token does not name its workload. Treat it as theft until shown otherwise; enforcing stops it.`,
    )
  const rotated = of('binding_rotated')
  if (rotated > 0)
    notes.push(
      `binding_rotated, ${formatChecks(rotated)}: another certificate of the same workload, no theft. Have the client fetch a new token when its certificate changes.`,
    )
  if (unbound > 0)
    notes.push(
      `Still unbound: ${formatChecks(unbound)} passed with a token without cnf, from ${listPresenters(unboundBy)}.`,
    )
  if (withheld > 0) {
    const changes = [
      ...(remove.length > 0 ? [`remove ${remove.map(({ name }) => name).join(', ')}`] : []),
      ...(set.length > 0 ? [`set ${set.map(({ name }) => name).join(', ')}`] : []),
    ]
    notes.push(
      `Enforcing changes requests that pass: it would ${changes.join(' and ')} (seen on ${formatChecks(withheld)}). Make sure that the service behind the route is ready for it.`,
    )
  }
  return notes
}

function listPresenters(presenters: readonly PresenterReport[]): string {
  const [first] = presenters
  if (first === undefined) return 'presenters beyond those that are kept apart'
  const more = presenters.length - 1
  return `${formatPresenter(first.presenter)}${more > 0 ? ` and ${formatCount(more)} more` : ''}`
}

export function formatPresenter(presenter: string | null): string {
  return presenter ?? 'no presenter'
}

export function formatChecks(checks: number): string {
  return `${formatCount(checks)} ${checks === 1 ? 'check' : 'checks'}`
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** A dash where nothing could have been refused. */
export function formatRouteShare(route: RouteFacts, shares: Shares): string {
  const never = route.mode === 'disabled' || route.unprotected === route.checks
  return never && route.refused === 0 ? '–' : formatShare(route.refused, route.checks, shares)
}

/** Never rounded to nothing or to all, and a bound never rounded down. */
export function formatShare(part: number, whole: number, shares: Shares): string {
  if (shares === 'unknown' || whole === 0) return 'unknown'
  if (part === 0 || part === whole) return part === 0 ? '0 %' : '100 %'
  const percent = (100 * part) / whole
  const scale = percent < 10 ? 10 : 1
  if (shares === 'upper bound') return `at most ${Math.ceil(percent * scale) / scale} %`
  if (percent < 0.05) return 'under 0.1 %'
  return percent > 99 ? 'over 99 %' : `${Math.round(percent * scale) / scale} %`
}

function lengthOf({ firstSeen, lastSeen }: Span): number {
  return (lastSeen ?? 0) - (firstSeen ?? 0)
}

function periodOf(span: Span): string {
  return formatDuration(lengthOf(span))
}

const longUnits = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const

/** Rounded, in the largest unit that leaves at least two of it. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  for (const [unit, size] of longUnits) {
    if (seconds >= 2 * size) return `${formatCount(Math.round(seconds / size))} ${unit}`
  }
  return `${seconds} s`
}

/** UTC, to the minute. */
export function formatTime(unixMilliseconds: number | null): string {
  if (unixMilliseconds === null) return 'never'
  return `${new Date(unixMilliseconds).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
