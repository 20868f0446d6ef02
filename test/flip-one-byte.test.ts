/**
 * THE PROPERTY: take a question that is allowed, change any one byte of the token, the certificate, the thumbprint or
 * the principal, and it is not allowed. The few bytes that may change are those of a text that still says the same:
 * each of those is shown to be so by another reader than the one under test.
 */

import { webcrypto } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { encodeCheckRequest } from './support/check-request.ts'
import type { Claims } from './support/issuer.ts'
import { createWorld, ordersId } from './support/world.ts'

const world = await createWorld()
/** One frozen second for every token and every question here. */
const now = world.now()
const { orders } = world
const jwk = await webcrypto.subtle.exportKey('jwk', orders.keys.publicKey)
const key = { kty: 'EC', crv: 'P-256', x: jwk.x ?? '', y: jwk.y ?? '' }

const kinds = {
  'x5t#S256': { path: '/v1/payments', claims: { cnf: { 'x5t#S256': orders.x5tS256 } } },
  jwk: { path: '/v1/payments', claims: { cnf: { jwk: key } } },
  spiffe: { path: '/identity', claims: { cnf: undefined, sub: ordersId } },
} as const
type Kind = keyof typeof kinds
const kindNames = Object.keys(kinds) as Kind[]

const sign = (claims: Claims) => world.token({ iat: now, ...claims })
const tokens = new Map<Kind, string>()
for (const kind of kindNames) tokens.set(kind, await sign(kinds[kind].claims))

interface Question {
  readonly token?: string
  readonly certificate?: string
  readonly principal?: string
}

function encode(kind: Kind, parts: Question = {}): Buffer {
  return encodeCheckRequest({
    path: kinds[kind].path,
    token: tokens.get(kind) ?? '',
    certificate: orders.envoyText,
    principal: ordersId,
    ...parts,
  })
}

async function isAllowed(question: Buffer): Promise<boolean> {
  return (await world.askBytes(question, now)).allowed
}

/** Changes the one place where `text` stands in the question, byte by byte; returns the texts that were allowed. */
async function walk(
  t: ExecutionContext,
  question: Buffer,
  text: string,
  flips: (byte: number) => Iterable<number>,
): Promise<string[]> {
  const start = question.indexOf(text)
  t.true(start > 0 && question.indexOf(text, start + 1) === -1, 'the text stands there once')
  t.true(await isAllowed(question), 'control: unchanged, it is allowed')
  const allowed: string[] = []
  for (let at = start; at < start + text.length; at++) {
    const byte = question[at] ?? 0
    for (const flipped of new Set(flips(byte))) {
      if (flipped === byte) continue
      question[at] = flipped
      if (await isAllowed(question)) {
        allowed.push(question.toString('latin1', start, start + text.length))
      }
    }
    question[at] = byte
  }
  t.true(await isAllowed(question), 'control: changed back, it is allowed')
  return allowed
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const bits = (byte: number) => [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => byte ^ (1 << bit))

/** The lowest bit of the base64url digit: for a last character, one of those that carry nothing. */
function neighbour(byte: number): number {
  const digit = alphabet.indexOf(String.fromCharCode(byte))
  return digit === -1 ? 0x41 : alphabet.charCodeAt(digit ^ 1)
}

for (const kind of kindNames) {
  test(`${kind}: a token with any bit flipped, or any character changed for its base64url neighbour, is refused (RFC 7515 §5.2)`, async (t) => {
    const flips = (byte: number) => [...bits(byte), neighbour(byte)]
    t.deepEqual(await walk(t, encode(kind), tokens.get(kind) ?? '', flips), [])
  })

  test(`${kind}: a principal with any byte changed for any other contradicts the certificate (policy peer.evidence)`, async (t) => {
    t.deepEqual(await walk(t, encode(kind), ordersId, () => Array(256).keys()), [])
  })
}

test('spiffe: a principal alone with any byte changed for any other is another workload (SPIFFE-ID §2)', async (t) => {
  const question = encode('spiffe', { certificate: '' })
  t.deepEqual(await walk(t, question, ordersId, () => Array(256).keys()), [])
})

/** A percent-escape in lower case is the same text (RFC 3986 §2.1): the very same certificate, byte for byte. */
function isSameText(text: string): boolean {
  try {
    return decodeURIComponent(text) === decodeURIComponent(orders.envoyText)
  } catch {
    return false
  }
}

test('x5t#S256: a certificate with any bit flipped is refused, unless it is the same text (RFC 8705 §3.1)', async (t) => {
  const allowed = await walk(t, encode('x5t#S256'), orders.envoyText, bits)
  const letters =
    orders.envoyText
      .match(/%[0-9A-F]{2}/g)
      ?.join('')
      .match(/[A-F]/g) ?? []
  t.is(allowed.length, letters.length)
  t.deepEqual(
    allowed.filter((text) => !isSameText(text)),
    [],
  )
})

const spki = Buffer.from(await webcrypto.subtle.exportKey('spki', orders.keys.publicKey))
/**
 * A P-256 key begins with 25 bytes that say so, the count of unused bits and the form of the point; its last 64 bytes
 * are x and y, which are the key. Count and form may change where x and y do not (the hybrid form, X9.62 §4.3.6).
 */
const aboutKey = 25
const sanOid = Buffer.from('0603551d11', 'hex')
const utcTime = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

/** The DER in the text, read without the code under test; it may have lost its PEM form on the way. */
function derOf(text: string): Buffer {
  const base64 = decodeURIComponent(text).replace(/-----[^-]*-----/g, '')
  return Buffer.from(base64, 'base64')
}

/** Unix milliseconds of a UTCTime of RFC 5280 §4.1.2.5.1 with its tag and length, NaN for anything else. */
function timeOf(der: Buffer): number {
  if (der[0] !== 0x17 || der[1] !== 13) return Number.NaN
  const [, year = Number.NaN, ...rest] = utcTime.exec(der.toString('latin1', 2))?.map(Number) ?? []
  const [month = 0, day = 0, hour = 0, minute = 0, second = 0] = rest
  const century = year < 50 ? 2000 : 1900
  const time = new Date(Date.UTC(century + year, month - 1, day, hour, minute, second))
  const exact =
    time.getUTCMonth() === month - 1 && time.getUTCDate() === day && hour < 24 && minute < 60
  return exact && second < 60 ? time.getTime() : Number.NaN
}

/** Where the two times of the validity begin, tag and length included. */
const timesAt = [...orders.der.toString('latin1').matchAll(/\d{12}Z/g)].map(
  ({ index }) => index - 2,
)

/** What of `kind` is no longer as it was: its bytes in the DER are compared, and the validity is read anew. */
function changedParts(kind: 'jwk' | 'spiffe', text: string): string[] {
  const der = derOf(text)
  const same = (start: number, length: number) =>
    der.length === orders.der.length &&
    der.subarray(start, start + length).equals(orders.der.subarray(start, start + length))
  const [notBefore = 0, notAfter = 0] = timesAt.map((at) => timeOf(der.subarray(at, at + 15)))
  const name = orders.der.indexOf(ordersId)
  const keyAt = orders.der.indexOf(spki)
  const parts = {
    'the key': kind === 'spiffe' || (same(keyAt, aboutKey) && same(keyAt + spki.length - 64, 64)),
    'the OID of the SAN': same(orders.der.indexOf(sanOid), sanOid.length),
    'the SAN': same(name - 4, ordersId.length + 4),
    'the validity': notBefore <= now * 1000 && now * 1000 <= notAfter,
  }
  return Object.entries(parts).flatMap(([part, holds]) => (holds ? [] : [part]))
}

for (const kind of ['jwk', 'spiffe'] as const) {
  // The chain is Envoy's to verify: bytes that neither bind, name nor date anything (serial, signature) are not judged.
  test(`${kind}: a certificate with any bit flipped is refused, unless key, name and validity still hold (RFC 7800 §3.2, RFC 5280 §4.1.2.5)`, async (t) => {
    t.deepEqual(changedParts(kind, orders.envoyText), [], 'control')
    const allowed = await walk(t, encode(kind), orders.envoyText, bits)
    const wrong = allowed.flatMap((text) => changedParts(kind, text))
    t.deepEqual([...new Set(wrong)], [], `${wrong.length} texts were allowed`)
  })
}

/** The text with each character in turn changed for each other one of the alphabet. */
function* changes(text: string, others: string): Generator<string> {
  for (let at = 0; at < text.length; at++) {
    for (const char of others) {
      if (char !== text[at]) yield text.slice(0, at) + char + text.slice(at + 1)
    }
  }
}

const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(0x20 + i)).join('')

const signed: readonly (readonly [string, Kind, string, string, (value: string) => Claims])[] = [
  [
    'RFC 8705 §3.1: a thumbprint',
    'x5t#S256',
    orders.x5tS256,
    alphabet,
    (value) => ({ cnf: { 'x5t#S256': value } }),
  ],
  ['RFC 7800 §3.2: the key’s x', 'jwk', key.x, alphabet, (x) => ({ cnf: { jwk: { ...key, x } } })],
  ['RFC 7800 §3.2: the key’s y', 'jwk', key.y, alphabet, (y) => ({ cnf: { jwk: { ...key, y } } })],
  ['SPIFFE-ID §2: the identity', 'spiffe', ordersId, ascii, (sub) => ({ cnf: undefined, sub })],
]
for (const [title, kind, value, others, claims] of signed) {
  test(`${title} with any character changed for any other is refused, in a well-signed token`, async (t) => {
    const ask = async (changed: string) =>
      isAllowed(encode(kind, { token: await sign(claims(changed)) }))
    t.true(await ask(value), 'control: unchanged, it is allowed')
    const allowed: string[] = []
    let asked = 0
    for (const changed of changes(value, others)) {
      asked++
      if (await ask(changed)) allowed.push(changed)
    }
    t.is(asked, value.length * (others.length - 1))
    t.deepEqual(allowed, [])
  })
}
