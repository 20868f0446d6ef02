/** One route on the rollout page: its verdict, and who would break and why. */

import { type Reason, reasons } from '../decision/reasons.ts'
import { type Html, html } from './html.ts'
import type { Counted, PresenterReport, RouteReport } from './rollout-report.ts'
import { nameRoute } from './rollout-text.ts'
import {
  formatChecks,
  formatCount,
  formatPresenter,
  formatShare,
  formatTime,
  type Shares,
  type Verdict,
} from './rollout-verdict.ts'

export function renderRoute(route: RouteReport, id: string, shares: Shares): Html {
  const { verdict } = route
  return html`<article class="route" aria-labelledby="${id}">
<header><h3 id="${id}" tabindex="-1">${nameRoute(route)}</h3>${route.route !== null && html`<span class="badge">mode ${route.mode}</span>`}<span class="badge ${badgeOf(verdict)}">${verdict.title}</span></header>
<p>${verdict.sentence}</p>
${verdict.notes.length > 0 && html`<ul>${verdict.notes.map((note) => html`<li>${note}</li>`)}</ul>`}
${route.checks > 0 && html`<p class="soft">First seen ${formatTime(route.firstSeen)}, last seen ${formatTime(route.lastSeen)}.</p>`}
${route.reasons.length > 0 && reasonTable(route, shares)}
${presenterTable('Refusals by presenter', 'Reasons', route.presenters, route.refusedUnnamed)}
${presenterTable('Still unbound, by presenter', 'Issuers', route.unboundBy, route.unboundUnnamed)}
${route.earlier.length > 0 && earlierList(route, shares)}
</article>
`
}

export function badgeOf({ level }: Verdict): string {
  if (level === 'safe') return 'good'
  if (level === 'breaks') return 'bad'
  return level === 'unknown' || level === 'early' ? 'warn' : ''
}

function reasonTable(route: RouteReport, shares: Shares): Html {
  const rows = route.reasons.map(
    ({
      name,
      checks,
    }) => html`<th role="rowheader" scope="row"><code class="word">${name}</code>${markOf(name)}</th>
<td role="cell" class="number" data-label="Checks">${formatCount(checks)}</td>
<td role="cell" class="word" data-label="Share of checks">${formatShare(checks, route.checks, shares)}</td>
<td role="cell" data-label="What to do">${adviceOn(name)}</td>`,
  )
  return table('Refusals by reason', ['Reason', 'Checks', 'Share of checks', 'What to do'], rows)
}

/** Theft and rotation look alike in a count, and ask for opposite answers. */
function markOf(reason: string): Html | false {
  if (reason === 'binding_mismatch') return html` <span class="badge bad">possible theft</span>`
  return reason === 'binding_rotated' && html` <span class="badge warn">rotated, no theft</span>`
}

/** Empty where there is nobody. */
function presenterTable(
  caption: string,
  by: string,
  presenters: readonly PresenterReport[],
  unnamed: number,
): Html | false {
  if (presenters.length === 0 && unnamed === 0) return false
  const rows = presenters.map(
    ({ presenter, checks, firstSeen, lastSeen, by: counts }) =>
      html`<th role="rowheader" scope="row"><span class="id">${formatPresenter(presenter)}</span></th>
<td role="cell" class="number" data-label="Checks">${formatCount(checks)}</td>
<td role="cell" class="names" data-label="${by}">${listCounts(counts)}</td>
<td role="cell" class="word" data-label="First seen">${formatTime(firstSeen)}</td>
<td role="cell" class="word" data-label="Last seen">${formatTime(lastSeen)}</td>`,
  )
  const rest = html`<th role="rowheader" scope="row">others, not kept apart</th>
<td role="cell" class="number" data-label="Checks">${formatCount(unnamed)}</td>
<td role="cell"></td><td role="cell"></td><td role="cell"></td>`
  const head = ['Presenter', 'Checks', by, 'First seen', 'Last seen']
  return table(caption, head, unnamed > 0 ? [...rows, rest] : rows)
}

/** Roles are spelled out because the narrow layout takes the table's display away, and with some readers its meaning. */
export function table(caption: string, head: readonly string[], rows: readonly Html[]): Html {
  const columns = head.map(
    (name) =>
      html`<th role="columnheader" scope="col"${name === 'Checks' || name === 'Refused' ? html` class="number"` : false}>${name}</th>`,
  )
  return html`<table role="table">
<caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns}</tr></thead>
<tbody role="rowgroup">
${rows.map((row) => html`<tr role="row">${row}</tr>\n`)}</tbody>
</table>`
}

function earlierList({ earlier }: RouteReport, shares: Shares): Html {
  const items = earlier.map(
    ({ revision, mode, refused, checks, firstSeen, lastSeen }) =>
      html`<li>Revision <span class="id">${revision}</span>, mode ${mode}: ${formatCount(refused)} of ${formatChecks(checks)} ${mode === 'enforce' ? 'refused' : 'would have been refused'} (${formatShare(refused, checks, shares)}), ${formatTime(firstSeen)} to ${formatTime(lastSeen)}</li>`,
  )
  return html`<p>Under earlier policy revisions:</p><ul>${items}</ul>`
}

/** The table's own advice for operators; its code marks are for Markdown. */
function adviceOn(reason: string): Html {
  if (!Object.hasOwn(reasons, reason))
    return html`A reason that this version does not know: read the log with the version that wrote it.`
  const pieces = reasons[reason as Reason].advice.split('`')
  return html`${pieces.map((piece, i) => (i % 2 === 0 ? html`${piece}` : html`<code>${piece}</code>`))}`
}

function listCounts(counts: readonly Counted[]): Html {
  return html`${counts.map(({ name, checks }, i) => html`${i > 0 && ', '}<span class="id">${name}</span> ${formatCount(checks)}`)}`
}
