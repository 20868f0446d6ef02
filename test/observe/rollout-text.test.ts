import test from 'ava'
import { createRollout, type Observation } from '../../src/observe/rollout.ts'
import { renderRolloutText } from '../../src/observe/rollout-text.ts'
import { dayOf, observation, start, thief } from '../support/rollout.ts'

function textOf(observations: readonly Observation[], kind: 'live' | 'log' = 'log'): string {
  const rollout = createRollout(kind === 'live' ? { kind, since: start } : { kind })
  for (const one of observations) rollout.observe(one)
  return renderRolloutText(rollout.report())
}

test('the routes that need attention come first', (t) => {
  const text = textOf([
    ...dayOf(200, { route: 'a-safe' }),
    ...dayOf(200, { route: 'b-enforced', mode: 'enforce' }),
    ...dayOf(5, { route: 'c-early' }),
    ...dayOf(200, { route: 'd-breaks', reason: 'binding_missing' }),
  ])
  const order = [...text.matchAll(/^([a-d])-\w+ {2,}/gm)].map(([, name]) => name)
  t.deepEqual(order, ['d', 'c', 'a', 'b'])
})

test('a long list of presenters is cut, and the rest is counted', (t) => {
  const text = textOf(
    Array.from({ length: 13 }, (_, i) =>
      observation({ presenter: `${thief}${i}`, reason: 'binding_mismatch' }),
    ),
  )
  t.is(text.match(/^ {2}spiffe:.*binding_mismatch 1,/gm)?.length, 10)
  t.regex(text, /^ {2}other presenters: 3$/m)
})

test('policy revisions are listed with when they were seen, and a route with what it saw before', (t) => {
  const text = textOf([
    ...dayOf(4, { revision: 'old', reason: 'proof_missing' }),
    observation({ revision: 'new', time: start + 90_000_000 }),
  ])
  t.regex(text, /^Policy revision new, first seen 2026-11-23 09:00 UTC/m)
  t.regex(text, /^Earlier revision old: 4 checks, 2026-11-22 08:00 UTC to 2026-11-23 08:00 UTC$/m)
  t.regex(
    text,
    /^ {2}earlier revision old \(audit\): 4 of 4 checks would have been refused \(100 %\)$/m,
  )
})

test('what was refused before a policy was looked at is named apart', (t) => {
  const early = { revision: '', route: null, mode: 'enforce', reason: 'not_ready' } as const
  const text = textOf([observation(early), observation(early)])
  t.regex(text, /^Refused before a policy was looked at: not_ready 2$/m)
  t.regex(text, /^No check under any policy revision\.$/m)
})

test('only a log is warned about: the process itself has counted every check', (t) => {
  const checks = [...dayOf(9), observation({ reason: 'binding_missing' })]
  t.true(textOf(checks).includes('Shares are upper bounds'))
  t.false(textOf(checks, 'live').includes('upper bounds'))
  t.true(textOf(checks.slice(9)).includes('holds no allows'))
})

test('a route that requires nothing, and one that is disabled, have no share of refusals', (t) => {
  const text = textOf([
    ...dayOf(3, { route: 'health', method: 'none', issuer: null }),
    ...dayOf(3, { route: 'off', mode: 'disabled' }),
  ])
  t.regex(text, /^health +audit +3 +0 +– +0 +Unprotected$/m)
  t.regex(text, /^off +disabled +3 +0 +– +0 +Not looked at$/m)
})
