/** Who presents where Envoy names the peer in XFCC, and where forwarders vouch for others (policy.md Who is the presenter). */

import test from 'ava'
import { refuse } from '../../src/decision/decision.ts'
import type { EvidenceSource } from '../../src/evidence/sources.ts'
import type { TrustStore } from '../../src/evidence/trust.ts'
import { paymentsId } from '../support/check-request.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { ask, establish, establishLater, type PeerCase } from '../support/presenter.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const blogId = 'spiffe://mesh.example/ns/web/sa/blog'
const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const edgeId = 'spiffe://mesh.example/ns/istio-system/sa/edge'
const outerId = 'spiffe://mesh.example/ns/istio-system/sa/outer'

const authority = await createAuthority()
const issue = (spiffeId: string) => authority.issue({ spiffeId })
const orders = await issue(ordersId)
const blog = await issue(blogId)
const gateway = await issue(gatewayId)
const edge = await issue(edgeId)
const outer = await issue(outerId)
const foreign = await issue('spiffe://evil.example/ns/shop/sa/orders')
const expired = await authority.issue({
  spiffeId: ordersId,
  notBefore: new Date(Date.now() - 7_200_000),
  notAfter: new Date(Date.now() - 3_600_000),
})

const mine = xfccElement(orders)
const byHash = `xfcc ${ordersId} (${orders.x5tS256})`
const byCert = `xfcc ${ordersId} ${orders.x5tS256}`
const byCertificate = `certificate ${ordersId} ${orders.x5tS256}`
const lists: readonly (readonly EvidenceSource[])[] = [
  ['xfcc'],
  ['certificate', 'xfcc'],
  ['xfcc', 'certificate'],
  ['principal', 'xfcc'],
]

/** The peer as Envoy shows it, with `xfcc` as its header. */
const peer = (leaf: Leaf, xfcc: PeerCase['xfcc'], parts: PeerCase = {}): PeerCase => ({
  principal: leaf.spiffeId,
  destination: paymentsId,
  evidence: ['xfcc'],
  xfcc,
  ...parts,
})

test('policy.md presenter 1: the first listed evidence that is present makes the peer, XFCC included', (t) => {
  const certificate = orders.envoyText
  const rows: readonly (readonly [readonly EvidenceSource[], PeerCase, string])[] = [
    [['xfcc'], {}, byHash],
    [['certificate', 'xfcc'], {}, byHash],
    [['certificate', 'xfcc'], { certificate }, byCertificate],
    [['xfcc', 'certificate'], { certificate }, byCert],
    [['xfcc', 'principal'], {}, byHash],
    [['principal', 'xfcc'], {}, `principal ${ordersId}`],
    [['certificate'], {}, 'nobody'],
    [['certificate'], { certificate }, byCertificate],
    [['xfcc'], { xfcc: undefined }, 'nobody'],
    [['xfcc', 'principal'], { xfcc: undefined }, `principal ${ordersId}`],
    [['xfcc'], { xfcc: xfccElement(orders, { cert: true }) }, byCert],
    [['certificate', 'xfcc'], { xfcc: xfccElement(orders, { cert: true }) }, byCert],
  ]
  for (const [evidence, parts, expected] of rows) {
    t.is(establish(peer(orders, mine, { evidence, ...parts })), expected, `${evidence} listed`)
  }
})

test('RFC 8705 §3.1: the XFCC Hash is the same digest as x5t#S256, in hex', (t) => {
  const bare = `By=${paymentsId};Hash=${hexThumbprint(orders)};URI=${ordersId}`
  t.is(establish(peer(orders, bare)), byHash)
  t.is(establish(peer(orders, `By=${paymentsId};URI=${ordersId}`)), `xfcc ${ordersId}`)
})

const contradictions: readonly (readonly [string, PeerCase, string])[] = [
  ['URI is not the principal', { xfcc: xfccElement(orders, { uri: blogId }) }, 'evidence_conflict'],
  ['principal is not the URI', { principal: blogId }, 'evidence_conflict'],
  ['no principal', { principal: '' }, 'evidence_conflict'],
  ['By is another Envoy', { xfcc: xfccElement(orders, { by: gatewayId }) }, 'evidence_conflict'],
  ['the destination is another', { destination: gatewayId }, 'evidence_conflict'],
  [
    'Hash is not that of the certificate',
    { certificate: orders.envoyText, xfcc: xfccElement(orders, { hash: hexThumbprint(blog) }) },
    'evidence_conflict',
  ],
  [
    'Hash is not that of Cert',
    { xfcc: xfccElement(orders, { cert: true, hash: hexThumbprint(blog) }) },
    'evidence_conflict',
  ],
  [
    'URI is not that of Cert',
    { principal: blogId, xfcc: xfccElement(orders, { cert: true, uri: blogId }) },
    'evidence_conflict',
  ],
  ['two readings of the header', { xfcc: { kind: 'ambiguous' } }, 'evidence_conflict'],
  ['two URIs', { xfcc: `${mine};URI=${ordersId}` }, 'presenter_invalid'],
  ['an empty URI', { xfcc: xfccElement(orders, { uri: '' }) }, 'presenter_invalid'],
  ['no URI', { xfcc: `By=${paymentsId};Hash=${hexThumbprint(orders)}` }, 'presenter_invalid'],
  [
    'Hash in upper case',
    { xfcc: xfccElement(orders, { hash: hexThumbprint(orders).toUpperCase() }) },
    'presenter_invalid',
  ],
  ['a short Hash', { xfcc: xfccElement(orders, { hash: 'ab' }) }, 'presenter_invalid'],
  ['a malformed header', { xfcc: `${mine};` }, 'presenter_invalid'],
  ['an empty header', { xfcc: '' }, 'presenter_invalid'],
  ['a malformed element before', { xfcc: `nonsense,${mine}` }, 'presenter_invalid'],
  ['a chain that is none', { xfcc: xfccElement(orders, { chain: 'x' }) }, 'presenter_invalid'],
]

for (const [title, parts, expected] of contradictions) {
  test(`policy.md presenter 1: XFCC that is listed agrees with the rest: ${title}`, (t) => {
    for (const evidence of lists) {
      t.is(establish(peer(orders, mine, { evidence, ...parts })), expected, `${evidence} listed`)
    }
  })
}

test('policy.md presenter 1: XFCC that is not listed is not read', (t) => {
  const evidence: readonly EvidenceSource[] = ['certificate', 'principal']
  for (const xfcc of ['', 'x', xfccElement(blog), { kind: 'ambiguous' } as const]) {
    const parts = { evidence, certificate: orders.envoyText }
    t.is(establish(peer(orders, xfcc, parts)), byCertificate)
  }
})

test('policy.md presenter 1: By may be absent, and so may the identity of this Envoy', (t) => {
  const nameless = mine.replace(`By=${paymentsId};`, '')
  t.is(establish(peer(orders, nameless)), byHash)
  t.is(establish(peer(orders, mine, { destination: '' })), byHash)
})

test('policy.md presenter 2: a peer in XFCC is a workload of a listed domain, its Cert valid now', (t) => {
  t.is(establish(peer(foreign, xfccElement(foreign))), 'trust_domain_refused')
  t.is(establish(peer(expired, xfccElement(expired, { cert: true }))), 'presenter_expired')
  for (const uri of ['spiffe://mesh.example', 'CN=orders', 'https://x', `${ordersId}/`]) {
    const header = xfccElement(orders, { uri })
    t.is(establish(peer(orders, header, { principal: uri })), 'presenter_invalid', uri)
  }
})

const forwarders = new Map([
  [gatewayId, { presents: false }],
  [edgeId, { presents: false }],
  [outerId, { presents: true }],
])
const relayed = (leaf: Leaf, elements: readonly string[], parts: PeerCase = {}) =>
  establish(peer(leaf, elements.join(), { forwarders, ...parts }))
const gatewaySaw = (leaf: Leaf, parts: Parameters<typeof xfccElement>[1] = {}) =>
  xfccElement(leaf, { by: gatewayId, ...parts })
const last = xfccElement(gateway)

test('policy.md presenter 3: the element that a forwarder wrote names the workload that it saw', (t) => {
  t.is(relayed(gateway, [gatewaySaw(orders), last]), `${byHash} via ${gatewayId}`)
  t.is(relayed(gateway, [gatewaySaw(orders, { cert: true }), last]), `${byCert} via ${gatewayId}`)
  const certificate = gateway.envoyText
  for (const evidence of lists) {
    const found = relayed(gateway, [gatewaySaw(orders), last], { evidence, certificate })
    t.is(found, `${byHash} via ${gatewayId}`)
  }
})

test('policy.md presenter 4: who is no forwarder vouches for nobody', (t) => {
  t.is(
    relayed(blog, [gatewaySaw(orders), xfccElement(blog)]),
    establish(peer(blog, xfccElement(blog))),
  )
  const forged = xfccElement(orders, { by: blogId })
  t.is(
    relayed(blog, [forged, xfccElement(blog)]),
    `xfcc ${blogId} (${blog.x5tS256})`,
    'a forged element of its own',
  )
})

test('policy.md presenter 3: an element whose By is not the forwarder vouches for nobody', (t) => {
  for (const by of [blogId, edgeId, `${gatewayId}x`]) {
    t.is(relayed(gateway, [xfccElement(orders, { by }), last]), `nobody via ${gatewayId}`, by)
  }
  // Without the certificate such an element may be the true one, and the last its imitation (decision 0005).
  for (const by of [gatewayId.toUpperCase(), paymentsId]) {
    t.is(relayed(gateway, [xfccElement(orders, { by }), last]), 'evidence_conflict', by)
  }
  const nameless = mine.replace(`By=${paymentsId};`, '')
  t.is(relayed(gateway, [nameless, last]), 'evidence_conflict')
})

test('policy.md presenter 3: only the element next to the forwarder’s own is looked at', (t) => {
  const between = xfccElement(blog, { by: blogId })
  t.is(relayed(gateway, [gatewaySaw(orders), between, last]), `nobody via ${gatewayId}`)
  t.is(relayed(gateway, [between, gatewaySaw(orders), last]), `${byHash} via ${gatewayId}`)
})

test('policy.md presenter 3: no such element, no presenter, unless the forwarder is marked `presents`', (t) => {
  t.is(relayed(gateway, [last]), `nobody via ${gatewayId}`)
  t.is(relayed(outer, [xfccElement(outer)]), `xfcc ${outerId} (${outer.x5tS256})`)
  const parts = { evidence: ['certificate'] as const, certificate: gateway.envoyText }
  t.is(establish(peer(gateway, undefined, { ...parts, forwarders })), `nobody via ${gatewayId}`)
})

test('docs/decisions/0005: who presents for itself does so only where no element stands before', (t) => {
  const own = xfccElement(outer)
  t.is(relayed(outer, [xfccElement(orders, { by: outerId }), own]), `${byHash} via ${outerId}`)
  t.is(relayed(outer, [xfccElement(orders, { by: blogId }), own]), `nobody via ${outerId}`)
})

test('docs/decisions/0005: two elements by one forwarder are refused, wherever the first stands', (t) => {
  const truth = gatewaySaw(blog)
  const imitation = gatewaySaw(orders)
  t.is(relayed(gateway, [truth, imitation, last]), 'evidence_conflict')
  t.is(relayed(gateway, [truth, xfccElement(blog), imitation, last]), 'evidence_conflict')
  // envoyproxy/envoy#32945: the SAN of a certificate as Envoy writes it, without quotes.
  const uri = `https://x/a,By=${gatewayId};URI=${ordersId}`
  t.is(relayed(gateway, [gatewaySaw(blog, { uri }), last]), 'evidence_conflict')
})

test('policy.md presenter 3: as many forwarders may follow each other as maxForwards says', (t) => {
  const chain = [
    xfccElement(orders, { by: outerId }),
    xfccElement(outer, { by: edgeId }),
    xfccElement(edge, { by: gatewayId }),
    last,
  ]
  const via = `via ${gatewayId} ${edgeId} ${outerId}`
  t.is(relayed(gateway, chain, { maxForwards: 1 }), 'forward_too_long')
  t.is(relayed(gateway, chain, { maxForwards: 2 }), 'forward_too_long')
  t.is(relayed(gateway, chain, { maxForwards: 3 }), `${byHash} ${via}`)
  const short = [xfccElement(orders, { by: edgeId }), xfccElement(edge, { by: gatewayId }), last]
  t.is(relayed(gateway, short, { maxForwards: 1 }), 'forward_too_long')
  t.is(relayed(gateway, short, { maxForwards: 2 }), `${byHash} via ${gatewayId} ${edgeId}`)
})

test('policy.md presenter 2: a workload that is vouched for is judged like any other', (t) => {
  t.is(relayed(gateway, [gatewaySaw(foreign), last]), 'trust_domain_refused')
  t.is(relayed(gateway, [gatewaySaw(expired, { cert: true }), last]), 'presenter_expired')
  t.is(relayed(gateway, [gatewaySaw(orders, { uri: 'CN=orders' }), last]), 'presenter_invalid')
  t.is(relayed(gateway, [gatewaySaw(orders, { uri: '' }), last]), 'presenter_invalid')
  t.is(relayed(gateway, [gatewaySaw(orders, { hash: 'AB' }), last]), 'presenter_invalid')
  const other = gatewaySaw(orders, { cert: true, uri: blogId })
  t.is(relayed(gateway, [other, last]), 'evidence_conflict')
})

test('policy.md presenter 4: the chain and the peer are told, the nearest forwarder first', (t) => {
  const short = [xfccElement(orders, { by: edgeId }), xfccElement(edge, { by: gatewayId }), last]
  t.like(ask(peer(gateway, short.join(), { forwarders, maxForwards: 2 })), {
    peer: gatewayId,
    forwarders: [gatewayId, edgeId],
    presenter: { spiffeId: ordersId },
  })
  t.like(ask(peer(gateway, last, { forwarders })), { peer: gatewayId, presenter: undefined })
  t.like(ask(peer(orders, mine)), { peer: ordersId, forwarders: [] })
  t.like(ask({}), { peer: undefined, presenter: undefined, forwarders: [] })
})

const written = `By=${paymentsId};URI=${ordersId}`
const atWaypoint = (xfcc: PeerCase['xfcc'], parts: PeerCase = {}) =>
  establish({ evidence: ['waypoint'], xfcc, destination: paymentsId, ...parts })

test('policy.md presenter 1: a waypoint’s single By and URI name the presenter', (t) => {
  t.is(atWaypoint(written), `waypoint ${ordersId}`)
  t.is(atWaypoint(undefined), 'nobody')
  t.is(atWaypoint(`By=${paymentsId};URI=`), 'nobody')
})

test('policy.md presenter 1: a waypoint is refused where a principal or a certificate is there', (t) => {
  t.is(atWaypoint(written, { principal: ordersId }), 'evidence_conflict')
  t.is(atWaypoint(undefined, { principal: ordersId }), 'evidence_conflict')
  t.is(atWaypoint(written, { certificate: orders.envoyText }), 'evidence_conflict')
})

test('policy.md presenter 1: anything but that one element is not a waypoint’s', (t) => {
  const more = ['Subject=""', `Hash=${hexThumbprint(orders)}`, 'DNS=orders', `URI=${ordersId}`]
  for (const part of more) t.is(atWaypoint(`${written};${part}`), 'presenter_invalid', part)
  for (const header of [
    `${written},${written}`,
    `${xfccElement(orders)},${written}`,
    `URI=${ordersId}`,
    `By=${paymentsId}`,
    `By=${paymentsId};URI=CN=orders`,
    `By=${paymentsId};URI=spiffe://mesh.example`,
    `${written};`,
  ]) {
    t.is(atWaypoint(header), 'presenter_invalid', header)
  }
  t.is(atWaypoint(`By=${paymentsId};URI=${foreign.spiffeId}`), 'trust_domain_refused')
  t.is(atWaypoint({ kind: 'ambiguous' }), 'evidence_conflict')
})

/** A trust store that answers as it is told, and what it was asked. */
function fakeTrust(answer: ReturnType<TrustStore['verify']>) {
  const asked: (readonly [string, number, number])[] = []
  const trust: TrustStore = {
    replace: () => undefined,
    verify(leaf, chain, now) {
      asked.push([leaf.x5tS256, chain.length, now])
      return answer
    },
  }
  return { asked, trust }
}

const bad = refuse('presenter_invalid', 'no path')

test('policy.md trustBundles: the peer’s certificate is verified here too, at once or later', async (t) => {
  const certificate = orders.envoyText
  const shown = { certificate, principal: ordersId, at: Math.floor(Date.now() / 1000) }
  for (const [answer, expected] of [
    [undefined, byCertificate],
    [bad, 'presenter_invalid'],
  ] as const) {
    for (const given of [answer, Promise.resolve(answer)]) {
      const { asked, trust } = fakeTrust(given)
      t.is(ask({ ...shown, trust }) instanceof Promise, given instanceof Promise)
      t.is(await establishLater({ ...shown, trust }), expected)
      t.deepEqual(asked[0], [orders.x5tS256, 0, shown.at])
    }
  }
})

test('policy.md trustBundles: XFCC gives Cert and Chain where Envoy sends no certificate', async (t) => {
  const { asked, trust } = fakeTrust(undefined)
  const header = xfccElement(orders, { cert: true, chain: orders.envoyText + blog.envoyText })
  t.is(await establishLater(peer(orders, header, { trust })), byCert)
  t.deepEqual(
    asked.map(([thumbprint, length]) => [thumbprint, length]),
    [[orders.x5tS256, 2]],
  )
})

test('policy.md trustBundles: a peer without its certificate is refused, and nobody is nobody', (t) => {
  const { asked, trust } = fakeTrust(undefined)
  t.is(establish(peer(orders, mine, { trust })), 'presenter_invalid')
  t.is(establish({ principal: ordersId, evidence: ['principal'], trust }), 'presenter_invalid')
  t.is(establish({ trust }), 'nobody')
  t.deepEqual(asked, [])
})

test('policy.md trustBundles: only the peer is verified, not those whom it vouches for', (t) => {
  const { asked, trust } = fakeTrust(undefined)
  const certificate = gateway.envoyText
  const elements = [gatewaySaw(orders, { cert: true }), last]
  t.is(relayed(gateway, elements, { certificate, trust }), `${byCert} via ${gatewayId}`)
  t.deepEqual(
    asked.map(([thumbprint]) => thumbprint),
    [gateway.x5tS256],
  )
  const refused = fakeTrust(bad)
  t.is(relayed(gateway, elements, { certificate, trust: refused.trust }), 'presenter_invalid')
})

test('policy.md trustBundles: who contradicts itself is refused before any chain is looked at', (t) => {
  const { asked, trust } = fakeTrust(bad)
  const certificate = orders.envoyText
  t.is(establish({ certificate, principal: blogId, trust }), 'evidence_conflict')
  t.is(establish({ certificate: expired.envoyText, trust }), 'presenter_expired')
  t.is(establish({ certificate: foreign.envoyText, trust }), 'trust_domain_refused')
  t.deepEqual(asked, [])
})
