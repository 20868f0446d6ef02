import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit, placeOf, problemsOf } from '../support/policy-text.ts'

const good = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { file: jwks.json }
      identity: { claim: sub }
  routes:
    - name: first
      match: { paths: [/v1/*] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
`

const edited = (from: string, to: string, text = good) => edit(text, from, to)

function adviceOf(text: string): string {
  const result = parsePolicy(text)
  return result.ok ? '' : (result.problems[0]?.advice ?? '')
}

const lowerCase = 'must be lower-case letters, digits and dashes (at most 63)'
const empty = 'must not be empty'
const aDuration = 'must be a duration such as 30s, 10m or 1h'
const bindings = 'bindings: ["x5t#S256"]'
const otherIssuer = '    Other: { issuer: https://o.example, audiences: [a], keys: { file: k } }\n'
const scopes = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`).join(', ')

/** What is edited into what, the piece that the one problem stands at, and its message. */
const single: readonly (readonly [from: string, to: string, at: string, message: string])[] = [
  ['kind: BindingPolicy\n', '', 'apiVersion', 'required key `kind` is missing'],
  ['{ name: shop }', '{}', '{}', 'required key `name` is missing'],
  [
    '      audiences: [https://a.example]\n',
    '',
    'issuer: h',
    'required key `audiences` is missing',
  ],
  [`, ${bindings}`, '', '{ issuers: [corp]', 'required key `bindings` is missing'],
  ['kind: BindingPolicy', 'kind: Binding', 'Binding', 'must be BindingPolicy'],
  ['meshbind/v1alpha1', 'meshbind/v2', 'meshbind/v2', 'must be meshbind/v1alpha1'],
  ['name: shop', 'name: Shop', 'Shop', lowerCase],
  ['name: shop', `name: ${'s'.repeat(64)}`, 'ssss', lowerCase],
  ['name: shop', 'name: 7', '7', 'must be a string, not a number'],
  ['name: first', 'name: first_one', 'first_one', lowerCase],
  ['  routes:', `${otherIssuer}  routes:`, 'Other', `the name ${lowerCase}`],
  ['[mesh.example]', '[]', '[]', empty],
  ['[mesh.example]', 'mesh.example', 'mesh.example', 'must be a list, not a string'],
  ['[https://a.example]', '[]', '[]', empty],
  ['[https://a.example]', '[""]', '""', empty],
  ['[corp]', '[]', '[]', empty],
  ['["x5t#S256"]', '[]', '[]', empty],
  ['[/v1/*]', '[]', '[]', empty],
  ['{ paths: [/v1/*] }', '{ hosts: [] }', '[]', empty],
  ['{ paths: [/v1/*] }', '[/v1/*]', '[/v1', 'must be a map, not a list'],
  ['{ paths: [/v1/*] }', '{ methods: [get] }', 'get]', 'must be an HTTP method in upper case'],
  ['{ paths: [/v1/*] }', '{ context: { a: 1 } }', '1 }', 'must be a string, not a number'],
  ['spec:\n', 'spec:\n  clockSkew: 30\n', '30', 'must be a string, not a number'],
  ['spec:\n', 'spec:\n  clockSkew: 30 s\n', '30 s', aDuration],
  ['spec:\n', 'spec:\n  clockSkew: -1s\n', '-1s', aDuration],
  ['spec:\n', 'spec:\n  clockSkew: 01s\n', '01s', aDuration],
  ['spec:\n', 'spec:\n  unmatched: refuse\n', 'refuse', 'must be one of deny, allow'],
  [bindings, `${bindings}, maxAge: 1d`, '1d', aDuration],
  [bindings, `${bindings}, claims: { a: [] }`, '[] ', empty],
  [bindings, `${bindings}, claims: { a: acme }`, 'acme', 'must be a list, not a string'],
  [bindings, `${bindings}, scopes: ["a b"]`, '"a b"', 'must be one scope (RFC 6749 §3.3)'],
  [bindings, `${bindings}, scopes: [${scopes(33)}]`, '[s0', 'is too large (at most 32)'],
  [bindings, `${bindings}, unknwon: 1`, 'unknwon', 'unknown key `unknwon`'],
  ['{ claim: sub }', 'sub', 'sub', 'must be a map, not a string'],
  [
    '{ issuers: [corp], bindings',
    'nothing #',
    'nothing',
    'must be none, or what the route requires',
  ],
  ['spec:\n', 'spec:\n  constructor: 1\n', 'constructor', 'unknown key `constructor`'],
  [
    'spec:\n',
    'spec:\n  __proto__: { a: 1 }\n',
    '__proto__',
    'the key `__proto__` is not taken anywhere',
  ],
  ['spec:\n', 'spec:\n  <<: { a: 1 }\n', '<<', 'unknown key `<<`'],
]

test('policy.md: the policy that the following tests break is valid', (t) => {
  t.deepEqual(problemsOf(good), [])
})

for (const [from, to, at, message] of single) {
  const what = `${from.trim().slice(0, 40)} → ${to.trim().slice(0, 50)}`
  test(`policy.md The policy language: one mistake is one problem at its place: ${what}`, (t) => {
    const text = edited(from, to)
    t.deepEqual(problemsOf(text), [`${placeOf(text, at)} ${message}`])
  })
}

const nearMisses: readonly (readonly [from: string, to: string, meant: string])[] = [
  ['      keys:', '      audience: [x]\n      keys:', 'audiences'],
  ['metadata:', 'metdata: {}\nmetadata:', 'metadata'],
  ['{ paths: [/v1/*] }', '{ path: [/v1/*] }', 'paths'],
  ['{ paths: [/v1/*] }', '{ Paths: [/v1/*] }', 'paths'],
  ['"x5t#S256"', 'x5t#s256', 'x5t#S256'],
  ['"x5t#S256"', 'spifee', 'spiffe'],
  ['kind: BindingPolicy', 'kind: bindingpolicy', 'BindingPolicy'],
  ['spec:\n', 'spec:\n  unmatched: alow\n', 'allow'],
  ['spec:\n', 'spec:\n  trustdomain: [x]\n', 'trustDomains'],
  [bindings, `${bindings}, maxLifeTime: 1m`, 'maxLifetime'],
  [bindings, `${bindings}, caller: [x]`, 'callers'],
  ['[corp]', '[crop]', 'corp'],
  ['{ claim: sub }', '{ claim: sub, clam: x }', 'claim'],
  ['{ file: jwks.json }', '{ file: jwks.json, cafile: x }', 'caFile'],
]
for (const [from, to, meant] of nearMisses) {
  test(`policy.md The policy language (M221): ${to.trim()} is refused and \`${meant}\` suggested`, (t) => {
    t.is(adviceOf(edited(from, to)), `Did you mean \`${meant}\`?`)
  })
}

test('policy.md: what is near nothing is answered with what is known there', (t) => {
  const text = edited('[corp], b', '[corp], zzzzzzzzzzzz: 1, b')
  t.regex(adviceOf(edited('{ name: shop }', '{ name: shop, zzzzzzzz: 1 }')), /^Known here: name\.$/)
  t.regex(adviceOf(text), /^Known here: issuers, audiences, bindings, callers, .*dpop\.$/)
  t.is(adviceOf(edited('[corp]', '[zzzzzzzz]')), 'There is: corp.')
})

test('policy.md: a suggestion never repeats what was written', (t) => {
  const text = edited('{ claim: sub }', '{ claim: sub, kubernetes: mesh.example }')
  const result = parsePolicy(text)
  t.false(result.ok)
  t.notRegex(adviceOf(text), /Did you mean `kubernetes`/)
})

test('policy.md: every problem has a message of its own language, whatever the value of a claim', (t) => {
  for (const value of ['.nan', '.inf', '-.inf', 'null', '~', '[a]', '{ a: b }']) {
    const text = edited(bindings, `${bindings}, claims: { tenant: [${value}] }`)
    const [problem = ''] = problemsOf(text)
    t.true(problem.startsWith(`${placeOf(text, `${value}] }`)} `), problem)
    t.notRegex(problem, /Invalid input/, value)
  }
})

test('policy.md: a mode that the language does not have is one problem, and no mode of a later version', (t) => {
  for (const mode of [
    'enforced',
    'Audit',
    'off',
    '""',
    'null',
    '1',
    '{ toString: 1 }',
    '[enforce]',
  ]) {
    const text = edited('spec:\n', `spec:\n  mode: ${mode}\n`)
    const at = `${placeOf(text, `${mode}\n  trust`)} must be one of enforce, audit, disabled`
    t.deepEqual(problemsOf(text), [at], mode)
  }
})

test('policy.md: all problems of a file come at once, in the order of its lines', (t) => {
  const text = `apiVersion: meshbind/v1
kind: BindingPolicy
metadata: { name: Shop }
spec:
  mode: audit
  clockSkew: 10m
  trustDomains: []
  revocation: {}
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { url: http://idp.example/jwks }
    other:
      issuer: https://other.example
      audience: [https://a.example]
      audiences: [https://a.example]
      keys: { file: jwks.json }
  routes:
    - name: a
      match: { hosts: ["A.example"], paths: [/x/../y] }
      require: none
    - name: b
      match: { paths: [/y] }
      require: { issuers: [crop], bindings: ["x5t#S256", x5u] }
    - name: a
      match: { paths: [/z], methods: [get] }
      require: none
    - name: c
      match: { paths: [/c] }
      require: { issuers: [crop], bindings: [jwk], rotation: { grace: 1m } }
`
  const expected: readonly (readonly [at: string, message: string])[] = [
    ['meshbind/v1', 'must be meshbind/v1alpha1'],
    ['Shop', lowerCase],
    ['10m', 'must be at most 5m'],
    ['[]', empty],
    ['{}', 'must have at least one of denylist, statusList, events'],
    ['http://idp', 'must be https (http is for loopback alone)'],
    ['audience: ', 'unknown key `audience`'],
    ['"A.example"', 'must be a lower-case host, or `*.` and one'],
    ['/x/../y', 'must be an absolute path in its canonical spelling, without query'],
    ['x5u', 'must be one of x5t#S256, jwk, dpop, wimse, spiffe'],
    ['get]', 'must be an HTTP method in upper case'],
    ['crop], bindings: [jwk]', 'there is no issuer `crop`'],
    ['{ grace', 'is about `x5t#S256`, which the route does not list'],
  ]
  t.deepEqual(
    problemsOf(text),
    expected.map(([at, message]) => `${placeOf(text, at)} ${message}`),
  )
})

test('policy.md (catalogue 235): the list of routes is bounded by ten thousand, not by less', (t) => {
  const route = (i: number) => `    - { name: r${i}, match: { paths: [/r/${i}] }, require: none }`
  const withRoutes = (count: number) =>
    `${good}${Array.from({ length: count - 1 }, (_, i) => route(i)).join('\n')}\n`
  t.deepEqual(problemsOf(withRoutes(1000)), [])
  t.deepEqual(problemsOf(withRoutes(1001)), [])
})
