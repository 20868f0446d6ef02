/** Attack group F: XFCC and hops (policy "Who is the presenter"), each case of the catalogue through the whole check. */

import test from 'ava'
import type { Leaf } from '../support/pki.ts'
import { createWorld, ordersId, thiefId } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const policyWith = (peer: string) => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: ${peer}
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
      require: { issuers: [corp], bindings: ["x5t#S256"] }
`
const world = await createWorld({
  policy: policyWith(`{ evidence: [certificate, xfcc], forwarders: [${gatewayId}] }`),
})
const { orders, thief, authority } = world
const gateway = await authority.issue({ spiffeId: gatewayId })
const named = await authority.issue({ spiffeId: ordersId, subject: 'CN=orders' })
const bound = await world.token()
const unbound = await world.token({ cnf: undefined })
const xfcc = 'x-forwarded-client-cert'

interface Ask {
  readonly as?: Leaf | null
  readonly principal?: string
  readonly destination?: string
  readonly certificate?: string
  readonly token?: string
  readonly headers?: { readonly [name: string]: string }
  readonly rawHeaders?: readonly (readonly [string, string])[]
}

/** Asks twice, with the token bound by thumbprint and with the one bound by identity alone. */
async function reasons(header: string | undefined, parts: Ask = {}, on = world): Promise<string[]> {
  const sent = header === undefined ? {} : { [xfcc]: header }
  const found: string[] = []
  for (const [path, token] of [
    ['/v1/payments', bound],
    ['/identity', unbound],
  ] as const) {
    const verdict = await on.ask({ path, token, ...parts, headers: { ...sent, ...parts.headers } })
    found.push(verdict.allowed ? 'allowed' : verdict.reason)
  }
  return found
}

const both = (outcome: string) => [outcome, outcome]
/** What the gateway saw, and what this Envoy saw of the gateway. */
const relayed = (element: string) => `${element},${xfccElement(gateway)}`
const behindGateway = (header: string, parts: Ask = {}) =>
  reasons(relayed(header), { as: gateway, ...parts })
const seen = (leaf: Leaf) => xfccElement(leaf, { by: gatewayId })
/** The peer is known by XFCC alone. */
const byXfcc = (header: string, leaf = orders) =>
  reasons(header, { as: null, principal: leaf.spiffeId })

test('F: whom the gateway saw presents the token (policy peer.forwarders)', async (t) => {
  t.deepEqual(await behindGateway(seen(orders)), both('allowed'))
  t.deepEqual(await behindGateway(seen(thief)), both('binding_mismatch'))
})

test('F96: a peer that is no forwarder vouches for nobody but itself (policy peer.forwarders)', async (t) => {
  for (const by of [gatewayId, thiefId, ordersId]) {
    const forged = `${xfccElement(orders, { by })},${xfccElement(thief)}`
    t.deepEqual(await reasons(forged, { as: thief }), both('binding_mismatch'))
    t.deepEqual(await byXfcc(forged, thief), both('binding_mismatch'))
    const harmless = `${xfccElement(thief, { by })},${xfccElement(orders)}`
    t.deepEqual(await reasons(harmless), both('allowed'))
  }
})

test('F96: the very same header from a gateway that is not listed is the gateway’s own (policy peer.forwarders)', async (t) => {
  const unlisted = await authority.issue({ spiffeId: `${gatewayId}-2` })
  const header = `${xfccElement(orders, { by: unlisted.spiffeId })},${xfccElement(unlisted)}`
  t.deepEqual(await reasons(header, { as: unlisted }), both('binding_mismatch'))
})

test('F96: where XFCC is not listed the header is not even read (policy peer.evidence)', async (t) => {
  const policy = policyWith('{ evidence: [certificate] }')
  const deaf = await createWorld({ policy, issuer: world.issuer })
  for (const header of [relayed(seen(orders)), 'x', '"', xfccElement(thief)]) {
    t.deepEqual(await reasons(header, { as: thief }, deaf), both('binding_mismatch'))
    t.deepEqual(await reasons(header, { as: orders }, deaf), both('allowed'))
    const unseen = await reasons(header, { as: null, principal: ordersId }, deaf)
    t.deepEqual(unseen, both('presenter_missing'))
  }
})

test('F97: a forwarder without the header vouched for nobody (policy peer.forwarders)', async (t) => {
  t.deepEqual(await reasons(undefined, { as: gateway }), both('forward_broken'))
})

test('F98: one forwarder more than maxForwards is refused (policy peer.maxForwards)', async (t) => {
  const second = await authority.issue({ spiffeId: `${gatewayId}-2` })
  const forwarders = `forwarders: [${gatewayId}, ${second.spiffeId}]`
  const header = [
    xfccElement(orders, { by: second.spiffeId }),
    xfccElement(second, { by: gatewayId }),
    xfccElement(gateway),
  ].join(',')
  for (const [limit, expected] of [
    ['', 'forward_too_long'],
    [', maxForwards: 1', 'forward_too_long'],
    [', maxForwards: 2', 'allowed'],
  ] as const) {
    const policy = policyWith(`{ evidence: [certificate, xfcc], ${forwarders}${limit} }`)
    const { issuer } = world
    const two = await createWorld({ policy, issuer })
    t.deepEqual(await reasons(header, { as: gateway }, two), both(expected))
  }
})

test('F99: a forwarder whose element alone is there vouched for nobody (policy peer.forwarders)', async (t) => {
  t.deepEqual(await reasons(xfccElement(gateway), { as: gateway }), both('forward_broken'))
})

test('F100: elements that a client put in front are not looked at (Envoy APPEND_FORWARD)', async (t) => {
  for (const seeded of [
    xfccElement(orders, { by: 'spiffe://mesh.example/ns/x/sa/y' }),
    xfccElement(orders),
    `URI=${ordersId}`,
    'By=;URI=',
    `Hash=x;Cert=y;Chain=z;URI=a;URI=b,DNS=c`,
    Array(62).fill(xfccElement(orders)).join(','),
  ]) {
    // One that names no proxy by its SPIFFE ID could be the gateway's own (decision 0005).
    const named = seeded.startsWith('By=spiffe://')
    const expected = both(named ? 'binding_mismatch' : 'evidence_conflict')
    t.deepEqual(await behindGateway(`${seeded},${seen(thief)}`), expected, seeded)
    const own = `${seeded},${xfccElement(thief)}`
    t.deepEqual(await reasons(own, { as: thief }), both('binding_mismatch'))
  }
})

test('F100: one that imitates the gateway’s own element is refused (decision 0005)', async (t) => {
  for (const seeded of [seen(orders), `By=${gatewayId}`, seen(thief)]) {
    t.deepEqual(await behindGateway(`${seeded},${seen(orders)}`), both('evidence_conflict'))
  }
})

test('F101, F102: what stands in the quotes of Subject is no pair (Envoy, XFCC)', async (t) => {
  const hash = hexThumbprint(thief)
  for (const subject of [
    `CN=x;URI=${ordersId}`,
    `CN=a\\",URI=\\"${ordersId}`,
    `CN=a\\";URI=${ordersId};Hash=${hexThumbprint(orders)};X=\\"`,
    `,URI=${ordersId}`,
  ]) {
    const element = `By=${gatewayId};Hash=${hash};Subject="${subject}";URI=${thiefId}`
    t.deepEqual(await behindGateway(element), both('binding_mismatch'), subject)
    const direct = `Hash=${hash};Subject="${subject}";URI=${thiefId}`
    t.deepEqual(await byXfcc(direct, thief), both('binding_mismatch'), subject)
  }
})

test('F103: a quote that does not close or a backslash at the end is refused (Envoy, XFCC)', async (t) => {
  for (const end of ['"', '\\', ',By="', ';Issuer="', ';Issuer="\\"', ';Issuer="a\\']) {
    t.deepEqual(await byXfcc(xfccElement(orders) + end), both('presenter_invalid'), end)
    const broken = await reasons(relayed(seen(orders)) + end, { as: gateway })
    t.deepEqual(broken, both('presenter_invalid'), end)
  }
  t.deepEqual(await behindGateway(`${seen(orders)};Issuer="`), both('presenter_invalid'))
})

test('F104: a second Hash, By or URI in one element is refused, equal or not (Envoy, XFCC)', async (t) => {
  for (const more of [
    `Hash=${hexThumbprint(orders)}`,
    `Hash=${hexThumbprint(thief)}`,
    `URI=${ordersId}`,
    `URI=${thiefId}`,
    'URI=',
    'Subject=""',
    `By=${gatewayId}`,
  ]) {
    t.deepEqual(await behindGateway(`${seen(orders)};${more}`), both('presenter_invalid'), more)
    t.deepEqual(await byXfcc(`${xfccElement(orders)};${more}`), both('presenter_invalid'), more)
  }
})

test('F105: keys compare without case, and so do their twins (Envoy, XFCC)', async (t) => {
  const cased = seen(orders).replace('URI=', 'uri=').replace('Hash=', 'hAsH=').replace('By=', 'BY=')
  t.deepEqual(await behindGateway(cased), both('allowed'))
  for (const more of [`uRi=${ordersId}`, `hASH=${hexThumbprint(orders)}`, `bY=${gatewayId}`]) {
    t.deepEqual(await behindGateway(`${cased};${more}`), both('presenter_invalid'), more)
  }
})

test('F106: By that is not this Envoy is refused, where Envoy names itself (policy peer.evidence)', async (t) => {
  for (const by of [gatewayId, ordersId, 'x', '', '-']) {
    const element = xfccElement(orders, { by })
    t.deepEqual(await reasons(element), both('evidence_conflict'), by)
    t.deepEqual(await byXfcc(element), both('evidence_conflict'), by)
    const header = `${seen(orders)},${xfccElement(gateway, { by })}`
    t.deepEqual(await reasons(header, { as: gateway }), both('evidence_conflict'), by)
    t.deepEqual(await reasons(element, { destination: '' }), both('allowed'), by)
  }
  const unsigned = xfccElement(orders).replace(/^By=[^;]*;/, '')
  t.deepEqual(await byXfcc(unsigned), both('allowed'))
})

test('F107: Hash that is not 64 lower-case hex digits is refused (RFC 8705 §3.1, Envoy XFCC)', async (t) => {
  const right = hexThumbprint(orders)
  for (const hash of [
    '',
    '-',
    right.toUpperCase(),
    right.replace(/[a-f]/, (letter) => letter.toUpperCase()),
    right.slice(1),
    `${right}0`,
    `0x${right.slice(2)}`,
    orders.x5tS256,
    `${right} `,
    right.replace(/../g, '$&:').slice(0, -1),
  ]) {
    const [direct, behind] = [
      xfccElement(orders, { hash }),
      xfccElement(orders, { by: gatewayId, hash }),
    ]
    t.deepEqual(await byXfcc(direct), both('presenter_invalid'), hash)
    t.deepEqual(await reasons(direct), both('presenter_invalid'), hash)
    t.deepEqual(await behindGateway(behind), both('presenter_invalid'), hash)
  }
})

test('F107: Hash of another certificate is another one (RFC 8705 §3.1)', async (t) => {
  const hash = hexThumbprint(thief)
  const other = xfccElement(orders, { by: gatewayId, hash })
  t.deepEqual(await behindGateway(other), ['binding_rotated', 'allowed'])
  t.deepEqual(await reasons(xfccElement(orders, { hash })), both('evidence_conflict'))
})

const conflicts: { readonly [title: string]: (by: string) => string } = {
  'F108: Cert and Hash': (by) =>
    xfccElement(orders, { by, cert: true, hash: hexThumbprint(thief) }),
  'F108: Hash and the Cert of another workload': (by) =>
    xfccElement(thief, { by, cert: true, hash: hexThumbprint(orders), uri: thiefId }),
  'F109: Cert and URI': (by) => xfccElement(orders, { by, cert: true, uri: thiefId }),
  'F109: URI and the Cert of another workload': (by) =>
    xfccElement(thief, { by, cert: true, uri: ordersId }),
  'F109: Cert and an empty URI': (by) => xfccElement(orders, { by, cert: true, uri: '' }),
}
for (const [title, element] of Object.entries(conflicts)) {
  test(`${title} contradict each other: refused (policy peer.evidence)`, async (t) => {
    t.deepEqual(await behindGateway(element(gatewayId)), both('evidence_conflict'))
    for (const leaf of [orders, thief]) {
      const direct = element('spiffe://mesh.example/ns/shop/sa/payments')
      t.deepEqual(await byXfcc(direct, leaf), both('evidence_conflict'))
      t.deepEqual(await reasons(direct, { as: leaf }), both('evidence_conflict'))
    }
  })
}

test('F110: two header lines are one list, in their order (RFC 9110 §5.3)', async (t) => {
  const [first, last] = [seen(orders), xfccElement(gateway)]
  const lines = (...values: string[]) => values.map((value) => [xfcc, value] as const)
  const ask = (values: string[]) =>
    Promise.all(
      (
        [
          ['/v1/payments', bound],
          ['/identity', unbound],
        ] as const
      ).map(async ([path, token]) => {
        const rawHeaders = [['authorization', `Bearer ${token}`] as const, ...lines(...values)]
        const verdict = await world.ask({ as: gateway, path, rawHeaders })
        return verdict.allowed ? 'allowed' : verdict.reason
      }),
    )
  t.deepEqual(await ask([first, last]), both('allowed'))
  t.deepEqual(await ask([`${first},${last}`]), both('allowed'))
  t.deepEqual(await ask([last, first]), both('evidence_conflict'))
  t.deepEqual(await ask([seen(thief), first, last]), both('evidence_conflict'))
  t.deepEqual(await ask([first, last, '']), both('presenter_invalid'))
  t.deepEqual(await ask(['', last]), both('presenter_invalid'))
  t.deepEqual(await ask(['Subject="a', `",${last}`]), both('forward_broken'))
})

test('F112: empty elements and pairs refuse the header, wherever they stand (Envoy, XFCC)', async (t) => {
  for (const junk of ['', ',', ';', '=', ';;', 'By', '=;', 'By=a;', 'X=y']) {
    t.deepEqual(await behindGateway(`${junk},${seen(orders)}`), both('presenter_invalid'), junk)
    t.deepEqual(await byXfcc(`${xfccElement(orders)},${junk}`), both('presenter_invalid'), junk)
  }
  t.deepEqual(await reasons('', { as: orders }), both('presenter_invalid'))
})

test('F113: oversize refuses the header, even if its last elements are sound (XFCC limits)', async (t) => {
  for (const front of [
    Array(10_000).fill('By=a').join(','),
    Array(63).fill('By=a').join(','),
    `Subject="${'a'.repeat(1024 * 1024)}"`,
    '"'.repeat(1024 * 1024),
  ]) {
    t.deepEqual(await behindGateway(`${front},${seen(orders)}`), both('presenter_invalid'))
  }
})

test('F114: a last element that is not of the peer is refused (policy peer.evidence)', async (t) => {
  t.deepEqual(await reasons(xfccElement(orders), { as: thief }), both('evidence_conflict'))
  t.deepEqual(await reasons(xfccElement(thief), { as: orders }), both('evidence_conflict'))
  t.deepEqual(await reasons(seen(orders), { as: gateway }), both('evidence_conflict'))
  t.deepEqual(await byXfcc(xfccElement(orders), thief), both('evidence_conflict'))
  const renewed = await authority.issue({ spiffeId: ordersId })
  t.deepEqual(await reasons(xfccElement(renewed), { as: orders }), both('evidence_conflict'))
  t.deepEqual(await reasons(xfccElement(renewed, { cert: true })), both('evidence_conflict'))
})

test('F115: Client-Cert, and its like under other names, says nothing (RFC 9440 §2.4)', async (t) => {
  const headers = {
    'client-cert': `:${orders.der.toString('base64')}:`,
    'client-cert-chain': `:${orders.der.toString('base64')}:`,
    'x-client-cert': orders.envoyText,
    'x-ssl-client-cert': orders.envoyText,
    x_forwarded_client_cert: xfccElement(orders),
    'x-forwarded-client-certs': xfccElement(orders),
    'x-forwarded-client_cert': xfccElement(orders),
  }
  t.deepEqual(await reasons(undefined, { as: null, headers }), both('presenter_missing'))
  t.deepEqual(await reasons(undefined, { as: thief, headers }), both('binding_mismatch'))
  t.deepEqual(await reasons(undefined, { as: gateway, headers }), both('forward_broken'))
  t.deepEqual(await reasons(undefined, { as: named, headers }), ['binding_rotated', 'allowed'])
})
