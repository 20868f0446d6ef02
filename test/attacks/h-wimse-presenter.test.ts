/** Attack group H, 159: who presents where a workload proves itself, and what becomes of an access token that it did not get (docs/wimse.md). */

import test from 'ava'
import { createDpopClient } from '../support/dpop.ts'
import type { Leaf } from '../support/pki.ts'
import { createWimseWorkload } from '../support/wimse.ts'
import {
  type Asked,
  agreed,
  checkRefusal,
  createWimseWorld,
  outcome,
  wimseOrdersId,
  wimsePolicy,
} from '../support/wit-judge.ts'
import { headerOf, ordersId, thiefId } from '../support/world.ts'
import { xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'
const proudId = 'spiffe://mesh.example/ns/edge/sa/proud'
const spec = `peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}, { id: ${proudId}, presents: true }] }`
const setting = await createWimseWorld({ policy: wimsePolicy({ spec }) })
const { world, mesh, orders, thief, now, ask } = setting
const [gateway, proud] = (await Promise.all(
  [gatewayId, proudId].map((spiffeId) => world.authority.issue({ spiffeId })),
)) as [Leaf, Leaf]
const wimseOrders = await createWimseWorkload(mesh, wimseOrdersId, { now: () => now })
const client = await createDpopClient({ now: () => now })

const unbound = await world.token({ cnf: undefined })
const nobodys = await world.token({ cnf: undefined, iss: 'https://plain.example' })
const certified = await world.token()
const keyed = await world.token({ cnf: { jkt: client.jkt } })

/** With a WIT of the workload's and a sound proof for the token that rides along. */
async function askAs(workload: typeof orders, parts: Asked = {}) {
  const wit = await workload.wit()
  const wpt = await workload.proof({
    wit,
    aud: agreed,
    ...(parts.token && { accessToken: parts.token }),
  })
  return { wit, wpt, verdict: await ask(wit, wpt, parts) }
}
const comes = async (...asked: Parameters<typeof askAs>) => outcome((await askAs(...asked)).verdict)
const presenterOf = (line: string) => JSON.parse(line).presenter

test('H159: where mTLS shows a workload, the WIT must be that one’s, or it was stolen (policy.md, Bindings)', async (t) => {
  const same = await askAs(orders, { as: world.orders })
  t.is(outcome(same.verdict), 'allowed')
  t.like(presenterOf(same.verdict.line), { spiffe_id: ordersId, evidence: 'certificate' })
  for (const [workload, as] of [
    [orders, world.thief],
    [thief, world.orders],
    [wimseOrders, world.orders],
  ] as const) {
    const { wit, wpt, verdict } = await askAs(workload, { as })
    t.is(outcome(verdict), 'workload_token_mismatch')
    checkRefusal(t, verdict, [wit, wpt])
    t.is(presenterOf(verdict.line).spiffe_id, as.spiffeId, 'the log names who came')
  }
})

test('H159: where mTLS shows nobody, the workload of the WIT presents: for callers, the header and the log', async (t) => {
  for (const workload of [orders, wimseOrders]) {
    const { verdict } = await askAs(workload, { path: '/callers' })
    t.is(outcome(verdict), 'allowed')
    t.is(headerOf(verdict.response, 'x-meshbind-presenter'), workload.sub)
    t.like(JSON.parse(verdict.line), { method: 'wimse', peer: null, forwards: [] })
    t.like(presenterOf(verdict.line), { spiffe_id: workload.sub, evidence: 'wit', x5t_s256: null })
    const removed = verdict.response.ok_response?.headers_to_remove ?? []
    for (const name of ['workload-identity-token', 'workload-proof-token'])
      t.true(removed.includes(name), name)
  }
})

test('docs/wimse.md: a workload that proved itself and is not among the callers gets 403 (H148)', async (t) => {
  const { verdict } = await askAs(thief, { path: '/callers' })
  t.is(outcome(verdict), 'caller_refused')
  t.deepEqual([verdict.http, verdict.grpc, verdict.challenge], [403, 7, ''])
  t.like(presenterOf(verdict.line), { spiffe_id: thiefId, evidence: 'wit' })
})

test('policy.md, Who is the presenter: behind a gateway that vouched for nobody, the workload of the WIT presents', async (t) => {
  const { verdict } = await askAs(orders, { as: gateway, path: '/callers' })
  t.is(outcome(verdict), 'allowed')
  t.like(presenterOf(verdict.line), { spiffe_id: ordersId, evidence: 'wit' })
  t.like(JSON.parse(verdict.line), { peer: gatewayId, forwards: [gatewayId] })
  t.is(await comes(thief, { as: gateway, path: '/callers' }), 'caller_refused')
})

test('H159: behind a gateway that vouched for somebody, and at one that calls for itself, the WIT must be that one’s', async (t) => {
  const vouched = (leaf: Leaf): Asked => {
    const xfcc = `${xfccElement(leaf, { by: gatewayId, cert: true })},${xfccElement(gateway, { cert: true })}`
    return { as: gateway, headers: { 'x-forwarded-client-cert': xfcc } }
  }
  t.is(await comes(orders, vouched(world.orders)), 'allowed')
  t.is(await comes(orders, vouched(world.thief)), 'workload_token_mismatch')
  t.is(await comes(thief, vouched(world.orders)), 'workload_token_mismatch')
  t.is(await comes(orders, { as: proud }), 'workload_token_mismatch')
})

test('policy.md, Who is the presenter: evidence that is there and broken is refused, however sound the WIT', async (t) => {
  const bare = await world.authority.issue({ spiffeId: 'spiffe://mesh.example' })
  t.regex(await comes(orders, { as: bare }), /^presenter_invalid/)
  t.regex(await comes(orders, { certificate: 'junk' }), /^presenter_invalid/)
})

test('policy.md, Bindings: a stolen bearer token beside the thief’s own sound WIT is refused', async (t) => {
  for (const as of [null, world.thief, gateway]) {
    for (const path of ['/t/wimse', '/t/mixed']) {
      const { verdict } = await askAs(thief, { as, path, token: unbound })
      t.is(outcome(verdict), 'binding_mismatch the token is of another workload than the WIT')
      t.deepEqual([verdict.http, verdict.grpc], [401, 16])
      const { verdict: missing } = await askAs(thief, { as, path, token: nobodys })
      t.is(
        outcome(missing),
        'binding_missing neither cnf nor an identity that the WIT could confirm',
      )
    }
  }
  t.is(await comes(orders, { path: '/t/wimse', token: unbound }), 'allowed', 'its owner’s WIT')
  t.regex(await comes(orders, { path: '/t/wimse', token: nobodys }), /^binding_missing/)
})

test('RFC 7800 §3.1: cnf of the owner is confirmed on its own: a WIT of the thief’s confirms none of it', async (t) => {
  for (const path of ['/t/wimse', '/t/mixed', '/t/cert']) {
    t.is(await comes(thief, { as: world.thief, path, token: certified }), 'binding_mismatch')
    t.regex(await comes(thief, { path, token: certified }), /^presenter_missing/)
    // The owner’s own WIT is no certificate either.
    t.regex(await comes(orders, { path, token: certified }), /^presenter_missing/)
    t.is(await comes(orders, { as: world.orders, path, token: certified }), 'allowed')
  }
  const dpop = await createDpopClient({ now: () => now })
  const htu = 'https://payments.example/t/wimse'
  const parts = { path: '/t/wimse', scheme: 'DPoP', token: keyed }
  t.is(await comes(thief, parts), 'proof_missing')
  const theirs = { ...parts, headers: { dpop: await dpop.proof(keyed, { htu }) } }
  t.is(await comes(thief, theirs), 'binding_mismatch proof by another key')
})

test('docs/wimse.md: a workload that has proved itself may carry a token whose own cnf is confirmed', async (t) => {
  const somebodys = await world.token({ sub: 'somebody', cnf: { 'x5t#S256': world.thief.x5tS256 } })
  const { verdict } = await askAs(thief, { as: world.thief, path: '/t/wimse', token: somebodys })
  t.is(outcome(verdict), 'allowed')
  t.is(JSON.parse(verdict.line).method, 'wimse')
})

test('H149: a route that takes tokens and lists wimse alone asks for the WIT; one that lists more does not', async (t) => {
  const missing = await ask(undefined, undefined, { path: '/t/wimse', token: unbound })
  t.is(outcome(missing), 'workload_token_missing')
  checkRefusal(t, missing, [unbound])
  const mixed = { path: '/t/mixed', as: world.orders, token: certified }
  t.is(outcome(await ask(undefined, undefined, mixed)), 'allowed')
  const bare = { path: '/t/mixed', as: world.orders, token: unbound }
  t.is(outcome(await ask(undefined, undefined, bare)), 'binding_missing no cnf')
  // A WIT that is there has to be sound, whichever binding would do.
  t.regex(outcome(await ask('junk', 'junk', mixed)), /^workload_token_invalid/)
})

test('docs/wimse.md: where the route does not list wimse, the two headers say nothing', async (t) => {
  const parts = { path: '/t/cert', as: world.orders, token: certified }
  t.is(outcome(await ask('junk', undefined, parts)), 'allowed')
  const { verdict } = await askAs(thief, { path: '/t/cert', token: certified })
  t.is(presenterOf(verdict.line), null)
})

test('docs/wimse.md: a route without issuers takes no access token, and is told whose it cannot be', async (t) => {
  for (const [scheme, token] of [
    ['Bearer', unbound],
    ['bearer', certified],
    ['DPoP', keyed],
  ] as const) {
    const { verdict } = await askAs(orders, { scheme, token })
    t.is(outcome(verdict), 'issuer_unknown the route takes no access token')
    t.is(verdict.http, 401)
  }
  const of = async (authorization: string) => comes(orders, { headers: { authorization } })
  for (const text of ['Basic dXNlcjpwYXNz', 'Negotiate YII=']) t.is(await of(text), 'allowed')
  for (const text of ['Bearer', 'Bearer a b', 'DPoP ']) t.is(await of(text), 'credential_malformed')
  t.is(await of(`Bearer ${unbound},Bearer x`), 'credential_ambiguous')
})

test('docs/delegation.md: without mTLS the current actor is the workload of the WIT (RFC 8693 §4.1)', async (t) => {
  const acted = (sub: string) => world.token({ sub: 'user', act: { sub }, cnf: undefined })
  const asked = async (workload: typeof orders, actor: string) =>
    comes(workload, { path: '/t/acted', token: await acted(actor) })
  t.is(await asked(orders, ordersId), 'allowed')
  t.is(await asked(thief, ordersId), 'actor_mismatch')
  t.is(await asked(orders, thiefId), 'actor_mismatch')
  const refused = await comes(orders, { path: '/t/wimse', token: await acted(ordersId) })
  t.regex(refused, /^delegation_refused/)
})
