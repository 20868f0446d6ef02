/** Attack group D: certificate-bound tokens (RFC 8705 §3), from the question that Envoy asks to the answer it gets. */

import { createHash, X509Certificate } from 'node:crypto'
import test from 'ava'
import { reasons } from '../../src/decision/reasons.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { envoyTextOf, type Leaf, pemOf, x5tS256Of } from '../support/pki.ts'
import { createWorld, ordersId, type World } from '../support/world.ts'

const world = await createWorld()
/** One frozen second for every token and every question here. */
const now = world.now()
const leafWithDash = await mintUntil(world, (leaf) => /[-_]/.test(leaf.x5tS256))
const authorityDer = new X509Certificate(world.authority.certificatePem).raw
const second = 1000
const withPlus = await mintUntil(world, (leaf) => leaf.pem.includes('+'))
const renewed = await world.authority.issue({ spiffeId: ordersId, keys: world.orders.keys })
const expired = await world.authority.issue({
  spiffeId: ordersId,
  notAfter: new Date((now - 1) * second),
})
const early = await world.authority.issue({
  spiffeId: ordersId,
  notBefore: new Date((now + 1) * second),
})

interface Case {
  readonly as?: Leaf | null
  readonly cnf?: unknown
  readonly sub?: string
  readonly certificate?: string
  readonly principal?: string
  readonly path?: string
  /** '' is an allow. */
  readonly reason: string
}

async function ask(parts: Case) {
  const { as = world.orders, cnf = { 'x5t#S256': world.orders.x5tS256 }, sub = ordersId } = parts
  const { certificate = as?.envoyText ?? '', principal = as?.spiffeId ?? '' } = parts
  const { path = '/v1/payments' } = parts
  const token = await world.token({ cnf: cnf === none ? undefined : cnf, sub, iat: now })
  return world.askBytes(encodeCheckRequest({ certificate, principal, token, path }), now)
}

/** For `cnf`: the claim is absent. */
const none = Symbol('no cnf')

function binding(title: string, ...cases: readonly Case[]): void {
  test(title, async (t) => {
    t.plan(2 * cases.length)
    for (const one of cases) {
      const verdict = await ask(one)
      const shown = JSON.stringify({ ...one, as: one.as?.spiffeId }).slice(0, 300)
      t.is(verdict.reason, one.reason, shown)
      t.is(verdict.allowed, one.reason === '', shown)
    }
  })
}

async function mintUntil(from: World, fits: (leaf: Leaf) => boolean): Promise<Leaf> {
  const leaf = await from.authority.issue({ spiffeId: ordersId })
  return fits(leaf) ? leaf : mintUntil(from, fits)
}

function x5t(value: unknown): object {
  return { 'x5t#S256': value }
}

binding('D62: the leaf that the token names is allowed (RFC 8705 §3.1)', { reason: '' })
binding(
  'D63: another workload with its own valid certificate is refused (RFC 8705 §3)',
  { as: world.thief, reason: 'binding_mismatch' },
  { as: world.thief, sub: 'somebody', reason: 'binding_mismatch' },
)
binding('D64: without a certificate the binding cannot be confirmed (RFC 8705 §3)', {
  certificate: '',
  reason: 'presenter_missing',
})
test('D64: the operator is told about include_peer_certificate (Envoy ext_authz)', (t) => {
  t.regex(reasons.presenter_missing.advice, /include_peer_certificate/)
})
binding('D65: a plaintext listener has no presenter (RFC 8705 §3)', {
  as: null,
  reason: 'presenter_missing',
})
binding(
  'D66: the thumbprint of the authority that signed the leaf is not the leaf’s (RFC 8705 §3.1)',
  { cnf: x5t(x5tS256Of(authorityDer)), sub: 'somebody', reason: 'binding_mismatch' },
  { cnf: x5t(x5tS256Of(authorityDer)), reason: 'binding_rotated' },
)
binding(
  'D67: two PEM blocks are refused in either order (RFC 8705 §3.1: the one end-entity certificate)',
  {
    certificate: envoyTextOf(pemOf(authorityDer) + world.orders.pem),
    reason: 'presenter_invalid',
  },
  {
    certificate: envoyTextOf(world.orders.pem + pemOf(authorityDer)),
    reason: 'presenter_invalid',
  },
)

const { der, pem } = leafWithDash
const spellings = {
  hex: createHash('sha256').update(der).digest('hex'),
  'upper-case hex': createHash('sha256').update(der).digest('hex').toUpperCase(),
  'SHA-1 (x5t)': createHash('sha1').update(der).digest('base64url'),
  'SHA-512': createHash('sha512').update(der).digest('base64url'),
  'base64url with padding': `${leafWithDash.x5tS256}=`,
  'standard base64': createHash('sha256').update(der).digest('base64'),
  'standard alphabet, no padding': createHash('sha256')
    .update(der)
    .digest('base64')
    .replace('=', ''),
  'a space after it': `${leafWithDash.x5tS256} `,
  'a newline after it': `${leafWithDash.x5tS256}\n`,
}
binding(
  'D68: the leaf of the spellings below is allowed in the one right spelling (RFC 8705 §3.1)',
  {
    as: leafWithDash,
    cnf: x5t(leafWithDash.x5tS256),
    reason: '',
  },
)
for (const [name, value] of Object.entries(spellings)) {
  binding(`D68: a thumbprint as ${name} is refused (RFC 8705 §3.1: base64url, SHA-256, DER)`, {
    as: leafWithDash,
    cnf: x5t(value),
    reason: 'binding_malformed',
  })
}
binding('D68: a thumbprint over the PEM text is another one (RFC 8705 §3.1: DER)', {
  as: leafWithDash,
  cnf: x5t(createHash('sha256').update(pem).digest('base64url')),
  sub: 'somebody',
  reason: 'binding_mismatch',
})
binding(
  'D69: x5t#S256 that is no SHA-256 is malformed (RFC 8705 §3.1)',
  ...[
    '',
    world.orders.x5tS256.slice(0, 42),
    `${world.orders.x5tS256}A`,
    7,
    null,
    true,
    [world.orders.x5tS256],
    { value: world.orders.x5tS256 },
  ].map((value) => ({ cnf: x5t(value), reason: 'binding_malformed' })),
)
binding(
  'D70: cnf that is there but says nothing is malformed, not absent (RFC 7800 §3.1)',
  ...[{}, null, world.orders.x5tS256, [], [x5t(world.orders.x5tS256)], true, 0].flatMap((cnf) => [
    { cnf, reason: 'binding_malformed' },
    { cnf, path: '/identity', reason: 'binding_malformed' },
  ]),
)
binding(
  'D71: cnf of which nothing is understood refuses, on an identity route too (RFC 7800 §3.1)',
  ...[{ kid: 'a' }, { jku: 'https://keys.example', kid: 'a' }, { osc: {} }, { jwe: 'a.b' }].flatMap(
    (cnf) => [
      { cnf, reason: 'binding_unsupported' },
      { cnf, path: '/identity', reason: 'binding_unsupported' },
    ],
  ),
)
binding('D71: an unknown member beside a confirmed one is ignored (RFC 7800 §3.1)', {
  cnf: { ...x5t(world.orders.x5tS256), kid: 'a' },
  reason: '',
})
binding(
  'D72: jkt has no method here, so beside any x5t#S256 it refuses (RFC 7800 §3.1, RFC 9449 §6)',
  ...[
    { ...x5t(world.orders.x5tS256), jkt: world.orders.x5tS256 },
    { ...x5t(world.thief.x5tS256), jkt: world.orders.x5tS256 },
    { ...x5t(world.orders.x5tS256), jkt: '' },
    { jkt: world.orders.x5tS256 },
  ].map((cnf) => ({ cnf, reason: 'binding_unsupported' })),
)
binding('D73: an unbound token is refused where a binding is required (RFC 9700 §2.2.1)', {
  cnf: none,
  reason: 'binding_missing',
})

binding(
  'D74: a certificate outside its validity is refused on a live connection (RFC 5280 §4.1.2.5)',
  { as: expired, cnf: x5t(expired.x5tS256), reason: 'presenter_expired' },
  { as: early, cnf: x5t(early.x5tS256), reason: 'presenter_expired' },
  { as: expired, cnf: none, path: '/identity', reason: 'presenter_expired' },
)
binding(
  'D75: after rotation x5t#S256 refuses, and falls back neither to key nor identity (RFC 8705 §6.3)',
  { as: renewed, reason: 'binding_rotated' },
  { as: renewed, path: '/any', reason: 'binding_rotated' },
  { as: renewed, path: '/identity', reason: 'binding_rotated' },
)
binding('D75: after rotation a token bound by identity alone is allowed (SPIFFE-ID §2)', {
  as: renewed,
  cnf: none,
  path: '/identity',
  reason: '',
})

const canonical = world.orders.envoyText
const texts = {
  'a lone percent sign': `${canonical}%`,
  'bad percent-encoding': canonical.replace('%0A', '%zz'),
  'percent-encoding that is no UTF-8': canonical.replace('%0A', '%ff'),
  'a NUL after it': `${canonical}%00`,
  'no PEM': 'orders',
  'DER in base64 without the lines around it': world.orders.der.toString('base64url'),
  'an empty PEM block': envoyTextOf('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'),
  'a PEM block of another type': canonical.replaceAll('CERTIFICATE', 'PUBLIC%20KEY'),
  'one megabyte': canonical + '%0A'.repeat(350_000),
  'the leaf twice': canonical + canonical,
  'bytes after the DER': envoyTextOf(pemOf(Buffer.concat([world.orders.der, Buffer.alloc(3)]))),
  'the last DER byte missing': envoyTextOf(pemOf(world.orders.der.subarray(0, -1))),
  'CRLF line ends': envoyTextOf(world.orders.pem.replaceAll('\n', '\r\n')).replaceAll('\r', '%0D'),
  'junk before it': `subject%3DCN%0A${canonical}`,
  'a newline before it': `%0A${canonical}`,
  'junk after it': `${canonical}orders`,
  'percent-encoding done twice': canonical.replaceAll('%', '%25'),
  'plus signs for spaces': canonical.replaceAll('%20', '+'),
}
for (const [name, certificate] of Object.entries(texts)) {
  binding(`D76: ${name} is refused (RFC 8705 §3.1: the thumbprint is of one DER certificate)`, {
    certificate,
    reason: 'presenter_invalid',
  })
}
binding(
  'D77: a plus sign in the base64 is a plus sign, encoded or not, never a space (RFC 3986 §2.1)',
  { as: withPlus, cnf: x5t(withPlus.x5tS256), reason: '' },
  {
    certificate: withPlus.envoyText.replaceAll('%2B', '+'),
    cnf: x5t(withPlus.x5tS256),
    reason: '',
  },
  {
    certificate: withPlus.envoyText.replaceAll('%2B', '%20'),
    cnf: x5t(withPlus.x5tS256),
    reason: 'presenter_invalid',
  },
)
test('D78: the answer does not tell how much of a thumbprint is right (RFC 8705 §3)', async (t) => {
  const answers = new Set<string>()
  // Not up to the last character: it holds four bits, and one thief in sixteen shares them.
  for (let right = 0; right < 42; right += 6) {
    const value = world.orders.x5tS256.slice(0, right) + world.thief.x5tS256.slice(right)
    const verdict = await ask({ cnf: x5t(value), sub: 'somebody', reason: 'binding_mismatch' })
    t.is(verdict.reason, 'binding_mismatch')
    answers.add(JSON.stringify([verdict.response.denied_response, verdict.detail]))
  }
  t.is(answers.size, 1)
})
