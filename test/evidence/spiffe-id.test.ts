/** The SPIFFE ID grammar, walked byte by byte against an oracle of its own (SPIFFE-ID §2). */

import test from 'ava'
import fc from 'fast-check'
import { hasPath, parseSpiffeId, trustDomainOf } from '../../src/evidence/spiffe-id.ts'
import vectors from '../vectors/spiffe-ids.json' with { type: 'json' }

const scheme = 'spiffe://'
const lower = 'abcdefghijklmnopqrstuvwxyz'
const punctuation = '0123456789.-_'
const domainChars = new Set(lower + punctuation)
const pathChars = new Set(lower + lower.toUpperCase() + punctuation)

/** SPIFFE-ID §2.1 to §2.4 as prose says it: no pattern, no code of the parser's. */
function isSpiffeId(text: string): boolean {
  if (text.length > 2048 || text.slice(0, scheme.length) !== scheme) return false
  const [domain = '', ...segments] = text.slice(scheme.length).split('/')
  if (domain.length < 1 || domain.length > 255) return false
  if ([...domain].some((char) => !domainChars.has(char))) return false
  return segments.every(
    (segment) =>
      segment !== '' &&
      segment !== '.' &&
      segment !== '..' &&
      [...segment].every((char) => pathChars.has(char)),
  )
}

const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))

/** Every position class: scheme, one-letter and longer domains and segments, first, inner and last of each. */
const seeds = [
  'spiffe://mesh.example/ns/shop/sa/orders',
  'spiffe://mesh.example',
  'spiffe://m/s',
  'spiffe://m/./s',
  'spiffe://m/a../..b',
  'spiffe://m.-_9/Zz.-_9/.../Q',
]

function agree(text: string): boolean {
  return (parseSpiffeId(text) !== undefined) === isSpiffeId(text)
}

test('SPIFFE-ID §2: every byte value in place of every byte of an ID is judged as the grammar says', (t) => {
  let accepted = 0
  for (const seed of seeds) {
    for (let at = 0; at < seed.length; at++) {
      for (const byte of everyByte) {
        const text = seed.slice(0, at) + byte + seed.slice(at + 1)
        if (!agree(text)) t.fail(JSON.stringify(text))
        if (parseSpiffeId(text) !== undefined) accepted++
      }
    }
  }
  t.true(accepted > 1000)
})

test('SPIFFE-ID §2: every byte value put before, inside and after an ID is judged as the grammar says', (t) => {
  let accepted = 0
  for (const seed of seeds) {
    for (let at = 0; at <= seed.length; at++) {
      for (const byte of everyByte) {
        const text = seed.slice(0, at) + byte + seed.slice(at)
        if (!agree(text)) t.fail(JSON.stringify(text))
        if (parseSpiffeId(text) !== undefined) accepted++
      }
      if (!agree(seed.slice(0, at))) t.fail(JSON.stringify(seed.slice(0, at)))
      if (!agree(seed.slice(0, at) + seed.slice(at + 1))) t.fail(`${seed} without byte ${at}`)
    }
  }
  t.true(accepted > 1000)
})

test('SPIFFE-ID §2: exactly the listed characters stand in a trust domain and in a segment', (t) => {
  const taken = (before: string, after: string) =>
    everyByte.filter((byte) => parseSpiffeId(before + byte + after) !== undefined).join('')
  const sorted = (chars: Iterable<string>) => [...chars].sort().join('')
  t.is(taken('spiffe://a', 'b/x'), sorted(`${lower + punctuation}/`))
  t.is(taken('spiffe://a/b', 'c'), sorted(`${lower + lower.toUpperCase() + punctuation}/`))
  t.is(taken('spiffe://', ''), sorted(lower + punctuation))
  const notADot = sorted(lower + lower.toUpperCase() + punctuation.replace('.', ''))
  t.is(taken('spiffe://a/', ''), notADot)
  t.is(taken('spiffe://a/', '/b'), notADot)
  t.is(taken('spiffe://a/.', ''), notADot)
})

test('SPIFFE-ID §2: characters beyond one byte are refused, those that fold to ASCII too', (t) => {
  for (const char of ['\u0131', '\u017f', '\u212a', '\uff41', '\u2024', '\u2215', '\u{1f92f}']) {
    t.is(parseSpiffeId(`spiffe://a${char}b/c`), undefined)
    t.is(parseSpiffeId(`spiffe://a/b${char}c`), undefined)
    t.is(parseSpiffeId(`${char}piffe://a/b`), undefined)
  }
})

test('SPIFFE-ID §2.3: 2048 bytes are taken and 2049 are not', (t) => {
  const fill = (length: number) => `spiffe://a/${'b'.repeat(length - 'spiffe://a/'.length)}`
  t.is(parseSpiffeId(fill(2048)), fill(2048) as never)
  t.is(parseSpiffeId(fill(2049)), undefined)
})

test('SPIFFE-ID §2.3: a trust domain of 255 bytes is taken and one of 256 is not', (t) => {
  const id = (length: number) => `spiffe://${'a'.repeat(length)}/b`
  t.is(parseSpiffeId(id(255)), id(255) as never)
  t.is(parseSpiffeId(id(256)), undefined)
  t.is(parseSpiffeId(`spiffe://${'a'.repeat(256)}`), undefined)
})

test('published valid SPIFFE IDs are taken as they are (go-spiffe)', (t) => {
  t.true(vectors.valid.length > 0)
  for (const id of vectors.valid) {
    t.is(parseSpiffeId(id), id as never)
    t.true(isSpiffeId(id), `oracle: ${id}`)
  }
})

test('published invalid SPIFFE IDs are refused (go-spiffe, WIMSE counterexamples)', (t) => {
  t.true(vectors.invalid.length > 0)
  for (const [id = '', why] of vectors.invalid) {
    t.is(parseSpiffeId(id), undefined, `${id}: ${why}`)
    t.false(isSpiffeId(id), `oracle: ${id}`)
  }
})

test('SPIFFE-ID §2.1: the trust domain is what stands before the first slash', (t) => {
  const expected = {
    'spiffe://trustdomain': 'trustdomain',
    'spiffe://trustdomain/path': 'trustdomain',
    'spiffe://a.b-c_9/x/y': 'a.b-c_9',
    'spiffe://192.0.2.1/w': '192.0.2.1',
  }
  for (const [text, domain] of Object.entries(expected)) {
    const id = parseSpiffeId(text)
    t.is(id && trustDomainOf(id), domain)
  }
})

test('X509-SVID §5.2: an ID without a path is told from one with a path', (t) => {
  const bare = parseSpiffeId('spiffe://trustdomain')
  const path = parseSpiffeId('spiffe://trustdomain/a')
  t.false(bare === undefined || hasPath(bare))
  t.true(path !== undefined && hasPath(path))
})

test('SPIFFE-ID §2: texts made of the grammar’s own pieces are judged as the grammar says', (t) => {
  const piece = fc.constantFrom(
    'spiffe://',
    '/',
    '.',
    '..',
    'a',
    'Z',
    '%2e',
    '-',
    '_',
    '\0',
    ':',
    '@',
  )
  const texts = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
  t.notThrows(() =>
    fc.assert(
      fc.property(texts, (text) => agree(text) && agree(`spiffe://${text}`)),
      { numRuns: 5000 },
    ),
  )
})

test('SPIFFE-ID §2: any text is judged without an exception', (t) => {
  t.notThrows(() =>
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 64 }), agree), { numRuns: 5000 }),
  )
})
