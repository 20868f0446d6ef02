/** Attack group E: whose SPIFFE ID is it (SPIFFE-ID §2, X509-SVID §2, §5.2), with certificates that really say it. */

import 'reflect-metadata'
import { Extension, type JsonGeneralNames } from '@peculiar/x509'
import test from 'ava'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createAuthority, type Leaf, type LeafOptions } from '../support/pki.ts'
import { basePolicy, createWorld, ordersId } from '../support/world.ts'

const policy = `${basePolicy}
    - name: namespace
      match: { paths: [/namespace] }
      require:
        issuers: [corp]
        bindings: ["x5t#S256"]
        callers: [spiffe://mesh.example/ns/prod/*, spiffe://mesh.example/ns/dot.ted/sa/a]
`
const world = await createWorld({ policy })
/** One frozen second for every token and every question here. */
const now = world.now()

interface Ask {
  readonly path?: string
  /** In place of the text of the leaf's first URI SAN; as Envoy fills it, '' where it could not. */
  readonly principal?: string
  readonly sub?: string
  readonly unbound?: boolean
}

/** Asks with a token bound to this very certificate: nothing but its names can refuse it. */
async function ask(leaf: Leaf, { path = '/v1/payments', ...rest }: Ask = {}) {
  const cnf = rest.unbound === true ? undefined : { 'x5t#S256': leaf.x5tS256 }
  const claims = { cnf, sub: rest.sub ?? ordersId, scope: 'admin.write', tenant: 'acme', iat: now }
  const { principal = leaf.spiffeId } = rest
  const token = await world.token(claims)
  const question = { certificate: leaf.envoyText, principal, token, path }
  return world.askBytes(encodeCheckRequest(question), now)
}

function svid(title: string, options: LeafOptions, reason: string, parts?: Ask): void {
  test(title, async (t) => {
    const leaf = await world.authority.issue(options)
    // Envoy may or may not have been able to name such a peer: the certificate decides either way.
    for (const principal of parts?.principal === undefined ? [leaf.spiffeId, ''] : [undefined]) {
      const verdict = await ask(leaf, principal === undefined ? parts : { ...parts, principal })
      t.is(verdict.reason, reason)
      t.is(verdict.allowed, reason === '')
    }
  })
}

const uri = (...values: string[]): LeafOptions => ({
  names: values.map((value) => ({ type: 'url', value })) as JsonGeneralNames,
})

/** A subjectAltName with one URI of any bytes, written by hand: a certificate kit would escape or refuse them. */
function rawUri(bytes: Buffer): LeafOptions {
  const name = tlv(0x86, bytes)
  return { extensions: [new Extension('2.5.29.17', true, tlv(0x30, name))] }
}

function tlv(tag: number, content: Buffer): Buffer {
  const { length } = content
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

svid('E79: a certificate with exactly one SPIFFE ID is taken (X509-SVID §2)', uri(ordersId), '')
svid('E79: so is one whose names were written by hand', rawUri(Buffer.from(ordersId)), '', {
  principal: ordersId,
})
svid('E79: the exact ID satisfies spiffe (SPIFFE-ID §2)', uri(ordersId), '', {
  path: '/identity',
  unbound: true,
})

const notAnId = {
  E80: ['SPIFFE://mesh.example/ns/shop/sa/orders', 'Spiffe://mesh.example/ns/shop/sa/orders'],
  E81: ['spiffe://MESH.example/ns/shop/sa/orders', 'spiffe://mesh.Example/ns/shop/sa/orders'],
  E83: [`${ordersId}/`],
  E84: ['spiffe://mesh.example//ns/shop/sa/orders', 'spiffe://mesh.example/ns//shop/sa/orders'],
  E85: [
    'spiffe://mesh.example/./ns/shop/sa/orders',
    'spiffe://mesh.example/ns/../ns/shop/sa/orders',
    `${ordersId}/..`,
    `${ordersId}/.`,
    `${ordersId}/../admin`,
  ],
  E86: [
    'spiffe://mesh.example/ns/shop/sa/%6frders',
    `${ordersId}/%2e%2e/admin`,
    'spiffe://mesh.example/ns/shop%2Fsa/orders',
    'spiffe://mesh%2eexample/ns/shop/sa/orders',
  ],
  E87: [
    `${ordersId}?x=1`,
    `${ordersId}#f`,
    'spiffe://mesh.example:8443/ns/shop/sa/orders',
    'spiffe://u@mesh.example/ns/shop/sa/orders',
    'spiffe://u:p@mesh.example/ns/shop/sa/orders',
  ],
  E91: [
    `${ordersId},URI:spiffe://mesh.example/ns/web/sa/blog`,
    `${ordersId}, URI:spiffe://mesh.example/ns/web/sa/blog`,
    `"${ordersId}"`,
  ],
  E92: [
    `${ordersId}/${'a'.repeat(2048 - ordersId.length)}`,
    'spiffe://mesh.example',
    'spiffe://mesh.example/',
    'spiffe:///ns/shop/sa/orders',
    'spiffe://',
  ],
}
for (const [number, values] of Object.entries(notAnId)) {
  for (const value of values) {
    const shown = value.length > 80 ? `one of ${value.length} bytes` : value
    svid(
      `${number}: the URI SAN ${shown} is no workload’s SPIFFE ID (SPIFFE-ID §2)`,
      uri(value),
      'presenter_invalid',
    )
  }
}
const longest = `${ordersId}/${'a'.repeat(2047 - ordersId.length)}`
svid(`E92: a SPIFFE ID of 2048 bytes is taken (SPIFFE-ID §2.3)`, uri(longest), '')

const bytes: { [title: string]: Buffer } = {
  'E88: a NUL and more after the ID': Buffer.from(`${ordersId}\0.evil.example`),
  'E88: a NUL at the end': Buffer.from(`${ordersId}\0`),
  'E88: a NUL inside': Buffer.from(ordersId.replace('orders', 'or\0ders')),
  'E88: a newline at the end': Buffer.from(`${ordersId}\n`),
  'E92: UTF-8 in the path': Buffer.from(ordersId.replace('orders', 'örders')),
  'E92: Latin-1 in the path': Buffer.from(ordersId.replace('orders', 'örders'), 'latin1'),
  'E92: an IDN as its U-label': Buffer.from(ordersId.replace('mesh.example', 'mésh.example')),
  'E92: a byte that is o but for its high bit': Buffer.from(
    ordersId.replace('orders', '\xefrders'),
    'latin1',
  ),
}
for (const [title, value] of Object.entries(bytes)) {
  svid(`${title} is refused (SPIFFE-ID §2)`, rawUri(value), 'presenter_invalid', {
    principal: ordersId,
  })
}

test('E80: a token whose identity is spelled another way names nobody (SPIFFE-ID §2)', async (t) => {
  const expected = {
    'SPIFFE://mesh.example/ns/shop/sa/orders': 'binding_missing',
    'Spiffe://mesh.example/ns/shop/sa/orders': 'binding_missing',
    'spiffe://MESH.EXAMPLE/ns/shop/sa/orders': 'binding_mismatch',
    'spiffe://mesh.example/ns/shop/sa/Orders': 'binding_mismatch',
    [`${ordersId}/`]: 'binding_mismatch',
    [`${ordersId} `]: 'binding_mismatch',
    'spiffe://mesh.example/ns/shop/sa/%6frders': 'binding_mismatch',
    'spiffe://mesh.example/ns/./shop/sa/orders': 'binding_mismatch',
  }
  for (const [sub, reason] of Object.entries(expected)) {
    const verdict = await ask(world.orders, { sub, unbound: true, path: '/identity' })
    t.is(verdict.reason, reason, sub)
    t.false(verdict.allowed)
  }
})

const otherCase = uri('spiffe://mesh.example/ns/shop/sa/Orders')
svid('E82: a path that differs in case is a valid ID of its own (SPIFFE-ID §2.2)', otherCase, '')
svid('E82: but another caller (SPIFFE-ID §2.2)', otherCase, 'caller_refused', { path: '/admin' })
svid('E82: the caller in its own spelling is allowed', uri(ordersId), '', { path: '/admin' })
svid('E82: and it is another identity (SPIFFE-ID §2.2)', otherCase, 'binding_mismatch', {
  path: '/identity',
  unbound: true,
})

const blogId = 'spiffe://mesh.example/ns/web/sa/blog'
for (const values of [
  [ordersId, blogId],
  [blogId, ordersId],
  [ordersId, ordersId],
  [ordersId, 'https://orders.example'],
  ['https://orders.example', ordersId],
]) {
  const title = `E89: the URI SANs ${values.join(' and ')} are one too many (X509-SVID §2)`
  svid(title, uri(...values), 'presenter_invalid')
}
svid(
  'E89: DNS names and addresses beside the one URI SAN are allowed (X509-SVID §2)',
  {
    names: [
      { type: 'dns', value: 'orders.shop.svc' },
      { type: 'url', value: ordersId },
      { type: 'ip', value: '10.0.0.7' },
    ],
  },
  '',
)
const nameless: { [title: string]: LeafOptions } = {
  'a DNS SAN': { names: [{ type: 'dns', value: ordersId }] },
  'the common name': { subject: `CN=${ordersId}`, names: [] },
  'an e-mail SAN': { names: [{ type: 'email', value: ordersId }] },
}
for (const [name, options] of Object.entries(nameless)) {
  const title = `E90: a SPIFFE ID in ${name} is none, even if Envoy names the peer by it (X509-SVID §2)`
  svid(title, options, 'presenter_invalid', { principal: ordersId })
}
test('E90: a principal that is a name of another kind is not believed (Envoy ext_authz)', async (t) => {
  for (const principal of ['orders.shop.svc', `CN=${ordersId}`, `${ordersId},CN=x`, 'x']) {
    const token = await world.token({ cnf: undefined })
    const verdict = await world.ask({ as: null, principal, token, path: '/identity' })
    t.is(verdict.reason, 'presenter_invalid', principal)
  }
})

const callers = {
  'spiffe://mesh.example/ns/prod/sa/a': '',
  'spiffe://mesh.example/ns/prod/x/y/z': '',
  'spiffe://mesh.example/ns/production': 'caller_refused',
  'spiffe://mesh.example/ns/production/sa/a': 'caller_refused',
  'spiffe://mesh.example/ns/prod-2/sa/a': 'caller_refused',
  'spiffe://mesh.example/ns/prod': 'caller_refused',
  'spiffe://mesh.example/x/ns/prod/sa/a': 'caller_refused',
  'spiffe://mesh.example/ns/dot.ted/sa/a': '',
  'spiffe://mesh.example/ns/dotXted/sa/a': 'caller_refused',
}
for (const [id, reason] of Object.entries(callers)) {
  const number = id.includes('dot') ? 'E94' : 'E93'
  const verb = reason === '' ? 'is' : 'is not'
  const title = `${number}: ${id} ${verb} a caller: whole segments, no patterns (policy callers)`
  svid(title, uri(id), reason, { path: '/namespace' })
}
svid(
  'E94: a dot of the trust domain is a dot (SPIFFE-ID §2.1)',
  uri('spiffe://meshxexample/ns/shop/sa/orders'),
  'trust_domain_refused',
)
for (const domain of ['evil.example', 'mesh.example.evil', 'sub.mesh.example', 'mesh', 'example']) {
  svid(
    `E95: our authority cannot vouch for ${domain} (SPIFFE-ID §2.1)`,
    uri(`spiffe://${domain}/ns/shop/sa/orders`),
    'trust_domain_refused',
  )
}
test('E95: our ID from another authority is another certificate under x5t#S256 (RFC 8705 §3)', async (t) => {
  const forged = await (await createAuthority('evil.example')).issue({ spiffeId: ordersId })
  const token = await world.token()
  t.true((await world.ask({ token })).allowed)
  const verdict = await world.ask({ as: forged, token })
  t.false(verdict.allowed)
  t.is(verdict.reason, 'binding_rotated')
})
