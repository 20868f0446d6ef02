/** Kubernetes ServiceAccount tokens through the whole way of a check: bearer tokens with an identity, and no more. */

import test, { type ExecutionContext } from 'ava'
import { createTestIssuer } from './support/issuer.ts'
import { edit } from './support/policy-text.ts'
import { basePolicy, createWorld, ordersId, type Question } from './support/world.ts'
import sample from './vectors/kubernetes_service_account.json' with { type: 'json' }

const clusterIssuer = 'https://kubernetes.default.svc.cluster.local'
const audience = 'https://payments.mesh.example'
const policy = edit(
  edit(
    basePolicy,
    '      identity: { claim: sub }\n',
    `      identity: { claim: sub }
    cluster:
      issuer: ${clusterIssuer}
      audiences: [${audience}]
      keys: { file: cluster.json }
      identity: { kubernetes: mesh.example }
`,
  ),
  '  routes:\n',
  `  routes:
    - name: pods
      match: { paths: [/pods] }
      require: { issuers: [cluster], bindings: [spiffe] }
    - name: constrained
      match: { paths: [/constrained] }
      require: { issuers: [cluster], bindings: ["x5t#S256", jwk] }
    - name: legacy
      match: { paths: [/legacy] }
      require:
        issuers: [cluster]
        bindings: ["x5t#S256"]
        unbound: allow
        maxLifetime: 15m
        callers: [spiffe://mesh.example/ns/*]
    - name: legacy-pods
      match: { paths: [/legacy-pods] }
      require:
        issuers: [cluster]
        bindings: [spiffe]
        unbound: allow
        maxLifetime: 15m
        callers: [spiffe://mesh.example/ns/*]
`,
)
const issuer = await createTestIssuer(clusterIssuer, { algorithm: 'RS256' })
const world = await createWorld({ policy, issuer })
const now = world.now()
const { aud: _, iat, exp, nbf: __, 'kubernetes.io': account, ...claims } = sample.claims

/** The form of the real sample, for another pod, for this service and for ten minutes from `issuedAt`. */
const projected = (issuedAt = now) => ({
  ...claims,
  aud: [audience],
  iat: issuedAt,
  nbf: issuedAt,
  exp: issuedAt + 600,
  sub: 'system:serviceaccount:shop:orders',
  'kubernetes.io': {
    namespace: 'shop',
    serviceaccount: { name: 'orders', uid: account.serviceaccount.uid },
    pod: account.pod,
    node: account.node,
  } as object,
})

/** As kubelet injects it: the times of the sample, from `issuedAt`. */
function injected(issuedAt = now) {
  const token = projected(issuedAt)
  const warnafter = issuedAt + account.warnafter - iat
  return {
    ...token,
    exp: issuedAt + exp - iat,
    'kubernetes.io': { ...token['kubernetes.io'], warnafter },
  }
}

async function asked(path: string, object: object, question: Question = {}) {
  const token = await issuer.sign({ ...object }, { typ: undefined })
  const verdict = await world.ask({ token, path, ...question })
  return { ...verdict, logged: JSON.parse(verdict.line) }
}

async function refused(t: ExecutionContext, asking: ReturnType<typeof asked>, reason: string) {
  const { reason: got, detail, allowed } = await asking
  t.is(`${got} ${detail}`.trim(), reason)
  t.false(allowed)
}

test('policy.md, Bindings: a ServiceAccount’s token passes from its own pod, by spiffe', async (t) => {
  const { allowed, logged } = await asked('/pods', projected())
  t.true(allowed)
  t.like(logged, {
    method: 'spiffe',
    presenter: { spiffe_id: ordersId },
    token: { subject: 'system:serviceaccount:shop:orders', confirmation: [] },
  })
})

test('policy.md, Bindings: from another workload it was stolen', async (t) => {
  for (const path of ['/pods', '/legacy-pods'])
    await refused(t, asked(path, projected(), { as: world.thief }), 'binding_mismatch')
})

test('RFC 7800 §3: without cnf it is a bearer token, so no method of proof ever counts it as bound', async (t) => {
  await refused(t, asked('/constrained', projected()), 'binding_missing no cnf')
  await refused(t, asked('/constrained', injected()), 'binding_missing no cnf')
})

test('policy.md, unbound: where spiffe is not listed it passes as method none, from whoever may call', async (t) => {
  for (const as of [world.orders, world.thief]) {
    const { allowed, logged } = await asked('/legacy', projected(), { as })
    t.true(allowed)
    t.is(logged.method, 'none')
  }
  t.is((await asked('/legacy-pods', projected())).logged.method, 'spiffe')
})

test('policy.md, unbound: claims that disagree are no way to pass as a token without an identity', async (t) => {
  const token = { ...projected(), sub: 'system:serviceaccount:web:blog' }
  for (const path of ['/legacy-pods', '/legacy', '/pods'])
    await refused(t, asked(path, token), 'claim_invalid kubernetes.io')
})

test('Kubernetes’ claims.go: an injected token passes until warnafter, and the log says so', async (t) => {
  const issuedAt = now - 3000
  const { allowed, logged } = await asked('/pods', injected(issuedAt))
  t.true(allowed)
  t.is(logged.token.expires_at, issuedAt + 3607)
  await refused(t, asked('/pods', injected(now - 3607 - 30)), 'token_expired')
})

test('policy.md, unbound: an injected token lives longer than 15 minutes, by warnafter too', async (t) => {
  await refused(t, asked('/legacy', injected()), 'token_lifetime_exceeded')
})

test('RFC 7519 §2: a warnafter that is no whole number makes no token', async (t) => {
  const token = injected()
  const warnafter = token['kubernetes.io'].warnafter + 0.5
  const broken = { ...token, 'kubernetes.io': { ...token['kubernetes.io'], warnafter } }
  const { reason } = await asked('/pods', broken)
  t.is(reason, 'token_malformed')
})
