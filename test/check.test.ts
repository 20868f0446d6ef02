/** THE STORY, end to end in one process: one allow and the nearest refusal for each way in which a token can be bound. */

import test from 'ava'
import { createDpopClient } from './support/dpop.ts'
import { audience } from './support/issuer.ts'
import { createWorld, headerOf, ordersId, type Question, type World } from './support/world.ts'
import { xfccElement } from './support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'

/** @param require What the one route requires beside its issuer. */
const policyOf = (require: string, dpop = '') => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [${audience}]
      keys: { file: jwks.json }
      identity: { claim: sub }
  dpop: { origins: [https://payments.example]${dpop} }
  routes:
    - name: payments
      match: { paths: [/v1/payments] }
      require: { issuers: [corp], ${require} }
`

const anyBinding = policyOf('bindings: ["x5t#S256", dpop]')

/** A question of a DPoP client that no workload identity stands behind, with a fresh proof. */
async function dpopQuestion(world: World, claims: object = {}, proof: object = {}) {
  const client = await createDpopClient({ now: world.now })
  const token = await world.token({ cnf: { jkt: client.jkt }, ...claims })
  const headers = { dpop: await client.proof(token, { ...proof }) }
  const question: Question = { as: null, scheme: 'DPoP', token, headers }
  return { client, token, question }
}

test('RFC 8705 §3: the workload that a token is bound to is allowed', async (t) => {
  const world = await createWorld()
  const verdict = await world.ask({ token: await world.token() })
  t.true(verdict.allowed, verdict.reason)
})

test('RFC 8705 §3: the same token from another workload is refused as theft', async (t) => {
  const world = await createWorld()
  const verdict = await world.ask({ token: await world.token(), as: world.thief })
  t.is(verdict.reason, 'binding_mismatch')
})

test('policy.md presenter 3: a token of the workload that a gateway saw is allowed, and no other', async (t) => {
  const world = await createWorld({ policy: anyBinding })
  const gateway = await world.authority.issue({ spiffeId: gatewayId })
  const token = await world.token()
  const ask = (...elements: string[]) =>
    world.ask({
      token,
      as: gateway,
      headers: { 'x-forwarded-client-cert': [...elements, xfccElement(gateway)].join() },
    })
  t.true((await ask(xfccElement(world.orders, { by: gatewayId }))).allowed)
  t.is((await ask(xfccElement(world.thief, { by: gatewayId }))).reason, 'binding_mismatch')
  t.is((await ask()).reason, 'forward_broken')
  t.is((await ask(xfccElement(world.orders))).reason, 'forward_broken')
})

test('policy.md presenter 4: peer, presenter and forwarders are in the decision log', async (t) => {
  const world = await createWorld({ policy: anyBinding })
  const gateway = await world.authority.issue({ spiffeId: gatewayId })
  const element = xfccElement(world.orders, { by: gatewayId })
  const { line } = await world.ask({
    token: await world.token(),
    as: gateway,
    headers: { 'x-forwarded-client-cert': `${element},${xfccElement(gateway)}` },
  })
  t.like(JSON.parse(line), {
    presenter: { spiffe_id: ordersId, x5t_s256: world.orders.x5tS256, evidence: 'xfcc' },
    peer: gatewayId,
    forwards: [gatewayId],
    method: 'x5t#S256',
  })
})

test('RFC 9449 §7.1: a DPoP-bound token is allowed with a proof, once, and needs no presenter', async (t) => {
  const world = await createWorld({ policy: anyBinding })
  const { question } = await dpopQuestion(world)
  const verdict = await world.ask(question)
  t.true(verdict.allowed, verdict.detail)
  t.is(JSON.parse(verdict.line).method, 'dpop')
  const again = await world.ask(question)
  t.is(again.reason, 'proof_replayed')
  t.regex(again.challenge, /^Bearer realm="shop", DPoP .*error="invalid_dpop_proof"/)
})

test('RFC 9449 §7.1, §7.2: without its proof, under Bearer, or by another key it is refused', async (t) => {
  const world = await createWorld({ policy: anyBinding })
  const { token, question } = await dpopQuestion(world)
  const { client: other } = await dpopQuestion(world)
  t.is((await world.ask({ ...question, headers: {} })).reason, 'proof_missing')
  t.is((await world.ask({ ...question, scheme: 'Bearer' })).reason, 'scheme_mismatch')
  const headers = { dpop: await other.proof(token) }
  t.is((await world.ask({ ...question, headers })).reason, 'binding_mismatch')
  t.true((await world.ask(question)).allowed, 'none of these has spent the proof')
})

test('policy.md Proofs and replay: a request that access refuses does not spend its proof', async (t) => {
  const world = await createWorld({ policy: policyOf('bindings: [dpop], scopes: [pay]') })
  const { client, token, question } = await dpopQuestion(world, { scope: 'read' })
  const verdict = await world.ask(question)
  t.is(verdict.reason, 'scope_insufficient')
  t.regex(verdict.challenge, /^DPoP .*error="insufficient_scope".*scope="pay"/)
  const replayKeys: string[] = []
  const spied = await createWorld({
    policy: policyOf('bindings: [dpop], scopes: [pay]'),
    issuer: world.issuer,
    replay: {
      remembersSince: undefined,
      spend(key) {
        replayKeys.push(key)
        return 'fresh'
      },
    },
  })
  t.is((await spied.ask(question)).reason, 'scope_insufficient')
  t.deepEqual(replayKeys, [])
  const scoped = await spied.token({ cnf: { jkt: client.jkt }, scope: 'pay' })
  const headers = { dpop: await client.proof(scoped) }
  t.true((await spied.ask({ ...question, token: scoped, headers })).allowed)
  t.is(replayKeys.length, 1)
  t.not(token, scoped)
})

test('policy.md presenter 5: callers need the presenter, whatever the proof', async (t) => {
  const world = await createWorld({ policy: policyOf(`bindings: [dpop], callers: [${ordersId}]`) })
  const { question } = await dpopQuestion(world)
  t.is((await world.ask(question)).reason, 'presenter_missing')
  t.is((await world.ask({ ...question, as: world.thief })).reason, 'caller_refused')
  t.true((await world.ask({ ...question, as: world.orders })).allowed)
})

test('RFC 9449 §9: `nonce: required` gives a nonce on every answer, and takes it', async (t) => {
  const world = await createWorld({ policy: policyOf('bindings: [dpop]', ', nonce: required') })
  const { client, token, question } = await dpopQuestion(world)
  const first = await world.ask(question)
  t.is(first.reason, 'proof_nonce_required')
  t.regex(first.challenge, /^DPoP .*error="use_dpop_nonce"/)
  const nonce = headerOf(first.response, 'dpop-nonce')
  t.regex(nonce, /^[A-Za-z0-9_-]+$/)
  const headers = { dpop: await client.proof(token, { nonce }) }
  const second = await world.ask({ ...question, headers })
  t.true(second.allowed, second.detail)
  const [next] = second.response.ok_response?.response_headers_to_add ?? []
  t.is(next?.header.key, 'dpop-nonce')
  const bare = await world.ask({ as: null })
  t.is(bare.reason, 'credential_missing')
  t.not(headerOf(bare.response, 'dpop-nonce'), '')
})

test('contract §5: use_dpop_nonce comes with a nonce on a route that does not list dpop, too', async (t) => {
  const world = await createWorld({
    policy: policyOf('bindings: ["x5t#S256"]', ', nonce: required'),
  })
  const client = await createDpopClient({ now: world.now })
  const token = await world.token({ cnf: { 'x5t#S256': world.orders.x5tS256, jkt: client.jkt } })
  const ask = async (claims: object) => {
    const headers = { dpop: await client.proof(token, { ...claims }) }
    return world.ask({ token, scheme: 'DPoP', headers })
  }
  const first = await ask({})
  t.is(first.reason, 'proof_nonce_required')
  t.regex(first.challenge, /DPoP .*error="use_dpop_nonce"/)
  const second = await ask({ nonce: headerOf(first.response, 'dpop-nonce') })
  t.true(second.allowed, second.detail)
  const bearer = await world.ask({ token: await world.token() })
  t.deepEqual(bearer.response.ok_response?.response_headers_to_add, [])
})

test('RFC 9449 §7.2: refused evidence is told under the scheme that was used', async (t) => {
  const world = await createWorld({ policy: anyBinding })
  const { question } = await dpopQuestion(world)
  const conflict = { ...question, as: world.orders, principal: world.thief.spiffeId }
  const verdict = await world.ask(conflict)
  t.is(verdict.reason, 'evidence_conflict')
  t.regex(verdict.challenge, /DPoP .*error="invalid_token"/)
})

test('policy.md Rotation: a renewed certificate of the same workload passes within the grace', async (t) => {
  const rotating = 'bindings: ["x5t#S256"], rotation: { grace: 10m }'
  const renewedAt = new Date(Date.now() - 60_000)
  for (const [require, expected] of [
    [rotating, ''],
    ['bindings: ["x5t#S256"]', 'binding_rotated'],
  ] as const) {
    const world = await createWorld({ policy: policyOf(require) })
    const renewed = await world.authority.issue({ spiffeId: ordersId, notBefore: renewedAt })
    const verdict = await world.ask({ token: await world.token(), as: renewed })
    t.is(verdict.reason, expected)
  }
})

test('contract §4: `token: remove` takes the proof off as well', async (t) => {
  const policy = `${anyBinding.trimEnd()}\n      forward: { token: remove, presenterHeader: true }\n`
  const world = await createWorld({ policy })
  const { question } = await dpopQuestion(world)
  const { response } = await world.ask(question)
  t.deepEqual(response.ok_response?.headers_to_remove, [
    'x-meshbind-presenter',
    'authorization',
    'dpop',
  ])
})
