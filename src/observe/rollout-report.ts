/** The rollout report: the tally as one plain value, sorted so that what needs attention stands first. */

import type { Mode } from '../decision/decision.ts'
import type {
  Groups,
  RevisionTally,
  RolloutSource,
  RouteTally,
  Span as SpanTally,
  Tally,
} from './rollout.ts'
import { judgeRoute, type Shares, type Verdict, verdictLevels } from './rollout-verdict.ts'

/** Checks and when they were made; Unix milliseconds, null without a check. */
export interface Span {
  readonly checks: number
  readonly firstSeen: number | null
  readonly lastSeen: number | null
}

export interface RolloutReport extends Span {
  readonly source: RolloutSource
  readonly shares: Shares
  /** The latest first: it is the one that the counts of `routes` belong to. */
  readonly revisions: readonly (Span & { readonly revision: string })[]
  /** Checks of revisions that are no longer kept apart. */
  readonly forgotten: number
  readonly routes: readonly RouteReport[]
  /** Refused before any policy was looked at, by reason. */
  readonly outright: readonly Counted[]
  /** Over all routes of the latest revision: another workload's token, and another certificate of the same workload. */
  readonly mismatched: number
  readonly rotated: number
}

export interface RouteReport extends Span {
  /** Null: requests that no route is known for. */
  readonly route: string | null
  /** True: all routes beyond the limit, together. */
  readonly isRest: boolean
  readonly mode: Mode
  readonly refused: number
  /** Of the refused: those that Envoy was told to refuse. The rest would be. */
  readonly enforced: number
  readonly unprotected: number
  readonly reasons: readonly Counted[]
  readonly presenters: readonly PresenterReport[]
  /** Refusals of presenters beyond the limit. */
  readonly refusedUnnamed: number
  readonly unbound: number
  /** `by.name` is the issuer. */
  readonly unboundBy: readonly PresenterReport[]
  readonly unboundUnnamed: number
  readonly withheld: number
  readonly set: readonly Counted[]
  readonly remove: readonly Counted[]
  /** The same route under earlier revisions, the latest first. */
  readonly earlier: readonly EarlierReport[]
  readonly verdict: Verdict
}

export interface EarlierReport extends Span {
  readonly revision: string
  readonly mode: Mode
  readonly refused: number
}

export interface Counted {
  readonly name: string
  readonly checks: number
}

export interface PresenterReport extends Span {
  /** SPIFFE ID; null where there was none. */
  readonly presenter: string | null
  readonly by: readonly Counted[]
}

export function reportRollout(tally: Tally, source: RolloutSource): RolloutReport {
  const revisions = [...tally.revisions.values()].sort((a, b) => b.lastSeen - a.lastSeen)
  const shares = sharesOf(tally, source)
  const routes = namesOf(revisions)
    .map((name) => reportRoute(name, revisions, shares))
    .concat(revisions.slice(0, 1).flatMap(({ others }) => restOf(others, shares)))
    .sort(byAttention)
  const latest = revisions[0]
  return {
    ...spanOf(tally),
    source,
    shares,
    revisions: revisions.map((revision) => ({ ...spanOf(revision), revision: revision.revision })),
    forgotten: tally.forgotten,
    routes,
    outright: countedOf(outrightReasons(tally.outright)),
    mismatched: sumOf(latest, 'binding_mismatch'),
    rotated: sumOf(latest, 'binding_rotated'),
  }
}

/** A log may be a sample: every refusal, and one allow in a number that it does not tell. Or refusals alone. */
function sharesOf({ allows }: Tally, { kind }: RolloutSource): Shares {
  if (kind === 'live') return 'exact'
  return allows > 0 ? 'upper bound' : 'unknown'
}

function namesOf(revisions: readonly RevisionTally[]): (string | null)[] {
  return [...new Set(revisions.flatMap(({ routes }) => [...routes.keys()]))]
}

/** The counts are those of the latest revision, and zero where it has not seen the route. */
function reportRoute(
  route: string | null,
  revisions: readonly RevisionTally[],
  shares: Shares,
): RouteReport {
  const seen = revisions.flatMap(({ revision, routes }) => {
    const tally = routes.get(route)
    return tally === undefined ? [] : [{ revision, tally }]
  })
  const isCurrent = seen[0]?.revision === revisions[0]?.revision
  const current = isCurrent ? seen[0]?.tally : undefined
  const earlier = seen.slice(isCurrent ? 1 : 0).map(({ revision, tally }) => ({
    ...spanOf(tally),
    revision,
    mode: tally.mode,
    refused: tally.denied,
  }))
  const mode = seen[0]?.tally.mode ?? 'disabled'
  return describeRoute(current, { route, isRest: false, mode, earlier }, shares)
}

function restOf(others: RouteTally, shares: Shares): RouteReport[] {
  if (others.checks === 0) return []
  const identity = { route: null, isRest: true, mode: others.mode, earlier: [] }
  return [describeRoute(others, identity, shares)]
}

function describeRoute(
  tally: RouteTally | undefined,
  identity: Pick<RouteReport, 'route' | 'isRest' | 'mode' | 'earlier'>,
  shares: Shares,
): RouteReport {
  const facts = {
    ...identity,
    ...(tally === undefined ? { checks: 0, firstSeen: null, lastSeen: null } : spanOf(tally)),
    refused: tally?.denied ?? 0,
    enforced: tally?.enforcedDenied ?? 0,
    unprotected: tally?.unprotected ?? 0,
    reasons: countedOf(tally?.reasons),
    presenters: presentersOf(tally?.refused),
    refusedUnnamed: tally?.refusedUnnamed ?? 0,
    unbound: tally?.unbound ?? 0,
    unboundBy: presentersOf(tally?.unboundBy),
    unboundUnnamed: tally?.unboundUnnamed ?? 0,
    withheld: tally?.withheld ?? 0,
    set: countedOf(tally?.set),
    remove: countedOf(tally?.remove),
  }
  return { ...facts, verdict: judgeRoute(facts, shares) }
}

function presentersOf(groups: Groups = new Map()): PresenterReport[] {
  return [...groups]
    .map(([presenter, byKey]) => {
      const spans = [...byKey.values()]
      return {
        presenter,
        checks: spans.reduce((sum, { checks }) => sum + checks, 0),
        firstSeen: Math.min(...spans.map(({ firstSeen }) => firstSeen)),
        lastSeen: Math.max(...spans.map(({ lastSeen }) => lastSeen)),
        by: countedOf(new Map([...byKey].map(([key, { checks }]) => [key, checks]))),
      }
    })
    .sort((a, b) => b.checks - a.checks || compare(a.presenter ?? '', b.presenter ?? ''))
}

function countedOf(counts: ReadonlyMap<string, number> = new Map()): Counted[] {
  return [...counts]
    .map(([name, checks]) => ({ name, checks }))
    .sort((a, b) => b.checks - a.checks || compare(a.name, b.name))
}

function outrightReasons({ routes, others }: RevisionTally): Map<string, number> {
  const sums = new Map<string, number>()
  for (const { reasons } of [...routes.values(), others]) {
    for (const [reason, checks] of reasons) sums.set(reason, (sums.get(reason) ?? 0) + checks)
  }
  return sums
}

function sumOf(revision: RevisionTally | undefined, reason: string): number {
  const routes = revision === undefined ? [] : [...revision.routes.values(), revision.others]
  return routes.reduce((sum, { reasons }) => sum + (reasons.get(reason) ?? 0), 0)
}

function spanOf({ checks, firstSeen, lastSeen }: SpanTally): Span {
  return checks === 0
    ? { checks, firstSeen: null, lastSeen: null }
    : { checks, firstSeen, lastSeen }
}

function byAttention(a: RouteReport, b: RouteReport): number {
  return (
    verdictLevels.indexOf(a.verdict.level) - verdictLevels.indexOf(b.verdict.level) ||
    b.refused - a.refused ||
    compare(a.route ?? '', b.route ?? '')
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
