/** Attack group G, 116, 120-127 and 147: the form of a DPoP proof, its key and its signature (RFC 9449 §4.3). */

import { constants, createHash, generateKeyPairSync, KeyObject, sign } from 'node:crypto'
import test from 'ava'
import { calculateJwkThumbprint } from 'jose'
import { createDpopClient } from '../support/dpop.ts'
import { audience, type Claims } from '../support/issuer.ts'
import { proofJudge } from '../support/proofs.ts'
import { createWorld } from '../support/world.ts'

const algorithms = 'ES256 EdDSA Ed25519 PS256'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example], algorithms: [ES256, EdDSA, Ed25519, PS256] }
  routes:
    - { name: bound, match: { paths: [/v1/payments] }, require: { issuers: [corp], bindings: [dpop] } }
    - { name: mixed, match: { paths: [/mixed] }, require: { issuers: [corp], bindings: ["x5t#S256", dpop] } }
    - { name: certificate, match: { paths: [/cert] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
`
const world = await createWorld({ policy })
const withNonce = await createWorld({
  policy: policy.replace('dpop: {', 'dpop: { nonce: required,'),
  issuer: world.issuer,
})
const client = await createDpopClient({ now: world.now })
const stranger = await createDpopClient({ now: world.now })
const token = await world.token({ cnf: { jkt: client.jkt } })

const { question, allowed, refused } = proofJudge(world, token, algorithms)

const encode = (part: string | object) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

const claims = (changes: Claims = {}) => ({
  jti: `crafted-${Math.random()}`,
  htm: 'POST',
  htu: 'https://payments.example/v1/payments',
  iat: world.now(),
  ath: createHash('sha256').update(token).digest('base64url'),
  ...changes,
})

/** Signed with the client's key, whatever the two texts are. */
function craft(header: string | object, payload: string | object): string {
  const input = `${encode(header)}.${encode(payload)}`
  const key = KeyObject.from(client.privateKey)
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}
const soundHeader = { typ: 'dpop+jwt', alg: 'ES256', jwk: client.publicJwk }

test('G116: a sound proof with its token is allowed (RFC 9449 §7.1)', async (t) => {
  await allowed(t, await client.proof(token))
  await allowed(t, craft(soundHeader, claims()))
  t.is((await world.ask(question(await client.proof(token)))).http, 0)
})

test('G120: no DPoP header is a missing proof, an empty one an invalid one (RFC 9449 §4.3)', async (t) => {
  await refused(t, undefined, 'proof_missing')
  await refused(t, '', 'proof_invalid')
  await refused(t, ' ', 'proof_invalid')
  await refused(t, undefined, 'proof_missing', '', {
    headers: { 'x-dpop': await client.proof(token) },
  })
})

test('G121, RFC 9449 §4.3 item 1: two DPoP headers are refused, joined by a comma or apart', async (t) => {
  const [one, two] = [await client.proof(token), await client.proof(token)]
  const detail = 'more than one DPoP header'
  for (const value of [`${one},${two}`, `${one}, ${two}`, `${one},`, `,${one}`, `${one},${one}`])
    await refused(t, value, 'proof_invalid', detail)
  const headers = { dpop: one, DPoP: two }
  await refused(t, undefined, 'proof_invalid', detail, { headers })
  const raw = (...proofs: string[]) => ({
    rawHeaders: [
      ['authorization', `DPoP ${token}`] as const,
      ...proofs.map((proof) => ['dpop', proof] as const),
    ],
  })
  for (const proofs of [[one, two], [one, one], [one, ''], [`${one},${two}`]])
    await refused(t, undefined, 'proof_invalid', detail, raw(...proofs))
  await allowed(t, '', raw(one))
})

test('G122, RFC 9449 §4.3 item 2: what is no single compact JWS in strict spelling is refused', async (t) => {
  const proof = await client.proof(token)
  const [header = '', payload = '', signature = ''] = proof.split('.')
  const flat = { protected: header, payload, signature }
  const texts = [
    ...['junk', 'a.b', '..', '...', 'null', '{}', 'a.b.c', `DPoP ${proof}`, `"${proof}"`],
    ...[`${header}.${payload}`, `${header}.${payload}.`, `${proof}.`, `${proof}.${signature}`],
    ...[
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${proof}=`,
      ` ${proof}`,
      `${proof} `,
    ],
    ...[proof.replace('.', '=.'), `${header}.${payload}=.${signature}`, proof.replace('.', '%2E')],
    ...[encode(flat), encode('{}.{}.{}'), `${header}\t.${payload}.${signature}`],
    ...[craft(soundHeader, '[]'), craft('[]', claims()), craft('null', 'null'), craft('', '')],
  ]
  for (const text of texts) await refused(t, text, 'proof_invalid')
  await refused(t, JSON.stringify(flat), 'proof_invalid', 'more than one DPoP header') // its commas
  await allowed(t, proof)
})

test('G122: JSON that two readers read differently is refused (RFC 8259 §4, RFC 8725 §2.6)', async (t) => {
  const text = JSON.stringify(claims())
  const header = JSON.stringify(soundHeader)
  const iat = `"iat":${world.now()}`
  const payloads = [
    ...[`{"jti":"a",${text.slice(1)}`, `{"\\u006ati":"a",${text.slice(1)}`],
    ...[
      text.replace(iat, `${iat}.0`),
      text.replace(iat, `${iat}e0`),
      text.replace(iat, '"iat":1e400'),
    ],
    ...[text.replace(iat, `${iat}.5`), text.replace(iat, '"iat":99999999999999999999')],
    ...[text.replace(iat, '"iat":Infinity'), text.replace(iat, '"iat":NaN'), `\ufeff${text}`],
    ...[`${text.slice(0, -1)},"deep":${'['.repeat(16)}${']'.repeat(16)}}`, `${text} x`],
    ...[text.replace('POST', '\\ud800'), `${text.slice(0, -1)},}`],
  ]
  const said = 'payload is not strict base64url JSON'
  for (const payload of payloads)
    await refused(t, craft(soundHeader, payload), 'proof_invalid', said)
  const headers = [`{"alg":"none",${header.slice(1)}`, `${header.slice(0, -1)},"x":0.5}`]
  headers.push(header.replace('"kty"', '"kty":"oct","kty"'), `\ufeff${header}`)
  for (const other of headers)
    await refused(t, craft(other, text), 'proof_invalid', 'header is not strict base64url JSON')
  await allowed(t, craft(header, text))
})

test('G122: a proof over 8 KiB is refused before it is read, and one under it is not', async (t) => {
  const pad = (length: number) => craft(soundHeader, claims({ pad: 'x'.repeat(length) }))
  await refused(t, pad(6100), 'proof_invalid', 'over 8 KiB')
  await refused(t, '.'.repeat(1024 * 1024), 'proof_invalid', 'over 8 KiB')
  await allowed(t, pad(5500))
})

test('G122: the access token is no proof of itself, and a proof is no access token (RFC 8725 §3.11)', async (t) => {
  await refused(t, token, 'proof_invalid', 'typ is not dpop+jwt')
  const proof = await client.proof(token)
  const verdict = await world.ask(question(proof, { token: proof }))
  t.false(verdict.allowed)
  t.regex(verdict.reason, /^(token|claim|issuer|audience)_/)
})

test('G123, RFC 9449 §4.3 item 4: typ is dpop+jwt, letter by letter', async (t) => {
  const types = [
    undefined,
    'JWT',
    'dpop+jwt+x',
    'DPoP+JWT',
    'at+jwt',
    '',
    'dpop+jwt ',
    'application/dpop+jwt',
  ]
  for (const typ of [...types, ['dpop+jwt'], null, 1, { typ: 'dpop+jwt' }])
    await refused(t, await client.proof(token, {}, { typ }), 'proof_invalid', 'typ is not dpop+jwt')
})

test('G124, RFC 9449 §4.3 item 5: alg is asymmetric, and one that the policy lists', async (t) => {
  const unknown = 'alg is no asymmetric signature algorithm that is known here'
  const strange = [undefined, null, '', 'none', 'None', 'NONE', 'HS256', 'HS512', 'es256', 'ES256K']
  for (const alg of [...strange, 'A128KW', ['ES256'], 0, 'ES256 ', 'toString', '__proto__'])
    await refused(t, craft({ ...soundHeader, alg }, claims()), 'proof_invalid', unknown)
  const unsigned = craft({ ...soundHeader, alg: 'none' }, claims()).replace(/[^.]*$/, '')
  await refused(t, unsigned, 'proof_invalid', unknown)
  for (const alg of ['RS256', 'EdDSA', 'Ed25519', 'PS256', 'ES384', 'ES512'])
    await refused(
      t,
      craft({ ...soundHeader, alg }, claims()),
      'proof_invalid',
      'jwk does not go with alg',
    )
  for (const algorithm of ['RS256', 'ES384', 'ES512', 'PS384']) {
    const unlisted = await createDpopClient({ algorithm, now: world.now })
    const bound = await world.token({ cnf: { jkt: unlisted.jkt } })
    const proof = await unlisted.proof(bound)
    await refused(t, proof, 'proof_invalid', 'alg is not taken here', { token: bound })
  }
})

for (const algorithm of ['ES256', 'EdDSA', 'Ed25519', 'PS256']) {
  test(`G124: a proof under ${algorithm}, which the policy lists, is allowed (RFC 9449 §4.3)`, async (t) => {
    const other = await createDpopClient({ algorithm, now: world.now })
    const bound = await world.token({ cnf: { jkt: other.jkt } })
    await allowed(t, await other.proof(bound), { token: bound })
    const [header, payload, signature = ''] = (await other.proof(bound)).split('.')
    const broken = `${header}.${payload}.${(signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)}`
    await refused(t, broken, 'proof_invalid', 'signature', { token: bound })
  })
}

test('G125, RFC 9449 §4.3 item 7: jwk is a public key and nothing more', async (t) => {
  const jwk = client.publicJwk
  const x = jwk.x ?? ''
  const secret = { kty: 'oct', k: encode('secret') }
  const keys: unknown[] = [
    ...[undefined, null, '', JSON.stringify(jwk), [jwk], {}, { kty: 'EC' }, secret],
    ...[
      { ...jwk, d: x },
      { ...jwk, k: x },
      { ...jwk, d: null },
      { ...jwk, p: x },
      { ...jwk, oth: [] },
    ],
    ...[
      { ...jwk, kty: 'oct' },
      { ...jwk, kty: 'ec' },
      { ...jwk, crv: 'secp256k1' },
      { ...jwk, x: 1 },
    ],
    ...[
      { ...jwk, x: `${x}=` },
      { ...jwk, x: x.slice(1) },
      { ...jwk, x: `${x}AA` },
      { ...jwk, y: '' },
    ],
    ...[
      { ...jwk, y: undefined },
      { ...jwk, crv: undefined },
      { ...jwk, kty: '__proto__' },
    ],
  ]
  for (const other of keys)
    await refused(
      t,
      craft({ ...soundHeader, jwk: other }, claims()),
      'proof_invalid',
      'jwk is not a public key',
    )
  const withSecret = { ...soundHeader, alg: 'HS256', jwk: secret }
  await refused(t, craft(withSecret, claims()), 'proof_invalid')
})

test('G125: a point off the curve and an RSA key of 1024 bits verify nothing, though the token names them', async (t) => {
  const off = { ...client.publicJwk, y: client.publicJwk.x ?? '' }
  const offToken = await world.token({ cnf: { jkt: await calculateJwkThumbprint(off) } })
  const ath = (text: string) => ({ ath: createHash('sha256').update(text).digest('base64url') })
  const offProof = craft({ ...soundHeader, jwk: off }, claims(ath(offToken)))
  await refused(t, offProof, 'proof_invalid', 'signature', { token: offToken })
  for (const [modulusLength, reason] of [
    [1024, 'proof_invalid'],
    [2048, ''],
  ] as const) {
    const { publicKey, privateKey: key } = generateKeyPairSync('rsa', { modulusLength })
    const jwk = publicKey.export({ format: 'jwk' })
    const bound = await world.token({ cnf: { jkt: await calculateJwkThumbprint(jwk) } })
    const input = `${encode({ ...soundHeader, alg: 'PS256', jwk })}.${encode(claims(ath(bound)))}`
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    const proof = `${input}.${sign('sha256', Buffer.from(input), { key, ...padding }).toString('base64url')}`
    t.is((await world.ask(question(proof, { token: bound }))).reason, reason, `${modulusLength}`)
  }
})

test('G126, RFC 9449 §4.3 item 6: a proof that names the client’s key and is signed by another is refused', async (t) => {
  const proof = await stranger.proof(token, {}, { jwk: client.publicJwk })
  await refused(t, proof, 'proof_invalid', 'signature')
  const [header, payload] = (await client.proof(token)).split('.')
  const der = sign('sha256', Buffer.from(`${header}.${payload}`), KeyObject.from(client.privateKey))
  for (const signature of [der, Buffer.alloc(64), Buffer.alloc(64, 255), Buffer.alloc(0)])
    await refused(
      t,
      `${header}.${payload}.${signature.toString('base64url')}`,
      'proof_invalid',
      'signature',
    )
})

test('G127, RFC 9449 §4.3 item 12: a sound proof by another key than cnf.jkt is invalid_token (§7.1)', async (t) => {
  await refused(t, await stranger.proof(token), 'binding_mismatch', 'proof by another key')
})

test('G147: further header members and claims are ignored (RFC 9449 §4.2, RFC 7515 §4)', async (t) => {
  const extras = {
    kid: 'k',
    jku: 'https://evil.example/jwks',
    x5c: ['AAAA'],
    x5u: 'x',
    cty: 'y',
    x: {},
  }
  const foreign = { iss: 'x', aud: ['y'], sub: 1, cnf: { jkt: stranger.jkt }, ['__proto__']: 1 }
  await allowed(t, await client.proof(token, foreign, extras))
  await allowed(t, await client.proof(token, { nonce: 'unasked' }))
  const jwk = { ...client.publicJwk, kid: 'k', use: 'sig', alg: 'ES256', x5c: ['AAAA'] }
  await allowed(t, await client.proof(token, {}, { jwk }))
  await refused(
    t,
    await stranger.proof(token, foreign, { ...extras, jwk: client.publicJwk }),
    'proof_invalid',
    'signature',
  )
})

test('G147: crit, b64 and zip are refused, whatever they say (RFC 7515 §4.1.11, RFC 7797 §6)', async (t) => {
  const members = { crit: [['b64'], [], null, ['x']], b64: [true, false], zip: ['DEF', null] }
  for (const [name, values] of Object.entries(members))
    for (const value of values)
      await refused(
        t,
        craft({ ...soundHeader, [name]: value }, claims()),
        'proof_invalid',
        `header member ${name}`,
      )
})

test('G147, RFC 9449 §4.3 item 10: where a nonce is required, a proof without it is refused', async (t) => {
  const verdict = await withNonce.ask(question(await client.proof(token)))
  t.is(verdict.reason, 'proof_nonce_required')
  t.regex(verdict.challenge, /error="use_dpop_nonce"/)
})

test('RFC 9449 §4.3 item 9: htu is the target of the request', async (t) => {
  const htu = 'https://payments.example/v1/payments/1'
  await refused(t, await client.proof(token, { htu }), 'proof_invalid', 'htu is of another path')
})
