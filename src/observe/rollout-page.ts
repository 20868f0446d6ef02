/** The rollout report as one HTML page: no script, nothing fetched, every text escaped. */

import { createHash } from 'node:crypto'
import { type Html, html } from './html.ts'
import { badgeOf, renderRoute, table } from './rollout-page-route.ts'
import type { RolloutReport } from './rollout-report.ts'
import { rolloutStyle } from './rollout-style.ts'
import { nameRoute, sharesNote } from './rollout-text.ts'
import {
  formatChecks,
  formatCount,
  formatDuration,
  formatRouteShare,
  formatTime,
  type Verdict,
} from './rollout-verdict.ts'

/** Styles by hash, and nothing else: a name from a log that became markup after all could neither run nor load. */
export const rolloutContentPolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(rolloutStyle).digest('base64')}'; base-uri 'none'; form-action 'none'`

/** @param now Unix milliseconds, told as the time of the report. */
export function renderRolloutPage(report: RolloutReport, now: number): string {
  const { routes } = report
  const detailed = routes.map((route, i) => renderRoute(route, `route-${i}`, report.shares))
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${rolloutContentPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Rollout report – meshbind</title>
<style>${{ markup: rolloutStyle }}</style>
</head>
<body>
<a class="skip" href="#routes">Skip to the routes</a>
<header>
<h1>Rollout report</h1>
<p>${summaryOf(report)}</p>
${periodOf(report)}
</header>
<main>
<section aria-labelledby="glance">
<h2 id="glance">At a glance</h2>
<dl class="tiles">${tilesOf(report)}</dl>
${sharesNote(report).map((note) => html`<p class="note">${note}</p>`)}
</section>
<section aria-labelledby="routes">
<h2 id="routes" tabindex="-1">Routes</h2>
${routes.length === 0 ? html`<p>No check has been counted yet.</p>` : summaryTable(report)}
</section>
${
  routes.length > 0 &&
  html`<section aria-labelledby="details">
<h2 id="details">Route by route</h2>
${detailed}
</section>`
}
<section aria-labelledby="policy">
<h2 id="policy">Policy revisions</h2>
${revisionsOf(report)}
</section>
</main>
<footer>
<p>Written by meshbind at ${formatTime(now)}.</p>
</footer>
</body>
</html>
`.markup
}

/** What a manager wants to know, in one sentence or two. */
function summaryOf({ routes, mismatched }: RolloutReport): string {
  const judged = routes.filter(({ mode, route }) => mode === 'audit' && route !== null)
  const safe = judged.filter(({ verdict }) => verdict.level === 'safe').length
  const broken = judged.filter(({ verdict }) => verdict.level === 'breaks').length
  const count = `${formatCount(judged.length)} ${judged.length === 1 ? 'route' : 'routes'}`
  const first =
    judged.length === 0
      ? 'No route is in mode audit.'
      : `Of ${count} in mode audit, ${formatCount(safe)} ${safe === 1 ? 'is' : 'are'} safe to enforce, ${formatCount(broken)} ${broken === 1 ? 'is' : 'are'} not.`
  return mismatched === 0
    ? first
    : `${first} ${formatChecks(mismatched)} may be theft (binding_mismatch).`
}

function periodOf({ source, checks, firstSeen, lastSeen }: RolloutReport): Html {
  const from = source.kind === 'live' ? source.since : firstSeen
  const length = formatDuration((lastSeen ?? 0) - (firstSeen ?? 0))
  const origin =
    source.kind === 'live'
      ? html`Live: this replica alone, since it started at ${formatTime(from)}. Reload the page for newer numbers.`
      : html`From decision logs, ${formatTime(firstSeen)} to ${formatTime(lastSeen)}.`
  return html`<p class="soft">${formatChecks(checks)} in ${length}. ${origin}</p>`
}

function tilesOf({ routes, mismatched, rotated }: RolloutReport): Html[] {
  const of = (level: Verdict['level']) =>
    routes.filter(({ verdict }) => verdict.level === level).length
  const tile = (count: number, kind: string, title: string, words: string) =>
    html`<div class="tile ${count > 0 ? kind : ''}"><dt><b>${title}</b>${words}</dt><dd>${formatCount(count)}</dd></div>`
  const unbound = routes.reduce((sum, route) => sum + route.unbound, 0)
  return [
    tile(of('safe'), 'good', 'Safe to enforce', 'routes in audit without a refusal'),
    tile(of('breaks'), 'bad', 'Not safe yet', 'routes in audit with refusals'),
    tile(of('enforced'), '', 'Enforced', 'routes already enforcing'),
    tile(
      mismatched,
      'bad',
      'Possible theft',
      'checks with binding_mismatch: bound to another workload',
    ),
    tile(rotated, 'warn', 'Rotated', 'checks with binding_rotated: no theft, a stale token'),
    tile(unbound, 'warn', 'Still unbound', 'checks allowed with a token without cnf'),
  ]
}

function summaryTable({ routes, shares, revisions }: RolloutReport): Html {
  const rows = routes.map(
    (
      route,
      i,
    ) => html`<th role="rowheader" scope="row"><a href="#route-${i}">${nameRoute(route)}</a></th>
<td role="cell" data-label="Mode">${route.route === null ? '–' : route.mode}</td>
<td role="cell" class="number" data-label="Checks">${formatCount(route.checks)}</td>
<td role="cell" class="number" data-label="Refused">${formatCount(route.refused)}</td>
<td role="cell" data-label="Share refused">${formatRouteShare(route, shares)}</td>
<td role="cell" data-label="Verdict"><span class="badge ${badgeOf(route.verdict)}">${route.verdict.title}</span></td>`,
  )
  const revision = revisions[0]?.revision
  return html`<div class="panel">${table(
    `Under ${revision === undefined ? 'no policy' : `policy revision ${revision}`}. Refused: on a route in mode audit, what would be.`,
    ['Route', 'Mode', 'Checks', 'Refused', 'Share refused', 'Verdict'],
    rows,
  )}</div>`
}

function revisionsOf({ revisions, forgotten, outright }: RolloutReport): Html {
  const items = revisions.map(
    ({ revision, checks, firstSeen, lastSeen }, i) =>
      html`<li><span class="id">${revision}</span>${i === 0 && ' (latest)'}: ${formatChecks(checks)}, first seen ${formatTime(firstSeen)}, last seen ${formatTime(lastSeen)}</li>`,
  )
  const before = outright.map(({ name, checks }) => `${name} ${formatCount(checks)}`).join(', ')
  return html`<p>A revision is a hash of the policy’s text. The counts on this page are those of the latest one; what a route saw under earlier ones stands with it.</p>
<ul>${items}</ul>
${forgotten > 0 && html`<p>${formatChecks(forgotten)} of still earlier revisions are not shown.</p>`}
${outright.length > 0 && html`<p>Refused before a policy was looked at: ${before}.</p>`}`
}
