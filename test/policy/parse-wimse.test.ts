import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'

const anchor = 'mesh.example: { keys: { file: w.json } }'
const section = `{ audiences: [https://a.example], trustAnchors: { ${anchor} } }`

/** @param wimse The section, or `none`. */
function problemsOf(require: string, wimse = section): readonly string[] {
  const result = parsePolicy(`
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  ${wimse === 'none' ? '' : `wimse: ${wimse}`}
  issuers:
    corp: { issuer: https://idp.example, audiences: [a], keys: { file: k.json } }
  routes:
    - name: first
      require: { ${require} }
`)
  return result.ok ? [] : result.problems.map(({ message }) => message)
}

const caller = 'spiffe://mesh.example/ns/shop/sa/orders'
const lacksIssuers = 'required key `issuers` is missing'

const routes: readonly (readonly [require: string, problems: readonly string[]])[] = [
  ['bindings: [wimse]', []],
  [`bindings: [wimse], callers: [${caller}]`, []],
  ['bindings: [wimse], callers: [wimse://mesh.example/orders, wimse://mesh.example/ns/*]', []],
  ['bindings: [wimse], issuers: [corp]', []],
  ['bindings: [wimse, jwk], issuers: [corp], scopes: [pay], maxAge: 1m, delegation: {}', []],
  ['bindings: [wimse, jwk]', [lacksIssuers]],
  ['bindings: [jwk]', [lacksIssuers]],
  ['bindings: [wimse, wimse]', ['`wimse` is listed twice']],
  ...[
    ['audiences', '[a]'],
    ['scopes', '[pay]'],
    ['claims', '{ tenant: [acme] }'],
    ['maxLifetime', '5m'],
    ['maxAge', '5m'],
    ['delegation', '{}'],
  ].map(
    ([name, value]) =>
      [
        `bindings: [wimse], ${name}: ${value}`,
        ['is about access tokens, and the route takes none'],
      ] as const,
  ),
]
for (const [require, problems] of routes) {
  test(`policy.md Defaults: issuers may be left out where the only binding is wimse: ${require}`, (t) => {
    t.deepEqual(problemsOf(require), problems)
  })
}

test('policy.md: `wimse` without its section could never be confirmed', (t) => {
  const require = 'bindings: [wimse, jwk], issuers: [corp]'
  t.deepEqual(problemsOf(require, 'none'), ['`wimse` needs `spec.wimse`'])
})

const sections: readonly (readonly [wimse: string, problems: readonly string[]])[] = [
  [`{ audiences: [a], trustAnchors: { ${anchor} }, maxLifetime: 10m }`, []],
  [
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: { file: w.json }, schemes: [spiffe, wimse] } } }',
    [],
  ],
  [`{ audiences: [a], trustAnchors: { ${anchor} }, maxLifetime: 601s }`, ['must be at most 10m']],
  ['{ audiences: [a], trustAnchors: {} }', ['must name at least one trust domain']],
  [
    '{ audiences: [a], trustAnchors: { other.example: { keys: { file: w.json } } } }',
    ['is not in spec.trustDomains'],
  ],
  [
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: { url: http://k.example } } } }',
    ['must be https (http is for loopback alone)'],
  ],
  [
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: { discovery: true } } } }',
    ['has no issuer to start from here: write url or file'],
  ],
  [
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: {} } } }',
    ['must have exactly one of file, url, discovery'],
  ],
]
for (const [wimse, problems] of sections) {
  test(`policy.md wimse: ${wimse}`, (t) => {
    t.deepEqual(problemsOf('bindings: [wimse]', wimse), problems)
  })
}

test('policy.md wimse: audiences and trustAnchors are required, and empty lists are errors', (t) => {
  for (const wimse of [
    `{ trustAnchors: { ${anchor} } }`,
    '{ audiences: [a] }',
    `{ audiences: [], trustAnchors: { ${anchor} } }`,
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: { file: w.json }, schemes: [] } } }',
    '{ audiences: [a], trustAnchors: { mesh.example: { keys: { file: w.json }, schemes: [http] } } }',
    `{ audiences: [a], trustAnchors: { ${anchor} }, replay: off }`,
  ])
    t.is(problemsOf('bindings: [wimse]', wimse).length, 1, wimse)
})
