/** The rollout tally: what each route refuses, or would refuse if it enforced, counted in bounded memory. */

import type { HeaderChanges, Mode } from '../decision/decision.ts'
import { type RolloutReport, reportRollout } from './rollout-report.ts'

/** What the tally takes from a decision, be it a live one or a line of its log. */
export interface Observation {
  /** Unix milliseconds. */
  readonly time: number
  readonly route: string | null
  readonly mode: Mode
  readonly decision: 'allow' | 'deny'
  readonly enforced: boolean
  /** Null on an allow. */
  readonly reason: string | null
  /** SPIFFE ID. */
  readonly presenter: string | null
  /** The issuer's name in the policy, of a token that held. */
  readonly issuer: string | null
  readonly method: string | null
  /** Empty where no policy was looked at. */
  readonly revision: string
  readonly withheld: HeaderChanges | null
}

/** Where the numbers come from decides what they can tell: a log may lack allows, the process lacks none. */
export type RolloutSource =
  /** `since`: Unix milliseconds. */
  { readonly kind: 'live'; readonly since: number } | { readonly kind: 'log' }

export interface RolloutLimits {
  /** Policy revisions that are kept apart; of older ones only the number of checks is known. */
  readonly revisions: number
  /** Routes of a revision; the checks of all others are counted together. */
  readonly routes: number
  /** Presenters × reasons of one route, and of a revision; refusals beyond are counted without a name. */
  readonly groupsOfRoute: number
  readonly groups: number
  /** Header names of one route. */
  readonly headers: number
}

/** Some thirty megabytes at the most, with names of ordinary length. */
const defaultLimits: RolloutLimits = {
  revisions: 6,
  routes: 1000,
  groupsOfRoute: 200,
  groups: 5000,
  headers: 16,
}

/** Mutable: counted in place, because this stands on the way of every check. */
export interface Span {
  checks: number
  /** Unix milliseconds; Infinity and -Infinity before the first check. */
  firstSeen: number
  lastSeen: number
}

/** Checks of one presenter that share a reason (of refusals) or an issuer (of unbound tokens). */
export type Groups = Map<string | null, Map<string, Span>>

export interface RouteTally extends Span {
  mode: Mode
  denied: number
  enforcedDenied: number
  /** Allowed on a route that requires nothing. */
  unprotected: number
  readonly reasons: Map<string, number>
  readonly refused: Groups
  /** Allowed with a token that has no `cnf`, on a route that requires one of the others. */
  unbound: number
  readonly unboundBy: Groups
  /** Groups of both kinds. */
  groups: number
  refusedUnnamed: number
  unboundUnnamed: number
  /** Allows on which enforce would have changed headers besides. */
  withheld: number
  readonly set: Map<string, number>
  readonly remove: Map<string, number>
}

export interface RevisionTally extends Span {
  readonly revision: string
  readonly routes: Map<string | null, RouteTally>
  /** Checks of the routes beyond the limit. */
  readonly others: RouteTally
  groups: number
}

export interface Tally extends Span {
  allows: number
  readonly revisions: Map<string, RevisionTally>
  /** Refused before any policy was looked at: not ready, overloaded. */
  readonly outright: RevisionTally
  /** Checks of revisions beyond the limit. */
  forgotten: number
}

export interface Rollout {
  readonly tally: Tally
  observe(observation: Observation): void
  report(): RolloutReport
}

export function createRollout(
  source: RolloutSource,
  limits: RolloutLimits = defaultLimits,
): Rollout {
  const tally: Tally = {
    ...emptySpan(),
    allows: 0,
    revisions: new Map(),
    outright: emptyRevision(''),
    forgotten: 0,
  }

  function observe(observation: Observation): void {
    extend(tally, observation.time)
    if (observation.decision === 'allow') tally.allows++
    const revision = revisionOf(observation)
    if (revision === undefined) {
      tally.forgotten++
      return
    }
    extend(revision, observation.time)
    count(routeOf(revision, observation.route), observation, revision)
  }

  function revisionOf({ revision, time }: Observation): RevisionTally | undefined {
    if (revision === '') return tally.outright
    const known = tally.revisions.get(revision)
    if (known !== undefined) return known
    if (tally.revisions.size >= limits.revisions) {
      const oldest = [...tally.revisions.values()].reduce((a, b) =>
        a.lastSeen <= b.lastSeen ? a : b,
      )
      if (time < oldest.lastSeen) return undefined
      tally.revisions.delete(oldest.revision)
      tally.forgotten += oldest.checks
    }
    const created = emptyRevision(revision)
    tally.revisions.set(revision, created)
    return created
  }

  function routeOf({ routes, others }: RevisionTally, name: string | null): RouteTally {
    const known = routes.get(name)
    if (known !== undefined) return known
    if (routes.size >= limits.routes) return others
    const created = emptyRoute()
    routes.set(name, created)
    return created
  }

  function count(route: RouteTally, observation: Observation, revision: RevisionTally): void {
    const { time, mode, decision, reason, presenter, issuer, withheld } = observation
    if (time >= route.lastSeen) route.mode = mode
    extend(route, time)
    if (decision === 'deny') {
      const known = reason ?? 'unknown'
      route.denied++
      if (observation.enforced) route.enforcedDenied++
      route.reasons.set(known, (route.reasons.get(known) ?? 0) + 1)
      if (!extendGroup(route.refused, presenter, known, time, route, revision))
        route.refusedUnnamed++
    } else if (observation.method === 'none') {
      if (issuer === null) route.unprotected++
      else {
        route.unbound++
        if (!extendGroup(route.unboundBy, presenter, issuer, time, route, revision))
          route.unboundUnnamed++
      }
    }
    if (withheld !== null) {
      route.withheld++
      for (const name of withheld.set) countHeader(route.set, name)
      for (const name of withheld.remove) countHeader(route.remove, name)
    }
  }

  /** @returns false where the group is beyond the limits. */
  function extendGroup(
    groups: Groups,
    presenter: string | null,
    key: string,
    time: number,
    route: RouteTally,
    revision: RevisionTally,
  ): boolean {
    const known = groups.get(presenter)?.get(key)
    if (known !== undefined) {
      extend(known, time)
      return true
    }
    if (route.groups >= limits.groupsOfRoute || revision.groups >= limits.groups) return false
    route.groups++
    revision.groups++
    const group = emptySpan()
    extend(group, time)
    const ofPresenter = groups.get(presenter)
    if (ofPresenter === undefined) groups.set(presenter, new Map([[key, group]]))
    else ofPresenter.set(key, group)
    return true
  }

  function countHeader(counts: Map<string, number>, name: string): void {
    const known = counts.get(name)
    if (known !== undefined || counts.size < limits.headers) counts.set(name, (known ?? 0) + 1)
  }

  return { tally, observe, report: () => reportRollout(tally, source) }
}

function extend(span: Span, time: number): void {
  span.checks++
  if (time < span.firstSeen) span.firstSeen = time
  if (time > span.lastSeen) span.lastSeen = time
}

function emptySpan(): Span {
  return { checks: 0, firstSeen: Number.POSITIVE_INFINITY, lastSeen: Number.NEGATIVE_INFINITY }
}

function emptyRevision(revision: string): RevisionTally {
  return { ...emptySpan(), revision, routes: new Map(), others: emptyRoute(), groups: 0 }
}

function emptyRoute(): RouteTally {
  return {
    ...emptySpan(),
    mode: 'disabled',
    denied: 0,
    enforcedDenied: 0,
    unprotected: 0,
    reasons: new Map(),
    refused: new Map(),
    unbound: 0,
    unboundBy: new Map(),
    groups: 0,
    refusedUnnamed: 0,
    unboundUnnamed: 0,
    withheld: 0,
    set: new Map(),
    remove: new Map(),
  }
}
