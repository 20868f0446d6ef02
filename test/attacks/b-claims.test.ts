/** Attack group B: time and standard claims (RFC 7519 §4.1, RFC 9068 §2.2, RFC 8725 §3). */

import test from 'ava'
import { CompactSign } from 'jose'
import { encodeCheckRequest } from '../support/check-request.ts'
import { audience, type Claims } from '../support/issuer.ts'
import { basePolicy, createWorld, ordersId } from '../support/world.ts'

const policy = `${basePolicy}
    - name: read
      match: { paths: [/read] }
      require: { issuers: [corp], bindings: ["x5t#S256"], scopes: [read] }
    - name: text
      match: { paths: [/text] }
      require: { issuers: [corp], bindings: ["x5t#S256"], claims: { tenant: [caf\u00e9] } }
    - name: domain
      match: { paths: [/domain] }
      require: { issuers: [corp], bindings: ["x5t#S256"], claims: { sub: [x@corp] } }
`
const skew = 30
const maxLifetime = 900
const world = await createWorld({ policy })
/** One frozen second for every token and every question here. */
const now = world.now()

interface Case {
  readonly claims?: Claims
  /** Claims as JSON text, for what `JSON.stringify` cannot write: in place of `exp`. */
  readonly exp?: string
  readonly path?: string
  /** '' is an allow. */
  readonly reason: string
}

async function sign({ claims, exp }: Omit<Case, 'reason'>): Promise<string> {
  const times = { iat: now - 60, exp: now + 240 }
  if (exp === undefined) return world.token({ ...times, ...claims })
  const cnf = JSON.stringify({ 'x5t#S256': world.orders.x5tS256 })
  const json = `{"iss":"https://idp.example","aud":"${audience}","sub":"${ordersId}",
    "iat":${times.iat},"exp":${exp},"cnf":${cnf}}`
  return new CompactSign(Buffer.from(json))
    .setProtectedHeader({ alg: 'ES256', kid: 'key-1', typ: 'at+jwt' })
    .sign(world.issuer.privateKey)
}

function claim(title: string, ...cases: readonly Case[]): void {
  test(title, async (t) => {
    t.plan(4 * cases.length)
    const { envoyText: certificate, spiffeId: principal } = world.orders
    for (const { path = '/v1/payments', reason, ...parts } of cases) {
      const token = await sign(parts)
      const question = encodeCheckRequest({ certificate, principal, token, path })
      for (const time of ['first', 'again']) {
        const verdict = await world.askBytes(question, now)
        t.is(verdict.reason, reason, `${time}: ${JSON.stringify(parts)}`)
        t.is(verdict.allowed, reason === '')
      }
    }
  })
}

function claims(title: string, reason: string, list: readonly Claims[], path?: string): void {
  const place = path === undefined ? {} : { path }
  claim(title, ...list.map((one) => ({ claims: one, reason, ...place })))
}

claim('control: the token that the cases below change is allowed', { reason: '' })
claim('control: the same claims as JSON text are allowed', { exp: `${now + 240}`, reason: '' })

claim('B28: a token without exp is refused (RFC 9068 §2.2)', {
  claims: { exp: undefined },
  reason: 'claim_invalid',
})
claim('B29: a token past exp and skew is refused (RFC 7519 §4.1.4)', {
  claims: { exp: now - skew - 1 },
  reason: 'token_expired',
})
claim('B29: a token is refused from the very second exp + skew on (RFC 7519 §4.1.4: ON or after)', {
  claims: { exp: now - skew },
  reason: 'token_expired',
})
claim('B30: a token past exp but inside the skew is allowed (RFC 7519 §4.1.4: some small leeway)', {
  claims: { exp: now - skew + 1 },
  reason: '',
})
for (const exp of ['1e400', '-1e400']) {
  claim(`B31: exp ${exp} reads as Infinity and is refused (RFC 8259 §6)`, {
    exp,
    reason: 'token_malformed',
  })
}
claims('B32: exp that is no number is refused (RFC 7519 §2 NumericDate)', 'claim_invalid', [
  { exp: '9999999999' },
  { exp: [9999999999] },
  { exp: true },
  { exp: null },
  { exp: {} },
])
for (const exp of ['-1', '-0', '0', '-9999999999']) {
  claim(`B33: exp ${exp} is refused (RFC 7519 §2 NumericDate)`, { exp, reason: 'claim_invalid' })
}
claim('B34: a fractional exp is refused, cached or not (policy: numbers are safe integers)', {
  exp: `${now + 240}.5`,
  reason: 'token_malformed',
})
claim('B35: exp in milliseconds makes the token live too long (RFC 8725 §3.10)', {
  exp: `${(now + 240) * 1000}`,
  reason: 'token_lifetime_exceeded',
})
for (const exp of ['9007199254740993', '1e30']) {
  claim(`B36: exp ${exp} is no safe integer and is refused (RFC 8259 §6)`, {
    exp,
    reason: 'token_malformed',
  })
}
claims('B37: nbf in the future is refused (RFC 7519 §4.1.5)', 'token_not_yet_valid', [
  { nbf: now + skew + 1 },
])
claims('B37: nbf that is no NumericDate is refused (RFC 7519 §4.1.5)', 'claim_invalid', [
  { nbf: 'NaN' },
  { nbf: '1' },
  { nbf: null },
  { nbf: [1] },
  { nbf: -1 },
])
claims('B37: nbf inside the skew is allowed (RFC 7519 §4.1.5)', '', [{ nbf: now + skew }])
claims('B38: iat in the future is refused (RFC 7519 §4.1.6)', 'token_not_yet_valid', [
  { iat: now + skew + 1 },
])
claims('B38: iat inside the skew is allowed (RFC 7519 §4.1.6)', '', [{ iat: now + skew }])
claims('B38: iat missing or no number is refused (RFC 9068 §2.2)', 'claim_invalid', [
  { iat: undefined },
  { iat: 'NaN' },
  { iat: null },
  { iat: 0 },
])
claims('B39: iat or nbf after exp is refused (RFC 7519 §4.1)', 'claim_invalid', [
  { iat: now + 20, exp: now + 10 },
  { nbf: now + 20, exp: now + 10 },
])
claims('B40: a lifetime over maxLifetime is refused (RFC 8725 §3.10)', 'token_lifetime_exceeded', [
  { iat: now - 60, exp: now - 60 + maxLifetime + 1 },
])
claims('B40: a lifetime of exactly maxLifetime is allowed (RFC 8725 §3.10)', '', [
  { iat: now - 60, exp: now - 60 + maxLifetime },
])
claims('B41: iss is compared byte for byte (RFC 8725 §3.8, RFC 9068 §4)', 'issuer_unknown', [
  { iss: 'https://idp.example/' },
  { iss: 'https://IDP.example' },
  { iss: 'HTTPS://idp.example' },
  { iss: 'https://idp.example.evil' },
  { iss: 'https://good@idp.example' },
  { iss: 'https://idp.example@evil' },
  { iss: 'https://idp.example:443' },
  { iss: ' https://idp.example' },
  { iss: '' },
])
claims('B41: iss that is no string is refused (RFC 7519 §4.1.1)', 'claim_invalid', [
  { iss: ['https://idp.example'] },
  { iss: { 'https://idp.example': 1 } },
  { iss: null },
  { iss: undefined },
])
claims('B42: aud that names this service is allowed (RFC 7519 §4.1.3)', '', [
  { aud: audience },
  { aud: [audience] },
  { aud: ['https://other.example', audience] },
])
claims('B42: another audience is refused (RFC 7519 §4.1.3)', 'audience_mismatch', [
  { aud: ['x'] },
  { aud: `${audience}/` },
  { aud: audience.slice(0, -1) },
  { aud: `${audience}.evil` },
  { aud: audience.toUpperCase() },
  { aud: `${audience} https://other.example` },
  { aud: `https://other.example ${audience}` },
])
claims('B42: aud of another form is refused (RFC 7519 §4.1.3)', 'claim_invalid', [
  { aud: [] },
  { aud: undefined },
  { aud: '' },
  { aud: [[audience]] },
  { aud: [audience, 5] },
  { aud: [audience, ''] },
  { aud: 5 },
  { aud: null },
  { aud: { 0: audience, length: 1 } },
])
claims('B43: sub missing or no text is refused (RFC 9068 §2.2)', 'claim_invalid', [
  { sub: undefined },
  { sub: 7 },
  { sub: { toString: 1 } },
  { sub: [ordersId] },
  { sub: null },
  { sub: '' },
])
claims(
  'B44: a scope of the form of RFC 6749 §3.3 grants what it lists',
  '',
  [{ scope: 'read' }, { scope: 'other read' }, { scope: 'read', scp: ['other'] }],
  '/read',
)
claims(
  'B44: a scope of another form grants nothing (RFC 6749 §3.3)',
  'scope_insufficient',
  [
    { scope: ['read'] },
    { scope: 'read  other' },
    { scope: ' read' },
    { scope: 'read ' },
    { scope: 'read\tother' },
    { scope: 'read\nother' },
    { scope: { read: true } },
    { scope: undefined, scp: ['read'] },
    { scope: 'other', scp: 'read' },
  ],
  '/read',
)
claims(
  'B45: a scope is a whole token (RFC 6749 §3.3)',
  'scope_insufficient',
  [
    { scope: 'reader' },
    { scope: 'rea' },
    { scope: 'READ' },
    { scope: 'read\u00a0write' },
    { scope: 'read\u2003write' },
    { scope: 'read,write' },
    { scope: 'x:read' },
  ],
  '/read',
)
claims(
  'B46: text compares by code points, NFC as written (RFC 7519 §7.3)',
  '',
  [{ tenant: 'caf\u00e9' }],
  '/text',
)
claims(
  'B46: NFD and look-alikes are other text (RFC 7519 §7.3)',
  'claim_refused',
  [
    { tenant: 'cafe\u0301' },
    { tenant: '\u0441af\u00e9' },
    { tenant: 'caf\u00e9\u200b' },
    { tenant: ['caf\u00e9'] },
    { tenant: undefined },
  ],
  '/text',
)
claims(
  'B46: an identity with a look-alike is another workload (RFC 8725 §3.9)',
  'binding_mismatch',
  [{ cnf: undefined, sub: ordersId.replace('orders', '\u043erders') }],
  '/identity',
)
claims(
  'B47: sub is the required one byte for byte (RFC 7519 §4.1.2)',
  '',
  [{ sub: 'x@corp' }],
  '/domain',
)
claims(
  'B47: a sub with a second @ is not of the domain (RFC 7519 §4.1.2)',
  'claim_refused',
  [{ sub: 'x@evil@corp' }, { sub: 'x@corp@evil' }, { sub: 'x@corp.evil' }, { sub: 'y@corp' }],
  '/domain',
)
