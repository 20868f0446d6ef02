/** What groups D and E gain through XFCC: thumbprints, dates and names (RFC 8705 §3.1, X509-SVID §2), and injected elements (decision 0005). */

import test from 'ava'
import { encodeCheckRequest } from '../support/check-request.ts'
import type { Leaf } from '../support/pki.ts'
import { createWorld, ordersId, thiefId } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const proudId = 'spiffe://mesh.example/ns/istio-system/sa/proud'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer:
    evidence: [certificate, xfcc]
    forwarders: [${gatewayId}, { id: ${proudId}, presents: true }]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - name: identity
      match: { paths: [/identity] }
      require: { issuers: [corp], bindings: [spiffe] }
    - name: bound
      match: { paths: [/v1/payments] }
      require: { issuers: [corp], bindings: ["x5t#S256", jwk] }
`
const world = await createWorld({ policy })
/** One frozen second for every token and every question here. */
const now = world.now()
const { orders, thief, authority } = world
const gateway = await authority.issue({ spiffeId: gatewayId })
const proud = await authority.issue({ spiffeId: proudId })
const xfcc = 'x-forwarded-client-cert'

interface Ask {
  readonly as?: Leaf | null
  readonly principal?: string
  readonly headers?: { readonly [name: string]: string }
}

const claims = { cnf: { 'x5t#S256': orders.x5tS256 }, iat: now }
const questions = [
  { path: '/v1/payments', token: await world.token(claims) },
  { path: '/identity', token: await world.token({ ...claims, cnf: undefined }) },
] as const

/** Asks twice, with the token bound by thumbprint and with the one bound by identity alone. */
async function reasons(header: string, parts: Ask = {}): Promise<string[]> {
  const found: string[] = []
  for (const question of questions) {
    const headers = { ...parts.headers, [xfcc]: header }
    const verdict = await world.ask({ ...question, ...parts, headers })
    found.push(verdict.allowed ? 'allowed' : verdict.reason)
  }
  return found
}

const both = (outcome: string) => [outcome, outcome]
const asPeer = (header: string, principal = ordersId) => reasons(header, { as: null, principal })
const behind = (leaf: Leaf, header: string) =>
  reasons(`${header},${xfccElement(leaf)}`, { as: leaf })

test('D62: the XFCC Hash is the digest of x5t#S256 in hex, with or without the certificate (RFC 8705 §3.1)', async (t) => {
  t.deepEqual(await asPeer(xfccElement(orders)), both('allowed'))
  t.deepEqual(await asPeer(xfccElement(orders, { cert: true })), both('allowed'))
  t.deepEqual(await reasons(xfccElement(orders)), both('allowed'))
  const certOnly = xfccElement(orders, { cert: true }).replace(/Hash=[^;]*;/, '')
  t.deepEqual(await asPeer(certOnly), both('allowed'))
})

test('D63: the Hash of another workload is not the token’s (RFC 8705 §3)', async (t) => {
  t.deepEqual(await asPeer(xfccElement(thief), thiefId), both('binding_mismatch'))
  t.deepEqual(
    await behind(gateway, xfccElement(thief, { by: gatewayId })),
    both('binding_mismatch'),
  )
})

test('D64: without Hash and Cert an identity is all there is (RFC 8705 §3)', async (t) => {
  const bare = xfccElement(orders).replace(/Hash=[^;]*;/, '')
  t.deepEqual(await asPeer(bare), ['presenter_missing', 'allowed'])
  const seen = xfccElement(orders, { by: gatewayId }).replace(/Hash=[^;]*;/, '')
  t.deepEqual(await behind(gateway, seen), ['forward_broken', 'allowed'])
})

test('D65: XFCC without a principal is nobody’s word about this connection (Envoy ALWAYS_FORWARD_ONLY)', async (t) => {
  for (const header of [xfccElement(orders), xfccElement(orders, { cert: true }), 'URI=-', 'By=']) {
    t.deepEqual(await asPeer(header, ''), both('evidence_conflict'), header)
    t.deepEqual(await reasons(header, { principal: '' }), both('evidence_conflict'), header)
  }
})

test('D74: a Cert outside its validity is refused (RFC 5280 §4.1.2.5)', async (t) => {
  const second = 1000
  const dates = {
    past: { notAfter: new Date((now - 1) * second) },
    future: { notBefore: new Date((now + 120) * second) },
  }
  for (const [title, date] of Object.entries(dates)) {
    const leaf = await authority.issue({ spiffeId: ordersId, ...date })
    const element = xfccElement(leaf, { cert: true })
    t.deepEqual(await asPeer(element), both('presenter_expired'), title)
    const seen = xfccElement(leaf, { cert: true, by: gatewayId })
    t.deepEqual(await behind(gateway, seen), both('presenter_expired'), title)
    const relay = await authority.issue({ spiffeId: gatewayId, ...date })
    const relayed = `${xfccElement(orders, { by: gatewayId })},${xfccElement(relay, { cert: true })}`
    t.deepEqual(await asPeer(relayed, gatewayId), both('presenter_expired'), title)
  }
})

test('D76: a Cert or Chain that Envoy would not write is refused (Envoy, XFCC)', async (t) => {
  const chain = `${orders.envoyText}${thief.envoyText}`
  t.deepEqual(await asPeer(xfccElement(orders, { chain })), both('allowed'))
  for (const bad of ['', 'x', '%', orders.envoyText.slice(1), `${orders.envoyText}%00`]) {
    const cert = xfccElement(orders).replace('Subject', `Cert="${bad}";Subject`)
    t.deepEqual(await asPeer(cert), both('presenter_invalid'), `Cert ${bad.length}`)
    t.deepEqual(await asPeer(xfccElement(orders, { chain: bad })), both('presenter_invalid'))
  }
  const two = xfccElement(orders).replace('Subject', `Cert="${chain}";Subject`)
  t.deepEqual(await asPeer(two), both('presenter_invalid'))
})

test('E80 to E92: a forwarded URI that is no workload’s SPIFFE ID is refused (SPIFFE-ID §2)', async (t) => {
  for (const uri of [
    '',
    '-',
    'SPIFFE://mesh.example/ns/shop/sa/orders',
    'spiffe://MESH.example/ns/shop/sa/orders',
    `${ordersId}/`,
    ordersId.replace('/sa', '//sa'),
    `${ordersId}/..`,
    ordersId.replace('orders', '%6frders'),
    `${ordersId}?x`,
    `${ordersId} `,
    'spiffe://mesh.example',
    'https://orders.example',
    `${ordersId}/${'a'.repeat(2048)}`,
  ]) {
    const seen = xfccElement(orders, { by: gatewayId, uri })
    t.deepEqual(await behind(gateway, seen), both('presenter_invalid'), uri)
  }
  const bare = `By=${gatewayId};Hash=${hexThumbprint(orders)}`
  t.deepEqual(await behind(gateway, bare), both('presenter_invalid'))
})

test('E89: a forwarded workload with two URI SANs is refused (X509-SVID §2)', async (t) => {
  for (const uri of [
    `${ordersId};URI=${thiefId}`,
    `${thiefId};URI=${ordersId}`,
    `;URI=${ordersId}`,
  ]) {
    t.deepEqual(
      await behind(gateway, xfccElement(thief, { by: gatewayId, uri })),
      both('presenter_invalid'),
    )
  }
})

test('E95: a forwarded workload of a foreign trust domain is refused (SPIFFE-ID §2.1)', async (t) => {
  for (const domain of ['evil.example', 'mesh.example.evil', 'sub.mesh.example']) {
    const leaf = await authority.issue({ spiffeId: `spiffe://${domain}/ns/shop/sa/orders` })
    for (const cert of [true, false]) {
      const seen = xfccElement(leaf, { by: gatewayId, cert })
      t.deepEqual(await behind(gateway, seen), both('trust_domain_refused'), domain)
    }
  }
})

/** URI SANs of a thief’s certificate, as Envoy writes them: without quotes, without escapes (envoyproxy/envoy#32945). */
const payments = 'spiffe://mesh.example/ns/shop/sa/payments'
const injections = (by: string) => [
  `https://x/a,By=${by};URI=${ordersId}`,
  `https://x/a,By=${by};Hash=${hexThumbprint(orders)};URI=${ordersId}`,
  `${ordersId},By=${by};Hash=${hexThumbprint(orders)};URI=${ordersId}`,
  `https://x/a,By=${by};URI=x,By=${by};URI=y,By=${by};URI=${ordersId}`,
  `https://x/a,By=${by};Cert="${orders.envoyText}";URI=${ordersId}`,
  `https://x/a,by=${by};uri=${ordersId};dns=x`,
]

test('E91: a peer whose SAN holds an element of its own is known by its principal (decision 0005)', async (t) => {
  for (const uri of [...injections(payments), `${ordersId},URI=${ordersId}`, `${ordersId};DNS=x`]) {
    const header = xfccElement(thief, { uri })
    t.deepEqual(await asPeer(header, uri), both('evidence_conflict'), uri)
  }
})

test('E91: behind a forwarder such a SAN is refused, one that presents included (decision 0005)', async (t) => {
  for (const leaf of [gateway, proud]) {
    const by = leaf.spiffeId
    for (const uri of injections(by)) {
      const seen = xfccElement(thief, { by, uri })
      t.deepEqual(await behind(leaf, seen), both('evidence_conflict'), uri)
    }
  }
})

test('E91: a SAN that pushes the true element out of its place leaves nobody, not the forwarder (decision 0005)', async (t) => {
  for (const leaf of [gateway, proud]) {
    for (const uri of [
      'https://x/a,URI=y',
      `https://x/a,URI=${ordersId}`,
      `https://x/a,By=${payments};URI=${leaf.spiffeId}`,
      `https://x/a,By=${thiefId};Hash=${hexThumbprint(orders)};URI=${ordersId}`,
    ]) {
      const seen = xfccElement(thief, { by: leaf.spiffeId, uri })
      t.deepEqual(await behind(leaf, seen), both('forward_broken'), uri)
    }
  }
})

const stolen = (uri: string, by = '') => `${by}Hash=${hexThumbprint(thief)};Subject="";URI=${uri}`

test('E91: a SAN that adds pairs to its own element is not its first part (envoyproxy/envoy#32945)', async (t) => {
  for (const uri of [`${ordersId};DNS=x`, `${ordersId};dns=`, `${ordersId};Issuer=x`]) {
    const outcomes = await behind(gateway, xfccElement(thief, { by: gatewayId, uri }))
    t.false(outcomes.includes('allowed'), uri)
  }
})

test('E91: a DNS SAN that adds a URI, where Envoy writes none, names nobody (envoyproxy/envoy#32945)', async (t) => {
  const seen = `By=${gatewayId};Hash=${hexThumbprint(thief)};DNS=x;URI=${ordersId}`
  t.false((await behind(gateway, seen)).includes('allowed'))
})

test('E91: a SAN imitates no forwarder whose true element has no By or another one (Envoy, XFCC)', async (t) => {
  for (const by of ['', 'By=https://api.example;']) {
    for (const uri of injections(gatewayId).slice(0, 3)) {
      t.false((await behind(gateway, stolen(uri, by))).includes('allowed'), by)
    }
  }
})

test('F111: the JSON form is read like the text (Envoy, XFCC format JSON)', async (t) => {
  const object = (leaf: Leaf, by: string) => ({
    by: [by],
    hash: hexThumbprint(leaf),
    subject: '',
    uri: [leaf.spiffeId],
  })
  const last = object(gateway, payments)
  const ask = (...items: object[]) => reasons(JSON.stringify(items), { as: gateway })
  t.deepEqual(await ask(object(orders, gatewayId), last), both('allowed'))
  t.deepEqual(await ask(object(thief, gatewayId), last), both('binding_mismatch'))
  t.deepEqual(await ask(object(orders, thiefId), last), both('forward_broken'))
  const twice = await ask(object(thief, gatewayId), object(orders, gatewayId), last)
  t.deepEqual(twice, both('evidence_conflict'))
  t.deepEqual(await ask({ ...object(orders, gatewayId), x: 'y' }, last), both('presenter_invalid'))
  const uri = [ordersId, thiefId]
  t.deepEqual(await ask({ ...object(orders, gatewayId), uri }, last), both('presenter_invalid'))
  const mixed = `${JSON.stringify([object(orders, gatewayId)])},${xfccElement(gateway)}`
  t.deepEqual(await reasons(mixed, { as: gateway }), both('presenter_invalid'))
})

test('F111: in JSON a SAN with an element of its own stays one text (Envoy, XFCC format JSON)', async (t) => {
  const uri = [`https://x/a,By=${gatewayId};URI=${ordersId}`]
  const items = [
    { by: [gatewayId], hash: hexThumbprint(thief), uri },
    { hash: hexThumbprint(gateway), uri: [gatewayId] },
  ]
  t.deepEqual(await reasons(JSON.stringify(items), { as: gateway }), both('presenter_invalid'))
})

test('C58: a twin of the header under a key in upper case is no list: a map has no order (Envoy)', async (t) => {
  for (const [leaf, twinned] of [
    [gateway, xfccElement(orders, { by: gatewayId })],
    [thief, xfccElement(orders, { by: gatewayId })],
    [orders, xfccElement(orders)],
  ] as const) {
    const headers = { [xfcc.toUpperCase()]: twinned }
    t.deepEqual(await reasons(xfccElement(leaf), { as: leaf, headers }), both('evidence_conflict'))
  }
})

test('C59: headers and header_map must tell one XFCC (Envoy encode_raw_headers)', async (t) => {
  const own = xfccElement(orders)
  const others = [xfccElement(thief), `${xfccElement(thief)},${own}`, own.toLowerCase(), '']
  for (const { path, token } of questions) {
    const ask = async (as: Leaf, raw: readonly string[], joined?: string) => {
      const peer = { certificate: as.envoyText, principal: as.spiffeId, path }
      const lines = raw.map((value) => [xfcc, value] as const)
      const rawHeaders = [['authorization', `Bearer ${token}`] as const, ...lines]
      const headers = joined === undefined ? {} : { [xfcc]: joined }
      // Two encodings one after the other are one message, in which both maps are filled (protobuf, merging).
      const parts = [
        { ...peer, rawHeaders },
        ...(joined === undefined ? [] : [{ ...peer, token, headers }]),
      ]
      const bytes = Buffer.concat(parts.map((part) => encodeCheckRequest(part)))
      const verdict = await world.askBytes(bytes, now)
      return verdict.allowed ? 'allowed' : verdict.reason
    }
    t.is(await ask(orders, [own]), 'allowed', 'header_map alone')
    t.is(await ask(orders, [own], own), 'allowed', 'both alike')
    const [first, last] = [xfccElement(orders, { by: gatewayId }), xfccElement(gateway)]
    t.is(await ask(gateway, [first, last], `${first},${last}`), 'allowed', 'two lines, joined')
    t.is(await ask(gateway, [first, last], `${last},${first}`), 'evidence_conflict')
    t.is(await ask(gateway, [first, last], last), 'evidence_conflict')
    t.is(await ask(gateway, [last], `${first},${last}`), 'evidence_conflict')
    for (const other of others) {
      t.is(await ask(orders, [own], other), 'evidence_conflict', other)
      t.is(await ask(orders, [other], own), 'evidence_conflict', other)
    }
  }
})
