/** The rollout report for a terminal: a table of the routes, then what each one needs. */

import type { RolloutReport, RouteReport } from './rollout-report.ts'
import {
  formatChecks,
  formatCount,
  formatDuration,
  formatPresenter,
  formatRouteShare,
  formatShare,
  formatTime,
} from './rollout-verdict.ts'

/** Presenters of a route that are listed; the page and the JSON list all that were kept. */
const maxListed = 10

export function renderRolloutText(report: RolloutReport): string {
  const blocks = [
    headOf(report),
    tableOf(report),
    ...report.routes.map((route) => describeRoute(route, report)),
  ]
  return `${blocks.join('\n\n')}\n`
}

function headOf(report: RolloutReport): string {
  const { firstSeen, lastSeen, revisions, forgotten } = report
  const length = formatDuration((lastSeen ?? 0) - (firstSeen ?? 0))
  const [latest, ...earlier] = revisions
  return [
    `${formatChecks(report.checks)} in ${length}: ${formatTime(firstSeen)} to ${formatTime(lastSeen)}`,
    latest === undefined
      ? 'No check under any policy revision.'
      : `Policy revision ${latest.revision}, first seen ${formatTime(latest.firstSeen)}; the counts below are its own.`,
    ...earlier.map(
      ({ revision, checks, firstSeen: from, lastSeen: to }) =>
        `Earlier revision ${revision}: ${formatChecks(checks)}, ${formatTime(from)} to ${formatTime(to)}`,
    ),
    ...(forgotten > 0 ? [`Still earlier revisions: ${formatChecks(forgotten)}, not shown`] : []),
    ...(report.outright.length > 0
      ? [`Refused before a policy was looked at: ${listCounts(report.outright)}`]
      : []),
    ...sharesNote(report),
    `binding_mismatch (another workload’s token): ${formatCount(report.mismatched)}   binding_rotated (own token, other certificate): ${formatCount(report.rotated)}`,
  ].join('\n')
}

/** What the numbers of this source cannot tell. Empty where every check was counted. */
export function sharesNote({ shares }: RolloutReport): string[] {
  if (shares === 'unknown')
    return [
      'The log holds no allows, so no share of refusals can be told from it. Log with --decision-log all.',
    ]
  if (shares === 'upper bound')
    return [
      'Shares are upper bounds: a log of --decision-log sample:N holds every refusal and one allow in N. With --decision-log all they are exact.',
    ]
  return []
}

function tableOf({ routes, shares }: RolloutReport): string {
  const head = ['ROUTE', 'MODE', 'CHECKS', 'REFUSED', 'SHARE', 'UNBOUND', 'VERDICT']
  const rows = routes.map((route) => [
    nameRoute(route),
    route.route === null ? '-' : route.mode,
    formatCount(route.checks),
    formatCount(route.refused),
    formatRouteShare(route, shares),
    formatCount(route.unbound),
    route.verdict.title,
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)))
  const isNumber = (column: number) => column >= 2 && column <= 5
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) =>
          isNumber(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function describeRoute(route: RouteReport, { shares }: RolloutReport): string {
  const { verdict, presenters, refusedUnnamed, earlier } = route
  const more = presenters.slice(maxListed).reduce((sum, { checks }) => sum + checks, refusedUnnamed)
  const seen =
    route.checks === 0 ? '' : `, ${formatTime(route.firstSeen)} to ${formatTime(route.lastSeen)}`
  return [
    `${nameRoute(route)}${seen}`,
    `  ${verdict.sentence}`,
    ...verdict.notes.map((note) => `  - ${note}`),
    ...(route.reasons.length > 0 ? [`  by reason: ${listCounts(route.reasons)}`] : []),
    ...presenters
      .slice(0, maxListed)
      .map(
        ({ presenter, by, firstSeen, lastSeen }) =>
          `  ${formatPresenter(presenter)}: ${listCounts(by)}, ${formatTime(firstSeen)} to ${formatTime(lastSeen)}`,
      ),
    ...(more > 0 ? [`  other presenters: ${formatCount(more)}`] : []),
    ...earlier.map(
      ({ revision, mode, refused, checks }) =>
        `  earlier revision ${revision} (${mode}): ${formatCount(refused)} of ${formatChecks(checks)} ${mode === 'enforce' ? 'refused' : 'would have been refused'} (${formatShare(refused, checks, shares)})`,
    ),
  ].join('\n')
}

export function nameRoute({ route, isRest }: Pick<RouteReport, 'route' | 'isRest'>): string {
  if (isRest) return '(all other routes)'
  return route ?? '(no route)'
}

function listCounts(counts: readonly { name: string; checks: number }[]): string {
  return counts.map(({ name, checks }) => `${name} ${formatCount(checks)}`).join(', ')
}
