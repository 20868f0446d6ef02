import test from 'ava'
import fc from 'fast-check'
import { denyOutright } from '../../src/decision/decision.ts'
import { reasons } from '../../src/decision/reasons.ts'
import { decisionLine } from '../../src/observe/decision-log.ts'
import { observationOf, parseDecisionLine } from '../../src/observe/rollout-line.ts'
import { logLine, observation, start } from '../support/rollout.ts'

test('contract §6: a line and the live decision that it was written from are the same observation', (t) => {
  const outright = denyOutright('overloaded')
  const presenter = { spiffeId: 'spiffe://mesh.example/a', x5tS256: undefined, evidence: 'xfcc' }
  const token = {
    issuer: 'corp',
    subject: 's',
    tokenId: undefined,
    keyId: undefined,
    confirmation: undefined,
    issuedAt: 0,
    expiresAt: 1,
  }
  const findings = { route: 'payments', presenter, token, method: 'none' }
  const decisions = [
    outright,
    { ...outright, mode: 'audit' as const, enforced: false, policyRevision: 'r', findings },
  ]
  for (const decision of decisions) {
    const record = { id: 'x', decision, request: undefined, time: start, durationMicroseconds: 1 }
    t.deepEqual(parseDecisionLine(decisionLine(record)), observationOf(record))
  }
})

test('contract §6: the members that the report needs are read', (t) => {
  const withheld = { set: ['x-meshbind-presenter'], remove: ['authorization'] }
  for (const expected of [
    observation({ withheld }),
    observation({ reason: 'binding_rotated', presenter: null, issuer: null, route: null }),
    observation({ mode: 'disabled', method: 'none', revision: '' }),
  ]) {
    t.deepEqual(parseDecisionLine(logLine(expected)), expected)
  }
  t.deepEqual(parseDecisionLine(logLine({}, { withheld: undefined })), observation())
})

test('application messages, other JSON and empty lines are no decisions, and no damage', (t) => {
  for (const line of ['{"type":"app","message":"ready"}', '{}', '[]', '', '  \r'])
    t.is(parseDecisionLine(line), 'other', line)
})

const damage: Readonly<Record<string, object>> = {
  'another version': { v: 2 },
  'no time': { time: undefined },
  'a time that is none': { time: '2026-13-45T00:00:00Z' },
  'a time in another form': { time: 'Sun, 22 Nov 2026 08:00:00 GMT' },
  'a decision that is none': { decision: 'maybe' },
  'a mode that is none': { mode: 'toString' },
  'enforced as a word': { enforced: 'true' },
  'a route that is a list': { route: ['payments'] },
  'a route that is too long': { route: 'r'.repeat(257) },
  'no route member': { route: undefined },
  'a revision that is null': { policy_revision: null },
  'a presenter that is a word': { presenter: 'me' },
  'a presenter without an ID': { presenter: {} },
  'an ID that is too long': { presenter: { spiffe_id: 's'.repeat(2049) } },
  'a token without an issuer': { token: {} },
  'a method that is a number': { method: 1 },
  'withheld headers that are a word': { withheld: 'all' },
  'withheld headers without a list': { withheld: { set: [], remove: 'x' } },
  'too many withheld headers': { withheld: { set: Array(17).fill('x'), remove: [] } },
  'a withheld header that is null': { withheld: { set: [null], remove: [] } },
}
for (const [what, members] of Object.entries(damage)) {
  test(`a decision line with ${what} is damaged, never guessed at`, (t) => {
    t.is(parseDecisionLine(logLine({}, members)), 'damaged')
  })
}

test('text that is no JSON object is damaged', (t) => {
  const whole = logLine()
  for (const line of ['x', '1', 'null', '{"type":', whole.slice(0, -1), `pod/a ${whole}`])
    t.is(parseDecisionLine(line), 'damaged', line)
  t.is(parseDecisionLine('['.repeat(64 * 1024)), 'damaged')
})

test('a reason that the table does not have is counted as unknown: the set of reasons stays bounded', (t) => {
  const line = (reason: unknown) => parseDecisionLine(logLine({ reason: 'x' }, { reason }))
  for (const reason of ['of_the_future', '__proto__', 'constructor', null, 7])
    t.like(line(reason), { reason: 'unknown' })
  for (const reason of Object.keys(reasons)) t.like(line(reason), { reason })
})

test('no character that a terminal obeys or that turns text around comes through in a name', (t) => {
  const hostile = 'a\u001b[31m\u202eb\u2028\u0000\n\ud800'
  const read = parseDecisionLine(logLine({ route: hostile, presenter: hostile }))
  const shown = 'a\\u{1b}[31m\\u{202e}b\\u{2028}\\u{0}\\u{a}\\u{d800}'
  t.like(read, { route: shown, presenter: shown })
})

test('whatever a line holds, the parser answers', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      t.true(['other', 'damaged'].includes(String(parseDecisionLine(text))))
    }),
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(JSON.parse(logLine()))),
      fc.jsonValue(),
      (name, value) => {
        const read = parseDecisionLine(logLine({}, { [name]: value }))
        t.true(typeof read === 'object' || read === 'other' || read === 'damaged')
      },
    ),
  )
})
