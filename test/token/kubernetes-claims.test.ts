/** ServiceAccount claims as `identity: { kubernetes: … }` reads them: who it is, when it ends, and what is refused. */

import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { type IdentitySource, judgeTime, readClaims } from '../../src/token/claims.ts'
import sample from '../vectors/kubernetes_service_account.json' with { type: 'json' }

const { claims } = sample
const account = claims['kubernetes.io']
const source = { kubernetes: 'mesh.example' }
const year = 365 * 24 * 3600

/** The claims of the sample, some of its `kubernetes.io` replaced. */
const withAccount = (more: object) => ({ ...claims, 'kubernetes.io': { ...account, ...more } })

function factsOf(object: object, from: IdentitySource = source) {
  const facts = readClaims({ ...object }, from)
  if (isRefusal(facts)) throw new Error(`${facts.refused} ${facts.detail}`)
  return facts
}

function flawOf(object: object, from: IdentitySource | undefined): string {
  const facts = readClaims({ ...object }, from)
  return isRefusal(facts) ? `${facts.refused} ${facts.detail}` : ''
}

test('Kubernetes’ claims.go: a real injected token is its ServiceAccount in Istio’s form', (t) => {
  t.is(factsOf(claims).identity, 'spiffe://mesh.example/ns/default/sa/default')
})

test('Kubernetes’ claims.go: the token lives a year by exp, and here until warnafter', (t) => {
  t.is(claims.exp - claims.iat, year)
  t.is(factsOf(claims).expiresAt, claims.iat + 3607)
  t.is(factsOf(withAccount({ warnafter: claims.exp + 1 })).expiresAt, claims.exp)
  t.is(factsOf(withAccount({ warnafter: undefined })).expiresAt, claims.exp)
})

test('Kubernetes’ claims.go: lifetime and expiry are judged by warnafter, to the second', (t) => {
  const rules = { clockSkewSeconds: 30, maxAgeSeconds: year }
  const judge = (object: object, maxLifetime: number, now: number, from?: IdentitySource) =>
    judgeTime(factsOf(object, from), rules, maxLifetime, now)?.refused
  const end = claims.iat + 3607 + 30
  t.is(judge(claims, 3607, end - 1), undefined)
  t.is(judge(claims, 3607, end), 'token_expired')
  t.is(judge(claims, 3606, claims.iat), 'token_lifetime_exceeded')
  const plain = withAccount({ warnafter: undefined })
  t.is(judge(plain, 3607, claims.iat), 'token_lifetime_exceeded')
  t.is(judge(plain, year, end), undefined)
  t.is(judge(claims, year, end, { claim: 'sub' }), undefined, 'of another issuer it is no claim')
})

const stories: readonly (readonly [what: string, claims: object])[] = [
  ['is of another namespace', withAccount({ namespace: 'shop' })],
  ['is of another account', withAccount({ serviceaccount: { name: 'orders' } })],
  ['has no namespace', withAccount({ namespace: undefined })],
  ['has no account', withAccount({ serviceaccount: undefined })],
  ['has an account without a name', withAccount({ serviceaccount: { uid: '1' } })],
  ['has an account that is a text', withAccount({ serviceaccount: 'default' })],
  ['is empty', { ...claims, 'kubernetes.io': {} }],
  ['is null', { ...claims, 'kubernetes.io': null }],
  ['is a text', { ...claims, 'kubernetes.io': 'default' }],
  ['is a list', { ...claims, 'kubernetes.io': [account] }],
  ['stands beside a user as sub', { ...claims, sub: 'alice' }],
  ['stands beside a SPIFFE ID as sub', { ...claims, sub: 'spiffe://mesh.example/ns/a/sa/b' }],
  ['stands beside a sub in capitals', { ...claims, sub: 'System:serviceaccount:default:default' }],
  ['stands beside a sub with more', { ...claims, sub: `${claims.sub}:x` }],
  [
    'disagrees in a token that acts for somebody',
    { ...withAccount({ namespace: 'shop' }), act: { sub: 'spiffe://mesh.example/ns/a/sa/b' } },
  ],
]
for (const [what, object] of stories) {
  test(`Kubernetes’ claims.go: a kubernetes.io that ${what} is claim_invalid`, (t) => {
    t.is(flawOf(object, source), 'claim_invalid kubernetes.io')
    t.is(flawOf(object, { claim: 'sub' }), '', 'of another issuer it is no claim')
    t.is(flawOf(object, undefined), '')
  })
}

const names: readonly (readonly [namespace: string, name: string])[] = [
  ['shop/sa/orders', 'x'],
  ['shop', 'orders/x'],
  ['shop:a', 'orders'],
  ['shop', '..'],
  ['Shop', 'orders'],
  ['shop', 'orders\n'],
  ['shop', '%6frders'],
]
for (const [namespace, name] of names) {
  test(`Kubernetes’ SplitUsername: ${JSON.stringify(`${namespace}:${name}`)} names no account`, (t) => {
    const sub = `system:serviceaccount:${namespace}:${name}`
    const object = { ...withAccount({ namespace, serviceaccount: { name } }), sub }
    t.is(flawOf(object, source), 'claim_invalid kubernetes.io')
  })
}

test('a name with dots and dashes is one', (t) => {
  const [namespace, name] = ['shop-2', 'orders.v2-a']
  const object = { ...withAccount({ namespace, serviceaccount: { name } }) }
  const { identity } = factsOf({ ...object, sub: `system:serviceaccount:${namespace}:${name}` })
  t.is(identity, 'spiffe://mesh.example/ns/shop-2/sa/orders.v2-a')
})

test('policy.md, identity: a ServiceAccount’s sub without kubernetes.io has no identity', (t) => {
  const { 'kubernetes.io': _, ...without } = claims
  t.is(factsOf(without).identity, undefined)
  t.is(factsOf(without).expiresAt, claims.exp)
})

for (const warnafter of [0, -1, claims.iat - 1, '1717674962', null, true, [claims.exp], {}]) {
  test(`a warnafter of ${JSON.stringify(warnafter)} is claim_invalid, and only of Kubernetes’ issuers`, (t) => {
    t.is(flawOf(withAccount({ warnafter }), source), 'claim_invalid warnafter')
    t.is(flawOf(withAccount({ warnafter }), { claim: 'sub' }), '')
  })
}
