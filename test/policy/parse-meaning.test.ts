import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit, placeOf, problemsOf, twoIssuers } from '../support/policy-text.ts'

const good = twoIssuers
const edited = (from: string, to: string) => edit(good, from, to)

const match = '{ paths: [/v1/*] }'
const rule = '{ issuers: [corp], bindings: [jwk] }'
const requires = (more: string) => `{ issuers: [corp], bindings: [jwk], ${more} }`
const canonical = 'must be an absolute path in its canonical spelling, without query'
const aHost = 'must be a lower-case host, or `*.` and one'
const aCaller = 'must be a SPIFFE ID with a path, or one that ends in /* for everything below'
const foreign = 'is of a trust domain that is not in spec.trustDomains, so it could never call'
const star = '`*` may only stand at the end, after a slash'

interface Rule {
  readonly says: string
  readonly from: string
  /** Each breaks the rule: the edit, the piece it is placed at, the message. */
  readonly broken: readonly (readonly [to: string, at: string, message: string])[]
  /** Positive controls. */
  readonly fine: readonly string[]
}

const path = (value: string, message: string) =>
  [`{ paths: ["${value}"] }`, `"${value}"`, message] as const
const host = (value: string) => [`{ hosts: ["${value}"] }`, `"${value}"`, aHost] as const
const caller = (value: string, message: string) =>
  [requires(`callers: ["${value}"]`), `"${value}"`, message] as const

const rules: readonly Rule[] = [
  {
    says: 'names of routes are unique',
    from: '  routes:\n',
    broken: [
      [
        '  routes:\n    - { name: first, match: { paths: [/a] }, require: none }\n',
        'first\n',
        'another route is called `first` already',
      ],
    ],
    fine: ['  routes:\n    - { name: other, match: { paths: [/a] }, require: none }\n'],
  },
  {
    says: 'hosts are exact or have one leading *.',
    from: match,
    broken: [
      'A.example',
      'a.example:80',
      'https://a.example',
      '*',
      'a.*',
      '*a.example',
      'a.example.',
      ' a',
    ].map(host),
    fine: ['{ hosts: [a.example, "*.a.example", "[::1]"] }'],
  },
  {
    says: 'paths are exact or end in /*, in their canonical spelling',
    from: match,
    broken: [
      ...['v1', '/v1/../x', '/v1//x', '/%7Ea', '/a;b', '/a?b', '/a#b', '/a/*?x'].map((text) =>
        path(text, canonical),
      ),
      ...['/v1*', '/*/a', '/v*/x', '/**'].map((text) => path(text, star)),
      path('*', canonical),
      path('/../*', canonical),
    ],
    fine: ['{ paths: ["/", "/*", "/a/", "/a/b/*", "/caf%C3%A9", "/a!"] }'],
  },
  {
    says: 'a route names issuers that are there',
    from: rule,
    broken: [
      ['{ bindings: [jwk] }', '{ bindings', 'required key `issuers` is missing'],
      ['{ issuers: [crop], bindings: [jwk] }', 'crop', 'there is no issuer `crop`'],
      [
        '{ issuers: [constructor], bindings: [jwk] }',
        'constructor',
        'there is no issuer `constructor`',
      ],
    ],
    fine: ['{ issuers: [corp, plain], bindings: [jwk] }'],
  },
  {
    says: '`spiffe` on an issuer without `identity` does not compile',
    from: rule,
    broken: [
      [
        '{ issuers: [plain], bindings: [spiffe] }',
        'plain], b',
        '`spiffe` needs the `identity` of issuer `plain`',
      ],
      [
        '{ issuers: [corp, plain], bindings: [jwk, spiffe] }',
        'plain], b',
        '`spiffe` needs the `identity` of issuer `plain`',
      ],
    ],
    fine: ['{ issuers: [corp], bindings: [spiffe] }', '{ issuers: [plain], bindings: [jwk] }'],
  },
  {
    says: 'a route narrows audiences, it cannot add to them',
    from: rule,
    broken: [
      [
        requires('audiences: [https://a.example, https://c.example]'),
        'https://c',
        'is no audience of the route’s issuers',
      ],
      [
        '{ issuers: [corp, plain], bindings: [jwk], audiences: [https://b.example] }',
        '[https://b.example] }',
        'holds none of the audiences of issuer `plain`, so its tokens could never pass',
      ],
    ],
    fine: [requires('audiences: [https://b.example]')],
  },
  {
    says: 'callers are SPIFFE IDs of a listed trust domain, or everything below one',
    from: rule,
    broken: [
      caller('orders', aCaller),
      caller('spiffe://mesh.example/ns/a*', aCaller),
      caller('spiffe://mesh.example/*/sa', aCaller),
      caller('spiffe://mesh.example/../a', aCaller),
      caller('spiffe://mesh.example/', aCaller),
      caller('https://mesh.example/ns', aCaller),
      caller('*', aCaller),
      caller('spiffe://mesh.exampel/ns/a', foreign),
      caller('spiffe://other.example/*', foreign),
    ],
    fine: [requires('callers: ["spiffe://mesh.example/ns/a", "spiffe://mesh.example/*"]')],
  },
  {
    says: 'a binding to a certificate needs certificate evidence',
    from: 'spec:\n',
    broken: [
      [
        'spec:\n  peer: { evidence: [principal] }\n',
        '[jwk]',
        'jwk can never be confirmed while `principal` is the first evidence',
      ],
    ],
    fine: ['spec:\n  peer: { evidence: [certificate, principal] }\n', 'spec:\n  peer: {}\n'],
  },
  {
    says: '`require: none` looks for no presenter, so none can be named upstream',
    from: `require: ${rule}`,
    broken: [
      [
        'require: none\n      forward: { presenterHeader: true }',
        'true }',
        'needs a presenter, which `require: none` does not look for',
      ],
    ],
    fine: [`require: ${rule}\n      forward: { presenterHeader: true }`, 'require: none'],
  },
]

test('policy.md: the policy that the following tests break is valid, without a warning', (t) => {
  t.deepEqual(problemsOf(good), [])
})

for (const { says, from, broken, fine } of rules) {
  test(`policy.md: ${says}`, (t) => {
    for (const [to, at, message] of broken) {
      const text = edited(from, to)
      t.deepEqual(problemsOf(text), [`${placeOf(text, at)} ${message}`], to)
    }
    t.true(broken.length > 0 && fine.length > 0)
    for (const to of fine) t.deepEqual(problemsOf(edited(from, to)), [], to)
  })
}

test('policy.md Paths and hosts: `unmatched: allow` beside routes limited to hosts draws a warning', (t) => {
  const allow = edited('spec:\n', 'spec:\n  unmatched: allow\n')
  t.deepEqual(problemsOf(allow), [])
  const limited = allow.replace(match, '{ hosts: [a.example] }')
  const [warning = '', ...others] = problemsOf(limited)
  t.deepEqual(others, [])
  t.true(warning.startsWith(`${placeOf(limited, 'allow\n')} warning: the client chooses the Host`))
  t.true(parsePolicy(limited).ok)
  t.deepEqual(problemsOf(edited(match, '{ hosts: [a.example] }')), [])
})

for (const path of ['/admin/%2a', '/%2a', '/admin/%2A/x', '/a*b', '/*/x']) {
  test(`policy.md routes: ${path} is refused, for a decoded * would open what is below`, (t) => {
    const text = edit(good, match, `{ paths: ["${path}"] }`)
    t.true(problemsOf(text).some((problem) => problem.includes('`*` may only stand at the end')))
  })
}

test('policy.md presenter 1: a binding that needs the certificate refuses principal as the first evidence', (t) => {
  const withEvidence = (list: string) =>
    edit(good, 'issuers:\n    corp', `peer: { evidence: [${list}] }\n  issuers:\n    corp`)
  t.true(
    problemsOf(withEvidence('principal, certificate')).some((problem) =>
      problem.includes('first evidence'),
    ),
  )
  t.deepEqual(problemsOf(withEvidence('certificate, principal')), [])
})
