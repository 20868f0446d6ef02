import test from 'ava'
import { failures, ordersId, policyText, rehearse, testText } from './rehearse.ts'

const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'
const innerId = 'spiffe://mesh.example/ns/edge/sa/inner'
const fixtures = `
peers:
  orders: { spiffeId: ${ordersId} }
  thief: { spiffeId: spiffe://mesh.example/ns/web/sa/blog }
  gateway: { spiffeId: ${gatewayId} }
  inner: { spiffeId: ${innerId} }
  kept: { spiffeId: ${ordersId}, keyOf: orders }
  sibling: { spiffeId: ${ordersId} }
  foreign: { spiffeId: spiffe://other.example/ns/shop/sa/orders }
  broken: { spiffeId: "spiffe://mesh.example/a//b" }
  imitation: { spiffeId: ${ordersId}, signedBy: stranger }
  expired: { spiffeId: ${ordersId}, notAfter: -1s }
  early: { spiffeId: ${ordersId}, notBefore: +1s }
tokens:
  certificate: { issuer: corp, bind: { x5t#S256: orders } }
  key: { issuer: corp, bind: { jwk: orders } }
`
const request = (headers: string) =>
  `request: { method: GET, host: a.example, path: /, headers: { ${headers} } }`

test('the certificate’s dates, trust domain and identity are judged as in the mesh', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256"]'),
    testText(
      fixtures,
      'owner | allow | peer: orders, token: certificate',
      'expired | { deny: presenter_expired } | peer: expired, token: certificate',
      'early | { deny: presenter_expired } | peer: early, token: certificate',
      'foreign | { deny: trust_domain_refused } | peer: foreign, token: certificate',
      'broken | { deny: presenter_invalid } | peer: broken, token: certificate',
      'nobody | { deny: presenter_missing } | token: certificate',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('a renewed certificate is another one; with the key kept, `jwk` holds on', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256", jwk]'),
    testText(
      fixtures,
      'a | { deny: binding_rotated } | peer: kept, token: certificate',
      'b | allow | peer: kept, token: key',
      'c | { deny: binding_rotated } | peer: sibling, token: key',
    ),
  )
  t.deepEqual(failures(result), [])
})

for (const now of ['1999-12-31T23:59:59Z', '2026-01-01T12:00:00Z', '2049-12-31T23:59:59Z']) {
  test(`RFC 5280 §4.1.2.5: with trust bundles, at ${now}, the mesh’s CA is believed and no other`, async (t) => {
    const source = testText(
      fixtures,
      'owner | allow | peer: orders, token: certificate',
      'imitation | { deny: presenter_invalid } | peer: imitation, token: certificate',
    ).replace('2026-01-01T12:00:00Z', now)
    const spec = 'peer: { trustBundles: { mesh.example: { file: no-such-file.pem } } }'
    t.deepEqual(failures(await rehearse(policyText('bindings: ["x5t#S256"]', spec), source)), [])
  })
}

test('`evidence` is what Envoy sends, whatever the policy lists', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256", jwk]', 'peer: { evidence: [certificate, xfcc] }'),
    testText(
      fixtures,
      'a | { deny: presenter_missing } | peer: orders, token: certificate, evidence: [principal]',
      'b | allow | peer: orders, token: certificate, evidence: [xfcc]',
      'c | { deny: presenter_missing } | peer: orders, token: key, evidence: [xfcc]',
      'd | allow | peer: orders, token: key, evidence: [xfcc-cert]',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('docs/hops.md: a gateway names whom it saw; two need maxForwards 2', async (t) => {
  const spec = (max: number) =>
    `peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}, ${innerId}], maxForwards: ${max} }`
  const tests = [
    'one | allow | peer: orders, via: gateway, token: certificate',
    'thief | { deny: binding_mismatch } | peer: thief, via: gateway, token: certificate',
    'nobody | { deny: forward_broken } | via: gateway, token: certificate',
    'no forwarder | { deny: binding_mismatch } | peer: orders, via: thief, token: certificate',
  ]
  const two = 'peer: orders, via: [gateway, inner], token: certificate'
  const bindings = 'bindings: ["x5t#S256"]'
  const long = testText(fixtures, ...tests, `two | { deny: forward_too_long } | ${two}`)
  t.deepEqual(failures(await rehearse(policyText(bindings, spec(1)), long)), [])
  const allowed = testText(fixtures, ...tests, `two | allow | ${two}`)
  t.deepEqual(failures(await rehearse(policyText(bindings, spec(2)), allowed)), [])
})

test('docs/hops.md: XFCC that a client wrote is of no use, before the service or before the gateway', async (t) => {
  const forged = `x-forwarded-client-cert: "By=${gatewayId};Hash=${'0'.repeat(64)};URI=${ordersId}"`
  const result = await rehearse(
    policyText(
      'bindings: ["x5t#S256", spiffe]',
      `peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }`,
    ),
    testText(
      `${fixtures}\n  identity: { issuer: corp, claims: { sub: "${ordersId}" } }`,
      `direct | { deny: binding_mismatch } | peer: thief, token: identity, ${request(forged)}`,
      `relayed | { deny: binding_mismatch } | peer: thief, via: gateway, token: identity, ${request(forged)}`,
      `owner | allow | peer: orders, via: gateway, token: identity, ${request(forged)}`,
      `malformed | { deny: presenter_invalid } | peer: thief, token: identity, ${request('x-forwarded-client-cert: "By"')}`,
    ),
  )
  t.deepEqual(failures(result), [])
})

test('a waypoint shows the identity and nothing else', async (t) => {
  const result = await rehearse(
    policyText('bindings: [spiffe]', 'peer: { evidence: [waypoint] }'),
    testText(
      `${fixtures}\n  identity: { issuer: corp, claims: { sub: "${ordersId}" } }`,
      'owner | allow | peer: orders, token: identity',
      'thief | { deny: binding_mismatch } | peer: thief, token: identity',
      'nobody | { deny: presenter_missing } | token: identity',
      'conflict | { deny: evidence_conflict } | peer: orders, token: identity, evidence: [certificate, xfcc]',
    ),
  )
  t.deepEqual(failures(result), [])
})
