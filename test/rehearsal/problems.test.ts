import test from 'ava'
import { readTest } from '../../src/rehearsal/document.ts'
import { findTestProblems, findUnknownIssuers } from '../../src/rehearsal/meaning.ts'
import { edit } from '../support/policy-text.ts'

const good = `apiVersion: meshbind/v1alpha1
kind: PolicyTest
policy: policy.yaml
now: 2026-01-01T12:00:00Z
peers:
  orders: { spiffeId: spiffe://mesh.example/ns/shop/sa/orders }
  renewed: { spiffeId: spiffe://mesh.example/ns/shop/sa/orders, keyOf: orders }
keys:
  phone: {}
tokens:
  bound: { issuer: corp, bind: { x5t#S256: orders } }
tests:
  - name: the owner passes
    request: { method: GET, host: a.example, path: / }
    peer: orders
    token: bound
    expect: allow
`

function problemsOf(text: string): string[] {
  const result = readTest(text, findTestProblems)
  return result.ok
    ? []
    : result.problems.map(({ line, column, message, advice }) =>
        `${line}:${column} ${message} ${advice}`.trim(),
      )
}

test('a good test has no problems', (t) => {
  t.deepEqual(problemsOf(good), [])
})

const broken: readonly (readonly [from: string, to: string, problem: string])[] = [
  ['kind: PolicyTest', 'kind: PolicyTests', '2:7 must be PolicyTest Did you mean `PolicyTest`?'],
  ['now: 2026-01-01T12:00:00Z\n', '', '1:1 required key `now` is missing'],
  ['now: 2026-01-01', 'now: 2026-02-30', '4:6 is no day of the calendar, or no time of day'],
  ['T12:00:00Z', 'T12:00:00+01:00', '4:6 must be a time such as 2026-01-01T00:00:00Z'],
  ['T12:00:00Z', 'T24:00:00Z', '4:6 is no day of the calendar, or no time of day'],
  ['    token: bound', '    tokn: bound', '16:5 unknown key `tokn` Did you mean `token`?'],
  ['keyOf: orders', 'keyOf: order', '7:72 there is no peer `order` Did you mean `orders`?'],
  [
    'keyOf: orders',
    'notAfter: 1h',
    '7:75 must be a time such as 2026-01-01T00:00:00Z, or from now on: -10m, +1h',
  ],
  ['x5t#S256: orders', 'x5t#S256: ordrs', '11:44 there is no peer `ordrs` Did you mean `orders`?'],
  ['x5t#S256: orders', 'dpop: orders', '11:40 there is no key `orders` There is: phone.'],
  [
    '    peer: orders',
    '    peer: gone',
    '15:11 there is no peer `gone` There is: orders, renewed.',
  ],
  [
    '    peer: orders',
    '    via: [renewed, gone]',
    '15:20 there is no peer `gone` There is: orders, renewed.',
  ],
  ['token: bound', 'token: bond', '16:12 there is no token `bond` Did you mean `bound`?'],
  ['token: bound', 'proof: phones', '16:12 there is no key `phones` Did you mean `phone`?'],
  ['token: bound', 'scheme: DPoP', '16:13 goes with `token`'],
  ['expect: allow', 'expect: alow', '17:13 must be allow, deny, or { deny: REASON }'],
  [
    'expect: allow',
    'expect: { deny: bindng_mismatch }',
    '17:21 is no reason. Did you mean `binding_mismatch`?',
  ],
  [
    'path: / }',
    'path: /, headers: { cookie: x } }',
    '14:66 the name is of no header that meshbind reads: authorization, dpop, workload-identity-token, workload-proof-token, txn-token, x-forwarded-client-cert, x-meshbind-…',
  ],
  [
    'path: / }',
    'path: /, headers: { authorization: x } }',
    '16:12 goes without the header `authorization`, which it fills',
  ],
  [
    'tests:\n',
    'tests:\n  - { name: the owner passes, request: { method: GET, host: a, path: / } }\n',
    '14:11 another test has this name already',
  ],
  ['name: the owner passes', 'name: "the\\e owner"', '13:11 must be without control characters'],
  [
    'kind: PolicyTest\n',
    'kind: PolicyTest\nkind: PolicyTest\n',
    '3:1 Map keys must be unique Keep one of the two.',
  ],
]

for (const [from, to, problem] of broken) {
  test(`a problem with its place and advice: ${JSON.stringify(to)}`, (t) => {
    t.deepEqual(problemsOf(edit(good, from, to)), [problem])
  })
}

test('an issuer is one of the policy’s', (t) => {
  const reading = readTest(good, (document) => findUnknownIssuers(document, ['crop', 'partner']))
  t.like(reading, {
    ok: false,
    problems: [
      { line: 11, message: 'the policy has no issuer `corp`', advice: 'Did you mean `crop`?' },
    ],
  })
})

test('a text that bends the parser is a problem like any other', (t) => {
  const bomb = `${good}x: &a [${'*a, '.repeat(50)}]\n`
  for (const text of ['', '{', '- a', `${good}---\n${good}`, bomb]) {
    t.not(problemsOf(text).length, 0, text.slice(0, 40))
  }
})
