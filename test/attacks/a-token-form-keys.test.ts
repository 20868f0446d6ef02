/** Attack group A, 5-8, 13 and 14: keys that must not verify a token, or not this one. */

import { checkPrimeSync, createHash, generateKeyPairSync, sign } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { importJWK, type JWK } from 'jose'
import type { Algorithm } from '../../src/token/algorithms.ts'
import { importKeySet, selectKey } from '../../src/token/key-set.ts'
import { hasRocaFingerprint } from '../../src/token/roca.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { createWorld, type World } from '../support/world.ts'

const issuer = await createTestIssuer()
const other = await createTestIssuer(undefined, { keyId: 'key-2' })
const rsaIssuer = await createTestIssuer(undefined, { algorithm: 'RS256' })

async function refused(t: ExecutionContext, world: World, token: string, reason: string) {
  const verdict = await world.ask({ token })
  t.false(verdict.allowed)
  t.is(verdict.reason, reason)
  const told = JSON.stringify(verdict.response) + verdict.line
  const secrets = [token, ...token.split('.')].filter((text) => text.length > 12)
  t.false(
    secrets.some((text) => told.includes(text)),
    'the answer and the log never echo the token',
  )
}

function worldOf(...keys: readonly object[]): Promise<World> {
  return createWorld({ issuer, jwks: { keys } })
}

function imported(jwks: readonly object[], algorithms: readonly Algorithm[]) {
  return importKeySet(Buffer.from(JSON.stringify({ keys: jwks })), algorithms)
}

const { alg: _alg, use: _use, ...bareKey } = issuer.publicJwk
const p384Key: JWK = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({
  format: 'jwk',
})

test('control: the issuer’s own key beside another verifies its tokens (RFC 7517 §5)', async (t) => {
  for (const key of [issuer.publicJwk, bareKey, { ...bareKey, key_ops: ['verify'] }]) {
    const world = await worldOf(other.publicJwk, key)
    t.true((await world.ask({ token: await world.token() })).allowed)
  }
})

test('A5: an RS256 token does not fit the EC key of its kid (RFC 8725 §3.1)', async (t) => {
  const world = await worldOf(issuer.publicJwk, { ...rsaIssuer.publicJwk, kid: 'key-2' })
  const claims = { cnf: { 'x5t#S256': world.orders.x5tS256 } }
  const fitting = await rsaIssuer.sign(claims, { kid: 'key-2' })
  t.true((await world.ask({ token: fitting })).allowed, 'control')
  await refused(t, world, await rsaIssuer.sign(claims), 'token_key_unknown')
  await refused(t, world, await world.token({}, { kid: 'key-2' }), 'token_key_unknown')
})

for (const [title, key] of Object.entries({
  'says alg ES384': { ...bareKey, alg: 'ES384' },
  'says alg RS256': { ...bareKey, alg: 'RS256' },
  'says alg ECDH-ES': { ...bareKey, alg: 'ECDH-ES' },
  'has an alg that is no text': { ...bareKey, alg: ['ES256'] },
  'says crv P-384': { ...bareKey, crv: 'P-384' },
  'is on P-384': { ...p384Key, kid: 'key-1' },
  'is on P-384 and says alg ES256': { ...p384Key, kid: 'key-1', alg: 'ES256' },
  'says kty RSA': { ...bareKey, kty: 'RSA' },
  'has no kty': { ...bareKey, kty: undefined },
})) {
  test(`A6: a key that ${title} verifies no ES256 token (RFC 7517 §4.4)`, async (t) => {
    const world = await worldOf(other.publicJwk, key)
    await refused(t, world, await world.token(), 'token_key_unknown')
  })
}

for (const [title, key] of Object.entries({
  'use enc': { ...bareKey, use: 'enc' },
  'an unknown use': { ...bareKey, use: 'SIG' },
  'a use that is no text': { ...bareKey, use: ['sig'] },
  'key_ops sign': { ...bareKey, key_ops: ['sign'] },
  'key_ops deriveKey': { ...bareKey, key_ops: ['deriveKey'] },
  'no key_ops at all': { ...bareKey, key_ops: [] },
  'key_ops that is a text': { ...bareKey, key_ops: 'verify' },
  'use sig and key_ops sign': { ...bareKey, use: 'sig', key_ops: ['sign'] },
  'a kid that is a number': { ...bareKey, kid: 1 },
  'a point off its curve': { ...bareKey, x: bareKey.y, y: bareKey.x },
  'its private part': { ...bareKey, d: bareKey.x },
})) {
  test(`A7: a key with ${title} verifies nothing (RFC 7517 §4.2, §4.3)`, async (t) => {
    const world = await worldOf(other.publicJwk, key)
    await refused(t, world, await world.token(), 'token_key_unknown')
    t.is(await imported([key], ['ES256']), undefined)
  })
}

test('A7: a source that has no usable key fails closed as 503 (RFC 7517 §5)', async (t) => {
  const world = await worldOf({ ...bareKey, use: 'enc' })
  const token = await world.token()
  await refused(t, world, token, 'keys_unavailable')
  t.is((await world.ask({ token })).http, 503)
})

test('A8: an RSA key of 1024 bits is no key (RFC 7518 §3.3)', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const small = { ...publicKey.export({ format: 'jwk' }), kid: 'small' }
  await t.notThrowsAsync(importJWK(small, 'RS256'), 'the runtime itself would take it')
  t.is(await imported([small], ['RS256', 'PS256']), undefined)
  const world = await worldOf(issuer.publicJwk, small)
  const input = (await world.token({}, { kid: 'small', alg: 'ES256' })).split('.')
  input[0] = Buffer.from('{"alg":"RS256","kid":"small"}').toString('base64url')
  const signed = input.slice(0, 2).join('.')
  const signature = sign('sha256', Buffer.from(signed), privateKey).toString('base64url')
  await refused(t, world, `${signed}.${signature}`, 'token_key_unknown')
})

test('A8: the limit is 2048 bits of value, not of text (RFC 7518 §3.3, §6.3.1.1)', async (t) => {
  const modulus = BigInt(
    `0x${Buffer.from(rsaIssuer.publicJwk.n ?? '', 'base64url').toString('hex')}`,
  )
  const text = (value: bigint, digits = 512) =>
    Buffer.from(value.toString(16).padStart(digits, '0'), 'hex').toString('base64url')
  const withModulus = (n: string) => imported([{ ...rsaIssuer.publicJwk, n }], ['RS256'])
  t.is((await withModulus(text(modulus)))?.length, 1, 'control')
  t.is(await withModulus(text((modulus >> 1n) | 1n)), undefined, '2047 bits')
  t.is(await withModulus(text(modulus ^ 1n)), undefined, 'even')
  t.is(await withModulus(text(modulus >> 1024n, 1024)), undefined, '1024 bits and zeros')
})

const exponent = (value: bigint) => {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url')
}

for (const e of [1n, 2n, 3n, 17n, 65535n, 65536n, 65538n]) {
  test(`A8: an RSA key with the exponent ${e} is no key (FIPS 186-5 §A.1.1)`, async (t) => {
    const jwk = { ...rsaIssuer.publicJwk, e: exponent(65537n) }
    t.is((await imported([jwk], ['RS256']))?.length, 1, 'control')
    t.is(await imported([{ ...jwk, e: exponent(e) }], ['RS256']), undefined)
  })
}

test('A8: with e = 1 anybody could sign, and still cannot (FIPS 186-5 §A.1.1)', async (t) => {
  const trivial = { ...rsaIssuer.publicJwk, kid: 'trivial', e: exponent(1n) }
  const world = await worldOf(issuer.publicJwk, trivial)
  const payload = (await world.token()).split('.')[1]
  const input = `${Buffer.from('{"alg":"RS256","kid":"trivial"}').toString('base64url')}.${payload}`
  const digestInfo = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = createHash('sha256').update(input).digest()
  const tail = Buffer.concat([Buffer.from([0]), digestInfo, digest])
  const padding = Buffer.alloc(256 - 2 - tail.length, 0xff)
  const signature = Buffer.concat([Buffer.from([0, 1]), padding, tail]) // EMSA-PKCS1-v1_5, s^1 = s
  await refused(t, world, `${input}.${signature.toString('base64url')}`, 'token_key_unknown')
})

for (const [title, members] of Object.entries({
  'an empty n': { n: '' },
  'no n': { n: undefined },
  'an n that is a number': { n: 3 },
  'an n in another alphabet': { n: `${rsaIssuer.publicJwk.n}==` },
  'an empty e': { e: '' },
  'no e': { e: undefined },
  'an e that is a number': { e: 65537 },
  'an e with padding': { e: 'AQAB=' },
})) {
  test(`A8: an RSA key with ${title} is no key (RFC 7518 §6.3.1)`, async (t) => {
    t.is(await imported([{ ...rsaIssuer.publicJwk, ...members }], ['RS256']), undefined)
  })
}

/** A prime as the generator of CVE-2017-15361 made it: k·M + (65537^a mod M), M the product of the first 126 primes. */
function rocaPrime(power: number): bigint {
  const small: bigint[] = []
  for (let n = 2n; small.length < 126; n++)
    if (small.every((prime) => n % prime !== 0n)) small.push(n)
  const product = small.reduce((all, prime) => all * prime, 1n)
  let residue = 1n
  for (let i = 0; i < power; i++) residue = (residue * 65537n) % product
  for (let k = (3n << 1022n) / product + 1n; ; k++) {
    const candidate = k * product + residue
    if (checkPrimeSync(candidate)) return candidate
  }
}

test('A8: a ROCA modulus is no key (CVE-2017-15361, Nemec et al. 2017 §3.1)', async (t) => {
  const modulus = rocaPrime(4711) * rocaPrime(815)
  t.is(modulus.toString(2).length, 2048)
  const n = Buffer.from(modulus.toString(16), 'hex').toString('base64url')
  const roca = { kty: 'RSA', kid: 'key-1', n, e: 'AQAB' }
  await t.notThrowsAsync(importJWK(roca, 'RS256'), 'the runtime itself would take it')
  t.true(hasRocaFingerprint(modulus))
  t.is(await imported([roca], ['RS256', 'PS256']), undefined)
  const sound = BigInt(`0x${Buffer.from(rsaIssuer.publicJwk.n ?? '', 'base64url').toString('hex')}`)
  t.false(hasRocaFingerprint(sound))
  t.is((await imported([rsaIssuer.publicJwk], ['RS256']))?.length, 1, 'control')
})

test('A13: without kid the one key for the alg is taken (RFC 7515 §4.1.4)', async (t) => {
  const single = await worldOf(issuer.publicJwk, rsaIssuer.publicJwk)
  const verdict = await single.ask({ token: await single.token({}, { kid: undefined }) })
  t.true(verdict.allowed, verdict.reason)
})

test('A13: without kid two keys for the alg are ambiguous (RFC 7517 §4.5)', async (t) => {
  const double = await worldOf(issuer.publicJwk, other.publicJwk)
  t.true((await double.ask({ token: await double.token() })).allowed, 'control')
  await refused(t, double, await double.token({}, { kid: undefined }), 'token_key_unknown')
})

test('A14: a kid that two keys share names neither, in any order (RFC 7517 §4.5)', async (t) => {
  const twin = { ...other.publicJwk, kid: issuer.keyId }
  for (const keys of [
    [issuer.publicJwk, twin],
    [twin, issuer.publicJwk],
  ]) {
    const world = await worldOf(...keys)
    const claims = { cnf: { 'x5t#S256': world.orders.x5tS256 } }
    await refused(t, world, await world.token(), 'token_key_unknown')
    await refused(t, world, await other.sign(claims, { kid: 'key-1' }), 'token_key_unknown')
  }
})

test('A14: a kid shared by keys of two types stays clear by its alg (RFC 7517 §4.5)', async (t) => {
  const keys = (await imported([issuer.publicJwk, rsaIssuer.publicJwk], ['ES256', 'RS256'])) ?? []
  t.is(keys.length, 2)
  t.is(selectKey(keys, 'key-1', 'ES256'), keys[0])
  t.is(selectKey(keys, 'key-1', 'RS256'), keys[1])
  t.is(selectKey(keys, 'key-1', 'PS256'), undefined)
})
