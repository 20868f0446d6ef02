/** Attack group A, 19-23 and 26: one token has one text, and junk is refused whatever its size. */

import { KeyObject, sign, webcrypto } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { createWorld } from '../support/world.ts'

const world = await createWorld()

async function refused(t: ExecutionContext, token: string, reason: string, note = '') {
  const verdict = await world.ask({ token })
  t.false(verdict.allowed, note)
  t.is(verdict.reason, reason, note)
  const told = JSON.stringify(verdict.response) + verdict.line
  const secrets = [token, ...token.split('.')].filter((text) => text.length > 12)
  t.false(
    secrets.some((text) => told.includes(text)),
    'the answer and the log never echo the token',
  )
}

type Text = string | Uint8Array

const encode = (text: Text) => Buffer.from(text as Uint8Array).toString('base64url')

const header = { alg: 'ES256', kid: 'key-1', typ: 'at+jwt' }
const claims = () => ({
  iss: 'https://idp.example',
  aud: 'https://payments.mesh.example',
  sub: 'client',
  iat: world.now(),
  exp: world.now() + 300,
  jti: 'one',
  cnf: { 'x5t#S256': world.orders.x5tS256 },
})

/** Signed by the issuer's own key, whatever the two parts are. */
async function craft(protectedHeader: Text, payload: Text): Promise<string> {
  const input = `${encode(protectedHeader)}.${encode(payload)}`
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
  const key = world.issuer.privateKey as webcrypto.CryptoKey
  const signature = await webcrypto.subtle.sign(algorithm, key, Buffer.from(input))
  return `${input}.${Buffer.from(signature).toString('base64url')}`
}

/** Three segments, each with a `_` in it and with a length that leaves trailing bits. */
async function segments(): Promise<[string, string, string]> {
  const unfinished = (object: object) => {
    let text = JSON.stringify({ ...object, pad: '??????' })
    while (Buffer.byteLength(text) % 3 === 0) text = text.replace('??"', '???"')
    return text
  }
  for (;;) {
    const token = await craft(unfinished(header), unfinished(claims()))
    const parts = token.split('.') as [string, string, string]
    if (parts[2].includes('_')) return parts
  }
}

test('control: the token that the attacks below alter is allowed (RFC 7515 §5.2)', async (t) => {
  const token = await craft(JSON.stringify(header), JSON.stringify(claims()))
  t.true((await world.ask({ token })).allowed)
  t.true((await world.ask({ token: (await segments()).join('.') })).allowed)
})

test('A19: a JWS in JSON serialisation is no bearer token (RFC 6750 §2.1)', async (t) => {
  const [protectedHeader, payload, signature] = await segments()
  const flattened = JSON.stringify({ protected: protectedHeader, payload, signature })
  const general = JSON.stringify({
    payload,
    signatures: [{ protected: protectedHeader, signature }],
  })
  await refused(t, flattened, 'credential_ambiguous') // for its commas
  await refused(t, general, 'credential_ambiguous')
  await refused(t, JSON.stringify({ payload }), 'credential_malformed')
  await refused(t, encode(flattened), 'token_malformed')
  await refused(t, encode(general), 'token_malformed')
})

test('A20: only three parts are a compact JWS (RFC 7515 §7.1)', async (t) => {
  const [a, b, c] = await segments()
  for (const parts of [[a], [a, b], [a, b, c, c], [a, b, c, ''], ['', a, b, c], [a, b, c, a, b, c]])
    await refused(t, parts.join('.'), 'token_malformed', `${parts.length} parts`)
  for (const parts of [
    ['', b, c],
    [a, '', c],
    ['', '', c],
    ['', '', ''],
  ])
    await refused(t, parts.join('.'), 'token_malformed', 'an empty part')
  await refused(t, `${a}.${b}.`, 'token_signature_invalid')
  await refused(t, '.'.repeat(1024 * 1024), 'token_malformed')
})

const lax = (text: string) => Buffer.from(text, 'base64url')

/** Texts that a lax decoder reads as the same bytes. */
const spellings: Record<string, (segment: string) => string> = {
  'padding =': (segment) => segment.padEnd(Math.ceil(segment.length / 4) * 4, '='),
  'the other alphabet': (segment) => segment.replaceAll('_', '/').replaceAll('-', '+'),
  'white space': (segment) => `${segment.slice(0, 4)} ${segment.slice(4)}`,
  'a tab': (segment) => `${segment.slice(0, 4)}\t${segment.slice(4)}`,
  'a newline': (segment) => `${segment}\n`,
  'junk !!!!': (segment) => `${segment}!!!!`,
  'trailing bits': (segment) => segment.slice(0, -1) + successor(segment.slice(-1)),
  'a length of 1 modulo 4': (segment) => segment + 'A'.repeat((5 - (segment.length % 4)) % 4),
}

/** The next character of the alphabet: the same upper bits and other trailing ones. */
function successor(char: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(char) + 1] ?? ''
}

for (const [name, respell] of Object.entries(spellings)) {
  for (const index of [0, 1, 2]) {
    test(`A21: ${name} in part ${index + 1} is refused (RFC 7515 §2, RFC 4648 §3)`, async (t) => {
      const parts = await segments()
      const other = respell(parts[index] ?? '')
      t.not(other, parts[index])
      if (!name.startsWith('a length')) t.deepEqual(lax(other), lax(parts[index] ?? ''))
      const token = parts.with(index, other).join('.')
      const isToken68 = /^[A-Za-z0-9._~+/-]+=*$/.test(token)
      await refused(t, token, isToken68 ? 'token_malformed' : 'credential_malformed')
    })
  }
}

const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const scalar = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')

test('A22: a signature out of range or of another form is refused (RFC 7518 §3.4)', async (t) => {
  const [a, b, c] = await segments()
  const signature = lax(c)
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
  const key = KeyObject.from(world.issuer.privateKey as webcrypto.CryptoKey)
  const der = sign('sha256', Buffer.from(`${a}.${b}`), { key, dsaEncoding: 'der' })
  const top = 2n ** 256n - 1n
  const broken = {
    empty: Buffer.alloc(0),
    'all zero': Buffer.alloc(64),
    'r = 0': Buffer.concat([scalar(0n), s]),
    's = 0': Buffer.concat([r, scalar(0n)]),
    'r = n': Buffer.concat([scalar(order), s]),
    's = n': Buffer.concat([r, scalar(order)]),
    'r = 2^256 - 1': Buffer.concat([scalar(top), s]),
    's = 2^256 - 1': Buffer.concat([r, scalar(top)]),
    'r and s swapped': Buffer.concat([s, r]),
    DER: der,
    '63 bytes': signature.subarray(0, 63),
    '65 bytes': Buffer.concat([signature, Buffer.alloc(1)]),
    'a zero in front': Buffer.concat([Buffer.alloc(1), signature]),
    '128 bytes': Buffer.concat([signature, signature]),
  }
  for (const [name, bytes] of Object.entries(broken)) {
    await refused(t, `${a}.${b}.${encode(bytes)}`, 'token_signature_invalid', name)
  }
  t.true((await world.ask({ token: [a, b, c].join('.') })).allowed, 'control')
})

test('A22: the twin (r, n - s) is the same token to log and revocation (RFC 7519 §4.1.7)', async (t) => {
  const parts = await segments()
  const signature = lax(parts[2])
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const twinSignature = Buffer.concat([signature.subarray(0, 32), scalar(order - s)])
  const [original, twin] = await Promise.all([
    world.ask({ token: parts.join('.') }),
    world.ask({ token: parts.with(2, encode(twinSignature)).join('.') }),
  ])
  t.true(original.allowed)
  t.true(twin.allowed)
  const { jti_hash: id } = JSON.parse(original.line).token
  t.is(typeof id, 'string')
  t.is(JSON.parse(twin.line).token.jti_hash, id)
})

test('A22: no single changed character of a token is allowed (RFC 7515 §5.2)', async (t) => {
  const token = (await segments()).join('.')
  const allowed: number[] = []
  for (const index of token.split('').keys()) {
    const other = token[index] === 'A' ? 'B' : 'A'
    const changed = token.slice(0, index) + other + token.slice(index + 1)
    if ((await world.ask({ token: changed })).allowed) allowed.push(index)
  }
  t.deepEqual(allowed, [])
  t.true((await world.ask({ token })).allowed, 'control')
})

const wrongBytes: Record<string, (text: string) => Uint8Array> = {
  'a byte order mark': (text) => Buffer.from(`\ufeff${text}`),
  'UTF-16': (text) => Buffer.from(text, 'utf16le'),
  'UTF-16 with its mark': (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'the byte 0xff': (text) => insert(text, 0xff),
  'an overlong NUL': (text) => insert(text, 0xc0, 0x80),
  'an encoded surrogate': (text) => insert(text, 0xed, 0xa0, 0x80),
  'a code point over U+10FFFF': (text) => insert(text, 0xf4, 0x90, 0x80, 0x80),
  'a raw NUL in a string': (text) => insert(text, 0),
  'a NUL after the end': (text) => Buffer.from(`${text}\0`),
  'a raw newline in a string': (text) => insert(text, 0x0a),
  'an escaped lone surrogate': (text) => insert(text, ...Buffer.from('\\ud800')),
}

/** Into the string that each text has as `note`. */
function insert(text: string, ...bytes: number[]): Uint8Array {
  const at = text.indexOf('"note":"') + '"note":"'.length
  return Buffer.concat([
    Buffer.from(text.slice(0, at)),
    Buffer.from(bytes),
    Buffer.from(text.slice(at)),
  ])
}

for (const [name, spoil] of Object.entries(wrongBytes)) {
  test(`A23: ${name} is refused in header and payload (RFC 8725 §3.7, RFC 8259 §8)`, async (t) => {
    const good = [
      { ...header, note: 'n' },
      { ...claims(), note: 'n' },
    ].map((o) => JSON.stringify(o))
    const [goodHeader = '', goodPayload = ''] = good
    t.true((await world.ask({ token: await craft(goodHeader, goodPayload) })).allowed, 'control')
    await refused(t, await craft(spoil(goodHeader), goodPayload), 'token_malformed')
    await refused(t, await craft(goodHeader, spoil(goodPayload)), 'token_malformed')
  })
}

/** A whole token of `length` characters; a header of 30 bytes leaves room for the lengths used below. */
function tokenOfLength(length: number): Promise<string> {
  const short = JSON.stringify({ ...claims(), pad: '' })
  const bytes = Math.floor(((length - 40 - 86 - 2) * 3) / 4)
  const payload = JSON.stringify({ ...claims(), pad: 'x'.repeat(bytes - short.length) })
  return craft('{"alg":"ES256","typ":"at+jwt"}', payload)
}

for (const [length, limit] of [
  [8 * 1024, 'allowed'],
  [16 * 1024, 'allowed'],
  [16 * 1024 + 2, 'refused'],
  [64 * 1024, 'refused'],
  [1024 * 1024, 'refused'],
] as const) {
  test(`A26: a sound token of ${length} characters is ${limit} (RFC 9110 §5.4)`, async (t) => {
    const token = await tokenOfLength(length)
    t.is(token.length, length)
    if (limit === 'allowed') t.true((await world.ask({ token })).allowed)
    else await refused(t, token, 'token_malformed')
  })
}
