/** Forwarders and waypoints: who is believed about whom, and what the log and the metadata tell of it (policy "Who is the presenter"). */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import { createDpopClient } from '../support/dpop.ts'
import type { Leaf } from '../support/pki.ts'
import { createWorld, ordersId, thiefId, type World } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const outerId = 'spiffe://mesh.example/ns/istio-system/sa/outer'
const innerId = 'spiffe://mesh.example/ns/istio-system/sa/inner'
const proudId = 'spiffe://mesh.example/ns/istio-system/sa/proud'
const policyWith = (peer: string, bound = '["x5t#S256"]') => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: ${peer}
  dpop: { origins: [https://payments.example] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - { name: identity, match: { paths: [/identity] }, require: { issuers: [corp], bindings: [spiffe] } }
    - { name: key, match: { paths: [/key] }, require: { issuers: [corp], bindings: [${bound.includes('x5t') ? 'jwk' : 'spiffe'}] } }
    - { name: bound, match: { paths: [/bound] }, require: { issuers: [corp], bindings: ${bound} } }
    - { name: proof, match: { paths: [/proof] }, require: { issuers: [corp], bindings: [dpop] } }
    - name: callers
      match: { paths: [/callers] }
      require: { issuers: [corp], bindings: [dpop], callers: [${ordersId}] }
      forward: { presenterHeader: true }
`
const listed = `forwarders: [${outerId}, ${innerId}, { id: ${proudId}, presents: true }]`
const evidence = (list: string, more = '') => `{ evidence: [${list}], ${listed}${more} }`
const world = await createWorld({
  policy: policyWith(evidence('certificate, xfcc', ', maxForwards: 2')),
})
const { orders, thief, authority, issuer } = world
const [outer, inner, proud] = (await Promise.all(
  [outerId, innerId, proudId].map((spiffeId) => authority.issue({ spiffeId })),
)) as [Leaf, Leaf, Leaf]
const client = await createDpopClient({ now: world.now })
const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', orders.keys.publicKey)
const cnfs = {
  '/bound': { 'x5t#S256': orders.x5tS256 },
  '/key': { jwk: { kty, crv, x, y } },
  '/identity': undefined,
  '/proof': { jkt: client.jkt },
  '/callers': { jkt: client.jkt },
} as const
type Path = keyof typeof cnfs
const needPresenter: readonly Path[] = ['/bound', '/key', '/identity', '/callers']

async function ask(
  path: Path,
  as: Leaf | null,
  header: string | undefined,
  on: World = world,
  more = {},
) {
  const token = await on.token({ cnf: cnfs[path] })
  const dpop = path === '/proof' || path === '/callers'
  const headers = {
    ...(header === undefined ? {} : { 'x-forwarded-client-cert': header }),
    ...(dpop
      ? { dpop: await client.proof(token, { htu: `https://payments.example${path}` }) }
      : {}),
  }
  const verdict = await on.ask({
    path,
    as,
    token,
    scheme: dpop ? 'DPoP' : 'Bearer',
    headers,
    // Envoy's connection has no certificate of its own at a waypoint.
    ...(on === waypoint ? { destination: '' } : {}),
    ...more,
  })
  const { presenter, peer, forwards } = JSON.parse(verdict.line)
  const outcome = verdict.allowed ? 'allowed' : verdict.reason
  return {
    verdict,
    outcome,
    presenter: presenter?.spiffe_id,
    evidence: presenter?.evidence,
    peer,
    forwards,
  }
}

const outcomeOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).outcome
const waypoint = await createWorld({
  policy: policyWith('{ evidence: [waypoint] }', '[spiffe]').replace(/maxForwards.*/, ''),
  issuer,
})
const waypointId = 'spiffe://mesh.example/ns/shop/sa/waypoint'
const written = `By=${waypointId};URI=${ordersId}`

/** The header as honest Envoys make it: each station writes what it saw, the last one is this Envoy. */
const relay = (...stations: Leaf[]) =>
  stations.map((leaf, i) => xfccElement(leaf, { cert: true, ...by(stations[i + 1]) })).join(',')
const by = (leaf: Leaf | undefined) => (leaf === undefined ? {} : { by: leaf.spiffeId })

test('every binding holds for the workload that a forwarder saw, one or two hops away (policy peer.forwarders)', async (t) => {
  for (const path of Object.keys(cnfs) as Path[]) {
    t.is(await outcomeOf(path, inner, relay(orders, inner)), 'allowed', path)
    t.is(await outcomeOf(path, inner, relay(orders, outer, inner)), 'allowed', path)
    const stolen = await outcomeOf(path, inner, relay(thief, outer, inner))
    const expected = { '/proof': 'allowed', '/callers': 'caller_refused' }[path as string]
    t.is(stolen, expected ?? 'binding_mismatch', path)
  }
})

test('the chain of By must be whole: a gap leaves nobody (policy peer.forwarders)', async (t) => {
  const [first, second, last] = relay(orders, outer, inner).split(',') as [string, string, string]
  for (const header of [
    `${first},${last}`,
    `${second},${first},${last}`,
    `${second},${last}`,
    last,
    `${xfccElement(orders, { by: innerId.toUpperCase() })},${last}`,
    `${xfccElement(orders, { by: `${innerId}/` })},${last}`,
    `${xfccElement(orders, { by: '' })},${last}`,
    `URI=${ordersId},${last}`,
  ]) {
    for (const path of needPresenter) {
      t.is(await outcomeOf(path, inner, header), 'forward_broken', header)
    }
  }
})

test('three forwarders are too long for two, whoever is the fourth (policy peer.maxForwards)', async (t) => {
  for (const leaf of [orders, thief]) {
    const header = relay(leaf, proud, outer, inner)
    for (const path of Object.keys(cnfs) as Path[]) {
      t.is(await outcomeOf(path, inner, header), 'forward_too_long')
    }
  }
  const self = relay(inner, inner)
  t.is(await outcomeOf('/bound', inner, self), 'forward_broken', 'a forwarder behind itself')
})

test('maxForwards is 1 where it is not said (policy peer.maxForwards)', async (t) => {
  for (const [more, expected] of [
    ['', 'forward_too_long'],
    [', maxForwards: 1', 'forward_too_long'],
    [', maxForwards: 2', 'allowed'],
  ] as const) {
    const policy = policyWith(evidence('certificate, xfcc', more))
    const on = await createWorld({ policy, issuer })
    t.is(await outcomeOf('/bound', inner, relay(orders, inner), on), 'allowed')
    t.is(await outcomeOf('/bound', inner, relay(orders, outer, inner), on), expected)
  }
})

test('behind a forwarder that vouched for nobody, only a proof is enough (policy peer.forwarders)', async (t) => {
  for (const header of [undefined, relay(inner)]) {
    for (const path of needPresenter) t.is(await outcomeOf(path, inner, header), 'forward_broken')
    t.is(await outcomeOf('/proof', inner, header), 'allowed')
  }
})

test('a forwarder that presents is the presenter only where nobody stands before it (decision 0005)', async (t) => {
  const own = await world.token({ cnf: undefined, sub: proudId })
  const alone = (header: string | undefined, as = proud) =>
    ask('/identity', as, header, world, { token: own })
  for (const header of [undefined, relay(proud)]) {
    t.is((await alone(header)).outcome, 'allowed')
    t.is((await alone(header)).presenter, proudId)
    t.deepEqual((await alone(header)).forwards, [])
  }
  t.is((await alone(relay(orders, proud))).presenter, ordersId)
  t.is((await alone(relay(orders, proud))).outcome, 'binding_mismatch')
  for (const front of [`URI=${proudId}`, xfccElement(orders), 'By=;URI=', `By=${thiefId};URI=x`]) {
    t.is((await alone(`${front},${xfccElement(proud)}`)).outcome, 'forward_broken', front)
  }
  t.is((await alone(relay(proud, inner), inner)).outcome, 'allowed', 'behind another one')
  t.is((await alone(relay(outer, inner), inner)).outcome, 'forward_broken', 'one not marked')
})

test('forwarded evidence that is invalid is refused on a route that needs no presenter too (policy peer.evidence)', async (t) => {
  for (const [uri, expected] of [
    ['', 'presenter_invalid'],
    [`${ordersId};URI=${thiefId}`, 'presenter_invalid'],
    ['spiffe://evil.example/ns/shop/sa/orders', 'trust_domain_refused'],
  ] as const) {
    const header = `${xfccElement(orders, { by: innerId, uri })},${xfccElement(inner)}`
    for (const path of Object.keys(cnfs) as Path[]) {
      t.is(await outcomeOf(path, inner, header), expected, path)
    }
  }
})

test('a forwarder that is known by its principal alone relays as well (policy peer.evidence)', async (t) => {
  const seen = relay(orders, inner)
  for (const list of [
    'certificate, xfcc',
    'xfcc',
    'xfcc, certificate',
    'certificate, xfcc, principal',
  ]) {
    const on = await createWorld({ policy: policyWith(evidence(list)), issuer })
    for (const path of needPresenter) {
      const principal = { principal: innerId }
      t.is(await outcomeOf(path, null, seen, on, principal), 'allowed', `${list} ${path}`)
    }
  }
  const policy = policyWith(evidence('principal, xfcc'), '[spiffe]')
  const byName = await createWorld({ policy, issuer })
  for (const path of ['/identity', '/callers'] as const) {
    const one = await ask(path, null, seen, byName, { principal: innerId })
    t.is(one.outcome, 'allowed')
    t.is(one.evidence, 'xfcc')
    t.is(await outcomeOf(path, null, undefined, byName, { principal: innerId }), 'forward_broken')
  }
})

test('log and metadata tell the peer, the presenter and the forwarders, the nearest first (contract §6)', async (t) => {
  const two = await ask('/callers', inner, relay(orders, outer, inner))
  t.is(two.outcome, 'allowed')
  t.is(two.presenter, ordersId)
  t.is(two.evidence, 'xfcc')
  t.is(two.peer, innerId)
  t.deepEqual(two.forwards, [innerId, outerId])
  const metadata = (name: string, { verdict } = two) => {
    const value = verdict.response.dynamic_metadata?.fields[name]
    return (value as { stringValue?: string } | undefined)?.stringValue
  }
  t.is(metadata('presenter'), ordersId)
  t.is(metadata('peer'), innerId)
  const headers = two.verdict.response.ok_response?.headers ?? []
  t.deepEqual(
    headers.map(({ header }) => [header.key, header.value]),
    [['x-meshbind-presenter', ordersId]],
  )
  const nobody = await ask('/proof', inner, undefined)
  t.is(nobody.outcome, 'allowed')
  t.is(nobody.presenter, undefined)
  t.is(nobody.peer, innerId)
  t.deepEqual(nobody.forwards, [innerId])
  t.is(metadata('presenter', nobody), '')
  t.is(metadata('peer', nobody), innerId)
  const stolen = await ask('/bound', inner, relay(thief, inner))
  t.is(stolen.presenter, thiefId)
  t.deepEqual(stolen.forwards, [innerId])
  const direct = await ask('/bound', orders, relay(orders))
  t.deepEqual(direct.forwards, [])
  t.is(direct.evidence, 'certificate')
})

test('waypoint: the one element that Istio writes shows the identity (Istio xfcc-include-client-identity)', async (t) => {
  const found = await ask('/identity', null, written, waypoint)
  t.is(found.outcome, 'allowed')
  t.is(found.evidence, 'waypoint')
  t.is(found.peer, ordersId)
  const other = await outcomeOf('/identity', null, `By=${waypointId};URI=${thiefId}`, waypoint)
  t.is(other, 'binding_mismatch')
})

test('waypoint: an element that is not of its form is refused (Istio xfcc-include-client-identity)', async (t) => {
  for (const header of [
    `${written},${written}`,
    `URI=x,${written}`,
    `URI=${ordersId}`,
    `By=${waypointId}`,
    `${written};Hash=${hexThumbprint(orders)}`,
    `${written};Subject=""`,
    `${written};DNS=x`,
    `${written};URI=${ordersId}`,
    xfccElement(orders),
    `By=${waypointId};URI=orders`,
    '',
  ]) {
    t.is(await outcomeOf('/identity', null, header, waypoint), 'presenter_invalid', header)
  }
  const foreign = `By=${waypointId};URI=spiffe://evil.example/ns/shop/sa/orders`
  t.is(await outcomeOf('/identity', null, foreign, waypoint), 'trust_domain_refused')
})

test('waypoint: By is this Envoy, where Envoy says who it is (policy peer.evidence)', async (t) => {
  const said = (destination: string) =>
    outcomeOf('/identity', null, written, waypoint, { destination })
  t.is(await said(waypointId), 'allowed')
  t.is(await said(thiefId), 'evidence_conflict')
})

test('waypoint: no client is nobody, and a principal or certificate is a contradiction (Istio xfcc-include-client-identity)', async (t) => {
  for (const uri of ['-', '']) {
    const header = `By=${waypointId};URI=${uri}`
    t.is(await outcomeOf('/identity', null, header, waypoint), 'presenter_missing')
    t.is(await outcomeOf('/proof', null, header, waypoint), 'allowed')
  }
  t.is(await outcomeOf('/identity', null, undefined, waypoint), 'presenter_missing')
  for (const header of [written, undefined]) {
    t.is(await outcomeOf('/identity', orders, header, waypoint), 'evidence_conflict')
    const principal = { principal: ordersId }
    t.is(await outcomeOf('/identity', null, header, waypoint, principal), 'evidence_conflict')
    const certificate = { certificate: orders.envoyText }
    t.is(await outcomeOf('/identity', null, header, waypoint, certificate), 'evidence_conflict')
  }
})

test('waypoint: where it is not listed its element is a client’s own word (policy peer.evidence)', async (t) => {
  t.is(await outcomeOf('/identity', null, written), 'evidence_conflict')
  t.is(await outcomeOf('/identity', thief, written), 'evidence_conflict')
  const policy = policyWith('{ evidence: [certificate] }')
  const deaf = await createWorld({ policy, issuer })
  t.is(await outcomeOf('/identity', null, written, deaf), 'presenter_missing')
  t.is(await outcomeOf('/identity', thief, written, deaf), 'binding_mismatch')
})
