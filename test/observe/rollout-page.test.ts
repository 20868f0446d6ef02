import test from 'ava'
import { reasons } from '../../src/decision/reasons.ts'
import { html } from '../../src/observe/html.ts'
import { createRollout, type RolloutSource } from '../../src/observe/rollout.ts'
import { parseDecisionLine } from '../../src/observe/rollout-line.ts'
import { renderRolloutPage, rolloutContentPolicy } from '../../src/observe/rollout-page.ts'
import { logLine, observation, start } from '../support/rollout.ts'

const live = { kind: 'live', since: start } as const

function pageOf(
  observations: readonly ReturnType<typeof observation>[],
  source: RolloutSource = live,
) {
  const rollout = createRollout(source)
  for (const one of observations) rollout.observe(one)
  return renderRolloutPage(rollout.report(), start)
}

test('every value in the page is escaped, in text and in attributes', (t) => {
  t.is(
    html`<a title="${'"\'<>&'}">${'</a>'}</a>`.markup,
    '<a title="&quot;&#39;&lt;&gt;&amp;">&lt;/a&gt;</a>',
  )
  t.is(html`${[html`<b>${1}</b>`, html`${false}`]}`.markup, '<b>1</b>')
})

test('no text of a hostile log becomes markup', (t) => {
  const evil = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`
  const read = [
    logLine({ route: evil, presenter: evil, issuer: evil, revision: evil, method: 'none' }),
    logLine({ route: evil, presenter: evil, revision: evil, reason: 'binding_missing' }),
    logLine({ route: evil, revision: evil, withheld: { set: [evil], remove: [evil] } }),
    logLine({ route: evil, revision: `${evil}2`, time: start - 1 }),
  ].map(parseDecisionLine)
  const page = pageOf(read.filter((one) => typeof one === 'object'))
  t.is(read.filter((one) => typeof one === 'object').length, 4)
  t.false(/<script|<img/i.test(page))
  t.true(page.includes('&lt;script&gt;'))
})

test('the page names nothing to fetch and no script, and its own policy forbids both', (t) => {
  const page = pageOf([observation({ reason: 'binding_mismatch' })])
  t.false(/<script|<link|<img|<iframe|url\(|@import|\son[a-z]+=|\sstyle=|https?:/i.test(page))
  t.regex(rolloutContentPolicy, /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; /)
  t.false(rolloutContentPolicy.includes('unsafe'))
})

test('the live page says that it counts since the start of this process, and a log page when the log begins', (t) => {
  t.regex(pageOf([]), /this replica alone, since it started at 2026-11-22 08:00 UTC/)
  t.regex(pageOf([observation()], { kind: 'log' }), /From decision logs, 2026-11-22 08:00 UTC to/)
})

test('a page without a single check is whole, and promises nothing', (t) => {
  const page = pageOf([])
  t.true(page.includes('No check has been counted yet.'))
  t.false(page.includes('Safe to enforce:'))
})

test('every reason comes with its advice; theft and rotation are marked', (t) => {
  const names = Object.keys(reasons)
  const page = pageOf(names.map((reason) => observation({ reason })))
  for (const name of names) t.true(page.includes(`>${name}</code>`), name)
  t.regex(page, />binding_mismatch<\/code> <span class="badge bad">possible theft</)
  t.regex(page, />binding_rotated<\/code> <span class="badge warn">rotated, no theft</)
  t.regex(pageOf([observation({ reason: 'unknown' })]), /A reason that this version does not know/)
})

test('headings never skip a level', (t) => {
  const page = pageOf([observation({ reason: 'binding_missing' }), observation({ route: 'b' })])
  const levels = [...page.matchAll(/<h([1-6])/g)].map(([, level]) => Number(level))
  t.is(levels[0], 1)
  for (const [i, level] of levels.entries())
    t.true(level - (levels[i - 1] ?? 0) <= 1, `heading ${i}`)
})
