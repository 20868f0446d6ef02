import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'

/** @param ofIssuer The issuer's own limit. */
function problemsOf(require: string, ofIssuer = ''): readonly string[] {
  const result = parsePolicy(`
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    partner: { issuer: https://partner.example, audiences: [a], keys: { file: k.json }${ofIssuer} }
  routes:
    - name: legacy
      require: { issuers: [partner], bindings: ["x5t#S256"], ${require} }
`)
  return result.ok ? [] : result.problems.map(({ message }) => message)
}

const caller = 'callers: [spiffe://mesh.example/ns/shop/sa/orders]'
const needsLifetime =
  'needs `maxLifetime` of at most 15m, and tokens of issuer `partner` may live longer'
const needsNarrowing = 'needs `scopes` or `callers`'

const cases: readonly (readonly [require: string, problems: readonly string[], issuer?: string])[] =
  [
    [`unbound: allow, maxLifetime: 15m, ${caller}`, []],
    ['unbound: allow, maxLifetime: 15m, scopes: [orders.read]', []],
    [`unbound: allow, ${caller}`, [], ', maxLifetime: 15m'],
    [`unbound: allow, maxLifetime: 1h, ${caller}`, [], ', maxLifetime: 10m'],
    [`unbound: allow, maxLifetime: 901s, ${caller}`, [needsLifetime]],
    [`unbound: allow, ${caller}`, [needsLifetime]],
    [`unbound: allow, ${caller}`, [needsLifetime], ', maxLifetime: 16m'],
    ['unbound: allow, maxLifetime: 15m', [needsNarrowing]],
    ['unbound: allow, maxLifetime: 15m, claims: { tenant: [acme] }', [needsNarrowing]],
    ['unbound: allow', [needsLifetime, needsNarrowing]],
  ]

for (const [require, problems, issuer] of cases) {
  test(`policy.md, unbound: compiles only with maxLifetime ≤ 15m and scopes or callers: ${require}${issuer ?? ''}`, (t) => {
    t.deepEqual(problemsOf(require, issuer), problems)
  })
}

test('policy.md, unbound: allow is its only value', (t) => {
  for (const value of ['deny', 'true', '[allow]', '{}'])
    t.is(problemsOf(`unbound: ${value}, maxLifetime: 15m, ${caller}`).length, 1, value)
})
