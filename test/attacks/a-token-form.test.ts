/** Attack group A, 1-4 and 9-18: what the JOSE header claims, and which key it tries to bring along. */

import { createHmac, KeyObject, webcrypto } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { createTestIssuer, serveJson } from '../support/issuer.ts'
import { basePolicy, createWorld, type Verdict, type World } from '../support/world.ts'

const world = await createWorld()

async function refused(
  t: ExecutionContext,
  token: string,
  reason: string,
  where: World = world,
): Promise<Verdict> {
  const verdict = await where.ask({ token })
  t.false(verdict.allowed)
  t.is(verdict.reason, reason, verdict.detail)
  const told = JSON.stringify(verdict.response) + verdict.line
  const secrets = [token, ...token.split('.')].filter((text) => text.length > 12)
  t.deepEqual(
    secrets.filter((text) => told.includes(text)),
    [],
    'the answer and the log never echo the token',
  )
  return verdict
}

const encode = (text: string) => Buffer.from(text).toString('base64url')

const soundHeader = { alg: 'ES256', kid: 'key-1', typ: 'at+jwt' }

const soundClaims = (at: World = world) => ({
  iss: 'https://idp.example',
  aud: 'https://payments.mesh.example',
  sub: 'client',
  iat: at.now(),
  exp: at.now() + 300,
  cnf: { 'x5t#S256': at.orders.x5tS256 },
})

/** Signed by the issuer's own key, whatever the header is. */
async function craft(header: object): Promise<string> {
  const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(soundClaims()))}`
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const key = world.issuer.privateKey as webcrypto.CryptoKey
  const signature = await webcrypto.subtle.sign(algorithm, key, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

function unsigned(header: object, signature = ''): string {
  return `${encode(JSON.stringify(header))}.${encode(JSON.stringify(soundClaims()))}.${signature}`
}

function hmacSigned(header: object, secret: string | Buffer, at: World = world): string {
  const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(soundClaims(at)))}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

test('control: the token that the attacks below alter is allowed (RFC 7515 §5.2)', async (t) => {
  t.true((await world.ask({ token: await craft(soundHeader) })).allowed)
})

test('A1: alg none with an empty signature is refused (RFC 8725 §3.2)', async (t) => {
  await refused(t, unsigned({ ...soundHeader, alg: 'none' }), 'token_algorithm_refused')
  await refused(t, unsigned({ alg: 'none' }), 'token_algorithm_refused')
  await refused(t, unsigned({ ...soundHeader, alg: 'none' }, 'AAAA'), 'token_algorithm_refused')
  await refused(t, unsigned({ alg: 'none' }).slice(0, -1), 'token_malformed')
})

test('A1: a listed alg with an empty signature is refused (RFC 7515 §5.2)', async (t) => {
  await refused(t, unsigned(soundHeader), 'token_signature_invalid')
})

for (const alg of ['nOnE', 'None', 'NONE', 'none\u0000', 'none ', '', 'es256', 'ES256 ']) {
  const title = JSON.stringify(alg)
  test(`A2: alg ${title} is refused, alg is case-sensitive (RFC 7515 §4.1.1)`, async (t) => {
    await refused(t, unsigned({ ...soundHeader, alg }), 'token_algorithm_refused')
    await refused(t, await craft({ ...soundHeader, alg }), 'token_algorithm_refused')
  })
}

for (const [title, alg] of Object.entries({ array: ['ES256'], number: 256, null: null })) {
  test(`A2: an alg that is ${title} is refused (RFC 7515 §4.1.1)`, async (t) => {
    await refused(t, await craft({ ...soundHeader, alg }), 'token_malformed')
  })
}

test('A3: HS256 keyed with the public RSA key is refused (RFC 8725 §3.1)', async (t) => {
  const issuer = await createTestIssuer(undefined, { algorithm: 'RS256' })
  const rsa = await createWorld({ issuer })
  const key = await webcrypto.subtle.importKey(
    'jwk',
    issuer.publicJwk as webcrypto.JsonWebKey,
    { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
    true,
    ['verify'],
  )
  const pem = KeyObject.from(key).export({ type: 'spki', format: 'pem' }).toString()
  const der = KeyObject.from(key).export({ type: 'spki', format: 'der' })
  const jwk = JSON.stringify(issuer.publicJwk)
  t.true((await rsa.ask({ token: await rsa.token() })).allowed, 'control')
  for (const secret of [pem, `\n${pem}`, pem.trimEnd(), jwk, der]) {
    const header = { alg: 'HS256', kid: 'key-1', typ: 'at+jwt' }
    await refused(t, hmacSigned(header, secret, rsa), 'token_algorithm_refused', rsa)
    const posing = hmacSigned({ ...header, alg: 'RS256' }, secret, rsa)
    await refused(t, posing, 'token_signature_invalid', rsa)
  }
})

const weakSecrets =
  `secret password 123456 changeme admin root test key jwt token default qwerty letmein
  welcome monkey dragon master hello 12345678 1234567890 password1 abc123 iloveyou sunshine princess
  football shadow superman trustno1 secret123 mysecret my-secret my_secret supersecret super-secret
  topsecret s3cr3t p@ssw0rd passw0rd Password1 P@ssw0rd hunter2 shhhhh shhhhhhared-secret jwtsecret
  jwt-secret jwt_secret your-256-bit-secret your-384-bit-secret your-512-bit-secret your_jwt_secret
  secretkey secret_key secret-key SECRET_KEY AppSecret dev development prod production staging local
  example sample demo foo bar baz foobar null undefined none true false 0 1 00000000 11111111 aaaa
  gfhjkm keyboard cat keyboardcat node express flask django rails spring laravel symfony envoy istio
  kubernetes docker vault auth oauth oidc keycloak hydra bearer access session cookie signature hmac
  HS256 sha256`.split(/\s+/)

test('A4: HS256 with a hundred weak secrets is refused (RFC 8725 §3.5)', async (t) => {
  t.true(weakSecrets.length >= 100)
  for (const secret of ['', ...weakSecrets]) {
    await refused(
      t,
      hmacSigned({ ...soundHeader, alg: 'HS256' }, secret),
      'token_algorithm_refused',
    )
  }
})

test('A9: a key in the header is never used (RFC 7515 §4.1.3)', async (t) => {
  const attacker = await createTestIssuer()
  const claims = soundClaims()
  const jwk = attacker.publicJwk
  const trusting = await createWorld({ jwks: attacker.jwks, issuer: attacker })
  t.true((await trusting.ask({ token: await trusting.token({}, { jwk }) })).allowed, 'control')
  await refused(t, await attacker.sign(claims, { jwk }), 'token_signature_invalid')
  await refused(t, await attacker.sign(claims, { jwk, kid: undefined }), 'token_signature_invalid')
  await refused(t, await attacker.sign(claims, { jwk, kid: 'theirs' }), 'token_key_unknown')
})

for (const name of ['jku', 'x5u']) {
  test(`A10, A11: ${name} is never fetched (RFC 7515 §4.1.2, §4.1.5, RFC 8725 §3.10)`, async (t) => {
    const attacker = await createTestIssuer()
    const server = await serveJson(() => attacker.jwks)
    t.teardown(() => server.close())
    const header = { [name]: `${server.url}/keys` }
    await refused(t, await attacker.sign(soundClaims(), header), 'token_signature_invalid')
    const stranger = await attacker.sign(soundClaims(), { ...header, kid: 'theirs' })
    await refused(t, stranger, 'token_key_unknown')
    t.true((await world.ask({ token: await world.token({}, header) })).allowed, 'ignored, as well')
    t.deepEqual(server.paths, [])
    t.is((await fetch(`${server.url}/control`)).status, 200)
    t.deepEqual(server.paths, ['/control'], 'a request would have been counted')
  })
}

test('A11: a certificate in x5c is never a key (RFC 7515 §4.1.6)', async (t) => {
  const attacker = await createTestIssuer()
  const x5c = [world.thief.der.toString('base64')]
  await refused(t, await attacker.sign(soundClaims(), { x5c }), 'token_signature_invalid')
  const stranger = await attacker.sign(soundClaims(), { x5c, kid: 'theirs' })
  await refused(t, stranger, 'token_key_unknown')
})

for (const kid of [
  '../../../dev/null',
  "' OR 1=1",
  '__proto__',
  'constructor',
  'toString',
  'key-1\u0000',
  'KEY-1',
  '',
]) {
  const title = JSON.stringify(kid)
  test(`A12: kid ${title} names no key (RFC 7515 §4.1.4, RFC 8725 §3.10)`, async (t) => {
    const verdict = await refused(t, await craft({ ...soundHeader, kid }), 'token_key_unknown')
    if (kid.length > 7) t.false((JSON.stringify(verdict.response) + verdict.line).includes(kid))
  })
}

for (const [title, kid] of Object.entries({
  'of 10 kB': 'k'.repeat(10_000),
  'a number': 1,
  'an object': { kid: 'key-1' },
  'an array': ['key-1'],
  null: null,
})) {
  test(`A12: a kid that is ${title} is refused (RFC 7515 §4.1.4)`, async (t) => {
    await refused(t, await craft({ ...soundHeader, kid }), 'token_malformed')
  })
}

for (const crit of [['x-unknown'], [], 'exp', ['alg'], ['exp'], ['b64'], null, {}]) {
  const title = JSON.stringify(crit)
  test(`A15: crit ${title} is refused (RFC 7515 §4.1.11)`, async (t) => {
    await refused(t, await craft({ ...soundHeader, exp: 1, crit }), 'token_malformed')
  })
}

test('A16: b64 is refused with and without crit (RFC 7797 §6)', async (t) => {
  await refused(t, await craft({ ...soundHeader, b64: false, crit: ['b64'] }), 'token_malformed')
  await refused(t, await craft({ ...soundHeader, b64: false }), 'token_malformed')
  await refused(t, await craft({ ...soundHeader, b64: true }), 'token_malformed')
})

test('A17: zip is no member of a JWS (RFC 7516 §4.1.3)', async (t) => {
  await refused(t, await craft({ ...soundHeader, zip: 'DEF' }), 'token_malformed')
})

const crossTypes = ['dpop+jwt', 'wit+jwt', 'wpt+jwt', 'logout+jwt', 'secevent+jwt', 'JOSE', '']

for (const typ of [...crossTypes, 'application/application/at+jwt', 'at+jwt ', 'at+jwt;v=1']) {
  test(`A17: typ "${typ}" is another kind of token (RFC 8725 §3.11)`, async (t) => {
    await refused(t, await craft({ ...soundHeader, typ }), 'token_type_refused')
  })
}

for (const typ of ['absent', 'ABSENT', 'application/absent']) {
  test(`A17: typ "${typ}" is a type, not the lack of one (RFC 8725 §3.11)`, async (t) => {
    await refused(t, await craft({ ...soundHeader, typ }), 'token_type_refused')
  })
}

for (const typ of ['at+jwt', 'application/at+jwt', 'AT+JWT', 'JWT', undefined]) {
  test(`A17: typ ${typ} is allowed by default (RFC 7515 §4.1.9, RFC 9068 §2.1)`, async (t) => {
    const verdict = await world.ask({ token: await craft({ ...soundHeader, typ }) })
    t.true(verdict.allowed, verdict.reason)
  })
}

test('A17: where only at+jwt is taken, JWT and no typ are refused (RFC 9068 §4)', async (t) => {
  const policy = basePolicy.replace('maxLifetime: 15m', 'maxLifetime: 15m\n      types: [at+jwt]')
  const strict = await createWorld({ policy, issuer: world.issuer })
  t.true((await strict.ask({ token: await strict.token() })).allowed, 'control')
  for (const typ of ['JWT', undefined, 'jwt', 'absent']) {
    await refused(t, await strict.token({}, { typ }), 'token_type_refused', strict)
  }
})

test('A17: an ID token, meant for its client, is refused here (RFC 9068 §4)', async (t) => {
  const token = await world.token({ aud: 'client-1', nonce: 'n-1' }, { typ: 'JWT' })
  await refused(t, token, 'audience_mismatch')
})

test('A18: a JWE is refused, whatever work its header asks for (RFC 7516 §9)', async (t) => {
  const p2s = encode('0123456789abcdef')
  const header = { alg: 'PBES2-HS256+A128KW', enc: 'A128CBC-HS256', p2c: 2 ** 31 - 1, p2s }
  const [protectedHeader] = unsigned(header).split('.')
  const jwe = [protectedHeader, 'a2V5a2V5a2V5', 'aXZpdml2aXZpdml2', 'dGV4dHRleHQ', 'dGFndGFn']
  await refused(t, jwe.join('.'), 'token_malformed')
  await refused(t, unsigned(header, 'c2lnbmF0dXJl'), 'token_algorithm_refused')
})
