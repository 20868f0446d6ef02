/** policy.md, *A token that cannot be bound yet*: through the whole way of a check. */

import test, { type ExecutionContext } from 'ava'
import { edit } from './support/policy-text.ts'
import { basePolicy, createWorld, ordersId, type Question, thiefId } from './support/world.ts'

const policy = edit(
  basePolicy,
  '  routes:\n',
  `  dpop: { origins: [https://payments.mesh.example] }
  routes:
    - name: legacy
      match: { paths: [/legacy] }
      require:
        issuers: [corp]
        bindings: ["x5t#S256"]
        unbound: allow
        maxLifetime: 5m
        callers: [${ordersId}]
        scopes: [orders.read]
    - name: legacy-identity
      match: { paths: [/legacy-identity] }
      require: { issuers: [corp], bindings: [spiffe], unbound: allow, scopes: [orders.read] }
    - name: legacy-proof
      match: { paths: [/legacy-proof] }
      require: { issuers: [corp], bindings: [dpop], unbound: allow, scopes: [orders.read] }
`,
)
const world = await createWorld({ policy })
const now = world.now()
const claims = {
  sub: 'partner-batch',
  cnf: undefined,
  iat: now,
  exp: now + 300,
  scope: 'orders.read',
}

async function asked(more: object = {}, question: Question = {}) {
  const token = await world.token({ ...claims, ...more })
  const verdict = await world.ask({ token, path: '/legacy', ...question })
  return { ...verdict, logged: JSON.parse(verdict.line) }
}

test('a token without cnf passes inside its limits, and is logged and counted as method none', async (t) => {
  const { allowed, logged, response } = await asked()
  t.true(allowed)
  t.like(logged, { decision: 'allow', route: 'legacy', method: 'none' })
  t.like(logged, { token: { issuer: 'corp', subject: 'partner-batch', confirmation: [] } })
  t.like(response.dynamic_metadata?.fields['method'], { stringValue: 'none' })
})

const refusals: readonly (readonly [what: string, reason: string, claims: object, Question?])[] = [
  ['that lives longer', 'token_lifetime_exceeded', { exp: now + 301 }],
  ['without the scope', 'scope_insufficient', { scope: 'other' }],
  ['from another workload', 'caller_refused', {}, { as: world.thief }],
  ['from nobody', 'presenter_missing', {}, { as: null }],
  ['that acts for somebody', 'delegation_refused', { act: { sub: ordersId } }],
  ['whose cnf is empty', 'binding_malformed', { cnf: {} }],
  ['whose cnf is null', 'binding_malformed', { cnf: null }],
  ['whose cnf nobody understands', 'binding_unsupported', { cnf: { kid: 'a' } }],
  [
    'that is bound to another workload',
    'binding_mismatch',
    { sub: thiefId, cnf: { 'x5t#S256': world.thief.x5tS256 } },
  ],
  [
    'that is bound to a key that makes no proof',
    'scheme_mismatch',
    { cnf: { jkt: 'a'.repeat(43) } },
  ],
  [
    'whose identity is another workload’s, where the route lists spiffe',
    'binding_mismatch',
    { sub: thiefId },
    { path: '/legacy-identity' },
  ],
  ['under the scheme DPoP', 'scheme_mismatch', {}, { path: '/legacy-proof', scheme: 'DPoP' }],
]
for (const [what, reason, more, question] of refusals) {
  test(`unbound: allow is no way around anything else: a token ${what} is ${reason}`, async (t) => {
    t.is((await asked(more, question)).reason, reason)
  })
}

test('a bound token on such a route is confirmed as ever, and logged by its method', async (t) => {
  const cnf = { 'x5t#S256': world.orders.x5tS256 }
  const { allowed, logged } = await asked({ cnf, sub: ordersId })
  t.true(allowed)
  t.like(logged, { method: 'x5t#S256' })
})

test('an identity that can be compared is: the owner passes by spiffe, a token without one by none', async (t) => {
  const path = '/legacy-identity'
  t.like((await asked({ sub: ordersId }, { path })).logged, { decision: 'allow', method: 'spiffe' })
  t.like((await asked({}, { path })).logged, { decision: 'allow', method: 'none' })
})

async function challengeOf(t: ExecutionContext, path: string): Promise<string> {
  const { reason, challenge } = await world.ask({ path })
  t.is(reason, 'credential_missing')
  return challenge
}

test('RFC 9110 §11.6.1: where only dpop is listed beside unbound, the challenge offers Bearer too', async (t) => {
  const challenge = await challengeOf(t, '/legacy-proof')
  t.regex(challenge, /Bearer/)
  t.regex(challenge, /DPoP/)
})
