/** Identifiers of workloads in WITs, of both schemes, walked byte by byte against an oracle of its own (draft-ietf-wimse-identifier §4). */

import test from 'ava'
import fc from 'fast-check'
import { hasPath, parseSpiffeId, parseWorkloadIdentifier } from '../../src/evidence/spiffe-id.ts'
import vectors from '../vectors/spiffe-ids.json' with { type: 'json' }

const lower = 'abcdefghijklmnopqrstuvwxyz'
const punctuation = '0123456789.-_'
const domainChars = new Set(lower + punctuation)
const pathChars = new Set(lower + lower.toUpperCase() + punctuation)
/** Of the twin `spiffe://…`, as long as SPIFFE-ID §2.3 lets it be. */
const maxRest = 2048 - 'spiffe://'.length

/** As prose says it: no pattern, no code of the parser's. Undefined, or scheme and trust domain. */
function oracle(text: string): readonly [scheme: string, trustDomain: string] | undefined {
  const scheme = ['spiffe', 'wimse'].find((name) => text.slice(0, name.length + 3) === `${name}://`)
  if (scheme === undefined) return undefined
  const rest = text.slice(scheme.length + 3)
  const [domain = '', ...segments] = rest.split('/')
  if (rest.length > maxRest || domain.length < 1 || domain.length > 255) return undefined
  if ([...domain].some((char) => !domainChars.has(char)) || segments.length === 0) return undefined
  const sound = segments.every(
    (segment) =>
      segment !== '' &&
      segment !== '.' &&
      segment !== '..' &&
      [...segment].every((char) => pathChars.has(char)),
  )
  return sound ? [scheme, domain] : undefined
}

function agree(text: string): boolean {
  const expected = oracle(text)
  const found = parseWorkloadIdentifier(text)
  if (expected === undefined || found === undefined) return expected === undefined && !found
  const { id, scheme, trustDomain } = found
  return String(id) === text && scheme === expected[0] && trustDomain === expected[1]
}

const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
const seeds = [
  'wimse://mesh.example/ns/shop/sa/orders',
  'wimse://mesh.example',
  'wimse://m/s',
  'wimse://m/./s',
  'wimse://m/a../..b',
  'wimse://m.-_9/Zz.-_9/.../Q',
  'spiffe://mesh.example/ns/shop/sa/orders',
]

test('draft-ietf-wimse-identifier §4: every byte in place of, before, inside and after each byte of an identifier is judged as the grammar says', (t) => {
  let accepted = 0
  for (const seed of seeds) {
    for (let at = 0; at <= seed.length; at++) {
      for (const byte of everyByte) {
        for (const rest of [at, at + 1]) {
          const text = seed.slice(0, at) + byte + seed.slice(rest)
          if (!agree(text)) t.fail(JSON.stringify(text))
          if (parseWorkloadIdentifier(text) !== undefined) accepted++
        }
      }
      if (!agree(seed.slice(0, at))) t.fail(JSON.stringify(seed.slice(0, at)))
      if (!agree(seed.slice(0, at) + seed.slice(at + 1))) t.fail(`${seed} without byte ${at}`)
    }
  }
  t.true(accepted > 2000)
})

test('draft-ietf-wimse-identifier §4: exactly the listed characters stand in a trust domain and in a segment', (t) => {
  const taken = (before: string, after: string) =>
    everyByte.filter((byte) => parseWorkloadIdentifier(before + byte + after)).join('')
  const sorted = (chars: Iterable<string>) => [...chars].sort().join('')
  t.is(taken('wimse://a', 'b/x'), sorted(`${lower + punctuation}/`))
  t.is(taken('wimse://a/b', 'c'), sorted(`${lower + lower.toUpperCase() + punctuation}/`))
  t.is(taken('wimse://', '/x'), sorted(lower + punctuation))
  t.is(taken('wimse://a', ''), '', 'a trust domain is no workload')
})

test('RFC 3986 §3.1: a scheme in another case, or one that looks alike, is another one here', (t) => {
  const alike = [
    ...[
      'WIMSE',
      'Wimse',
      'wimsE',
      'wimse2',
      'wimses',
      'wims',
      'imse',
      'xwimse',
      ' wimse',
      'wimse ',
    ],
    ...['w\u0131mse', 'wim\u017fe', '\uff57imse', 'wi\u006d\u0301se', 'w\u0456mse', '\u0000wimse'],
    ...['SPIFFE', 'Spiffe', 'spiffee', 'piffe', 'http', 'https', 'urn', '', 'wimse:spiffe', 'jwt'],
  ]
  for (const scheme of alike) {
    t.is(parseWorkloadIdentifier(`${scheme}://mesh.example/x`), undefined, JSON.stringify(scheme))
    t.false(
      agree(`${scheme}://mesh.example/x`) && oracle(`${scheme}://mesh.example/x`) !== undefined,
    )
  }
  for (const text of ['wimse:/mesh.example/x', 'wimse:mesh.example/x', 'wimse//mesh.example/x'])
    t.is(parseWorkloadIdentifier(text), undefined, text)
  t.like(parseWorkloadIdentifier('wimse://mesh.example/x'), { scheme: 'wimse' })
})

test('SPIFFE-ID §2.3: an identifier is as long as its twin in SPIFFE may be', (t) => {
  const fill = (scheme: string, rest: number) => `${scheme}://a/${'b'.repeat(rest - 2)}`
  for (const scheme of ['spiffe', 'wimse']) {
    t.like(parseWorkloadIdentifier(fill(scheme, maxRest)), { scheme, trustDomain: 'a' })
    t.is(parseWorkloadIdentifier(fill(scheme, maxRest + 1)), undefined)
    t.truthy(parseWorkloadIdentifier(`${scheme}://${'a'.repeat(255)}/b`))
    t.is(parseWorkloadIdentifier(`${scheme}://${'a'.repeat(256)}/b`), undefined)
  }
})

test('draft-ietf-wimse-identifier §4: the same path under both schemes is two identifiers', (t) => {
  const [one, two] = ['spiffe', 'wimse'].map((scheme) =>
    parseWorkloadIdentifier(`${scheme}://mesh.example/ns/shop/sa/orders`),
  )
  t.not(one?.id, two?.id)
  t.is(one?.trustDomain, two?.trustDomain)
})

test('a wimse identifier is no SPIFFE ID: no certificate and no XFCC can show one (X509-SVID §2)', (t) => {
  for (const id of seeds.filter((seed) => seed.startsWith('wimse')))
    t.is(parseSpiffeId(id), undefined, id)
})

test('published SPIFFE IDs are judged alike under both schemes, those without a path refused (go-spiffe)', (t) => {
  const underWimse = (id: string) => id.replace(/^spiffe:/, 'wimse:')
  let workloads = 0
  for (const text of vectors.valid) {
    const id = parseSpiffeId(text)
    const isWorkload = id !== undefined && hasPath(id)
    if (isWorkload) workloads++
    for (const each of [text, underWimse(text)]) {
      t.is(parseWorkloadIdentifier(each) !== undefined, isWorkload, each)
      t.true(agree(each), each)
    }
  }
  t.true(workloads > 5)
  for (const [text = '', why] of vectors.invalid)
    for (const each of [text, underWimse(text)])
      t.is(parseWorkloadIdentifier(each), undefined, `${each}: ${why}`)
})

test('fkautz/wimse-security-counterexamples: no subject is, or reads as, the identifier that it imitates', (t) => {
  t.is(vectors.matching_counterexamples.length, 7)
  const read = vectors.matching_counterexamples.map(({ policy, issuer_origin, subject }) => {
    const found = parseWorkloadIdentifier(subject)
    t.true(agree(subject), subject)
    t.not(found?.id, policy as never)
    const [scheme, domain] = (issuer_origin ?? `${policy}`).split(/:\/\/|\//)
    return found && [found.scheme === scheme, found.trustDomain === domain]
  })
  // Refused outright where the spelling is another; else another path, another domain, another scheme.
  t.deepEqual(read, [
    [true, true],
    undefined,
    undefined,
    [true, false],
    undefined,
    [false, true],
    [true, false],
  ])
})

test('draft-ietf-wimse-identifier §4: texts of the grammar’s own pieces, and any others, are judged as it says', (t) => {
  const pieces = [
    'wimse://',
    'spiffe://',
    '/',
    '.',
    '..',
    'a',
    'Z',
    '%2e',
    '-',
    '\0',
    ':',
    '@',
    '?',
  ]
  const texts = fc
    .array(fc.constantFrom(...pieces), { maxLength: 8 })
    .map((parts) => parts.join(''))
  t.notThrows(() =>
    fc.assert(
      fc.property(texts, (text) => agree(text) && agree(`wimse://${text}`)),
      { numRuns: 5000 },
    ),
  )
  const any = fc.string({ unit: 'binary', maxLength: 64 })
  t.notThrows(() =>
    fc.assert(
      fc.property(any, (text) => agree(text) && agree(`wimse://a/${text}`)),
      { numRuns: 5000 },
    ),
  )
})
