import test from 'ava'
import { createRollout, type Observation, type RolloutSource } from '../../src/observe/rollout.ts'
import { formatDuration, formatShare } from '../../src/observe/rollout-verdict.ts'
import { dayOf, observation, orders, start, thief } from '../support/rollout.ts'

const live = { kind: 'live', since: start } as const
const log = { kind: 'log' } as const

function judge(observations: readonly Observation[], source: RolloutSource = live) {
  const rollout = createRollout(source)
  for (const one of observations) rollout.observe(one)
  const [route] = rollout.report().routes
  if (route === undefined) throw new Error('no route')
  return route.verdict
}

test('a day without a refusal is safe to enforce, in one plain sentence', (t) => {
  const { level, sentence, notes } = judge(dayOf(12_410))
  t.is(level, 'safe')
  t.is(sentence, 'Safe to enforce: 0 of 12,410 checks in 24 h would be refused.')
  t.deepEqual(notes, [])
})

test('one refusal is enough not to be safe, and names who and why', (t) => {
  const { level, sentence } = judge([
    ...dayOf(999),
    observation({ reason: 'binding_missing', time: start + 1 }),
  ])
  t.is(level, 'breaks')
  t.is(
    sentence,
    `Not safe to enforce yet: 1 of 1,000 checks in 24 h (0.1 %) would be refused. Would break: ${orders} (binding_missing).`,
  )
})

test('of several presenters the one with most refusals is named, and the others are counted', (t) => {
  const { sentence } = judge([
    ...dayOf(10, { reason: 'binding_missing', presenter: thief }),
    ...dayOf(2, { reason: 'proof_missing' }),
    ...dayOf(1, { reason: 'presenter_missing', presenter: null }),
  ])
  t.true(
    sentence.endsWith(`Would break: ${thief} (binding_missing), and 2 more presenters.`),
    sentence,
  )
})

test('few checks, or a short time, are too early to call safe', (t) => {
  t.is(judge(dayOf(99)).level, 'early')
  t.is(judge(dayOf(100)).level, 'safe')
  const brief = Array.from({ length: 5000 }, (_, i) => observation({ time: start + i }))
  t.is(judge(brief).level, 'early')
  t.regex(judge(brief).sentence, /^Too early to tell: 0 of 5,000 checks in 4 s would be refused\.$/)
})

test('a log that holds no allows is named as such, and tells no share and no safety', (t) => {
  const denies = dayOf(37, { reason: 'binding_missing' })
  const { level, sentence } = judge(denies, log)
  t.is(level, 'unknown')
  t.is(
    sentence,
    '37 checks in 24 h would be refused. The log holds no allows, so it does not tell out of how many.',
  )
  t.false(sentence.includes('%'))
  const enforced = judge(dayOf(37, { reason: 'binding_missing', mode: 'enforce' }), log)
  t.false(enforced.sentence.includes('%'))
  t.is(judge(denies, live).level, 'breaks', 'the process itself misses no allow')
})

test('a log may be a sample of the allows, so its shares are upper bounds', (t) => {
  const { sentence } = judge([...dayOf(98), ...dayOf(2, { reason: 'binding_missing' })], log)
  t.regex(sentence, /2 of 100 checks in 24 h \(at most 2 %\) would be refused/)
})

test('theft and rotation are told apart, each with what to do', (t) => {
  const { notes } = judge([
    ...dayOf(3, { reason: 'binding_mismatch', presenter: thief }),
    ...dayOf(2, { reason: 'binding_rotated' }),
  ])
  t.is(notes.length, 2)
  t.regex(notes[0] ?? '', /^binding_mismatch, 3 checks: .*theft until shown otherwise/)
  t.regex(notes[1] ?? '', /^binding_rotated, 2 checks: .*no theft/)
})

test('a safe route says what is unbound still, and which headers enforcing would change', (t) => {
  const withheld = { set: ['x-meshbind-presenter'], remove: ['authorization', 'dpop'] }
  const { level, notes } = judge([...dayOf(200, { withheld }), ...dayOf(5, { method: 'none' })])
  t.is(level, 'safe')
  t.regex(notes[0] ?? '', /^Still unbound: 5 checks passed with a token without cnf/)
  t.regex(notes[1] ?? '', /would remove authorization, dpop and set x-meshbind-presenter/)
})

test('every other kind of route has its own word', (t) => {
  const levels = [
    judge(dayOf(200, { mode: 'enforce' })),
    judge(dayOf(200, { mode: 'disabled', method: 'none', issuer: null })),
    judge(dayOf(200, { mode: 'enforce', method: 'none', issuer: null })),
    judge(dayOf(3, { route: null, reason: 'route_unmatched', mode: 'enforce' })),
  ].map(({ level }) => level)
  t.deepEqual(levels, ['enforced', 'disabled', 'unprotected', 'apart'])
})

test('a share is never rounded to nothing or to all, and a bound never down', (t) => {
  t.is(formatShare(0, 10, 'exact'), '0 %')
  t.is(formatShare(1, 1_000_000, 'exact'), 'under 0.1 %')
  t.is(formatShare(999_999, 1_000_000, 'exact'), 'over 99 %')
  t.is(formatShare(10, 10, 'upper bound'), '100 %')
  t.is(formatShare(1, 1_000_000, 'upper bound'), 'at most 0.1 %')
  t.is(formatShare(34, 10_000, 'upper bound'), 'at most 0.4 %')
  t.is(formatShare(1, 2, 'unknown'), 'unknown')
})

test('durations are in the largest unit that leaves two of it', (t) => {
  const lengths = [0, 119_000, 120_000, 7_199_000, 86_390_000, 172_800_000]
  t.deepEqual(lengths.map(formatDuration), ['0 s', '119 s', '2 min', '120 min', '24 h', '2 d'])
})
