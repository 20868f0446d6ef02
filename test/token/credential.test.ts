import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { readCredential } from '../../src/token/credential.ts'

const read = (value: string) => readCredential({ kind: 'one', value })

for (const [value, scheme, token] of [
  ['Bearer a', 'Bearer', 'a'],
  ['bearer a.b.c', 'Bearer', 'a.b.c'],
  ['BEARER    a', 'Bearer', 'a'],
  ['DPoP a.b.c', 'DPoP', 'a.b.c'],
  ['dpop a', 'DPoP', 'a'],
  ['Bearer AZaz09-._~+/==', 'Bearer', 'AZaz09-._~+/=='],
  ['Bearer Bearer', 'Bearer', 'Bearer'],
] as const) {
  test(`RFC 9110 §11.4: "${value}" is a ${scheme} credential`, (t) => {
    t.deepEqual(read(value), { scheme, token })
  })
}

for (const value of [
  '',
  ' ',
  'Bearer',
  'Bearer ',
  'DPoP',
  ' Bearer a',
  'Bearer a ',
  'Bearer a b',
  'Bearer a,b',
  'Bearer =',
  'Bearer a=b',
  'Bearer\ta',
  'Bearer a\n',
  '\nBearer a',
  'Bearer "a"',
  'Bearer a;b',
  'Bearer a%20',
  'Bearer \u00e9',
  'Bearer/a',
  'Basic\tdTpw',
  '"Bearer" a',
]) {
  test(`RFC 6750 §2.1: ${JSON.stringify(value)} is malformed`, (t) => {
    t.deepEqual(read(value), { refused: 'credential_malformed', detail: '' })
  })
}

for (const value of ['Basic dTpw', 'Negotiate', 'Digest username="a"', 'Bearer1 a', 'DPoP-x a']) {
  test(`RFC 6750 §3.1: ${JSON.stringify(value)} is somebody else’s credential`, (t) => {
    const detail = 'another authentication scheme'
    t.deepEqual(read(value), { refused: 'credential_missing', detail })
  })
}

test('RFC 6750 §3.1: no header is no credential', (t) => {
  t.deepEqual(readCredential({ kind: 'absent' }), { refused: 'credential_missing', detail: '' })
})

test('RFC 6750 §2: more than one credential is ambiguous', (t) => {
  const refusal = readCredential({ kind: 'ambiguous' })
  t.deepEqual(refusal, { refused: 'credential_ambiguous', detail: '' })
})

test('RFC 6750 §2.1: each of the 256 bytes in a token is taken or refused by the grammar', (t) => {
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  const inside = bytes.filter((char) => !isRefusal(read(`Bearer a${char}b`)))
  const behind = bytes.filter((char) => !isRefusal(read(`Bearer a${char}`)))
  const token68 = '+-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~'
  t.is(inside.join(''), token68)
  t.is(behind.join(''), token68.replace('9A', '9=A'))
})

const units = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit))
const anyText = fc.oneof(
  fc.string({ unit: units }),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...'BbEeAaRrDdPpOo =.,\t') }),
)
const texts = fc
  .tuple(fc.constantFrom('', 'Bearer', 'Bearer ', 'DPoP ', 'bEaReR  '), anyText)
  .map((parts) => parts.join(''))

test('RFC 9110 §11.4: any text is a credential of the grammar or a refusal, and never throws', (t) => {
  const seen = { taken: 0, refused: 0 }
  t.notThrows(() =>
    fc.assert(
      fc.property(texts, (value) => {
        const credential = read(value)
        if (isRefusal(credential)) {
          seen.refused++
          return ['credential_malformed', 'credential_missing'].includes(credential.refused)
        }
        seen.taken++
        const [scheme, token, ...others] = value.split(/ +/)
        const sameScheme = scheme?.toLowerCase() === credential.scheme.toLowerCase()
        return sameScheme && token === credential.token && others.length === 0
      }),
      { numRuns: 2000 },
    ),
  )
  t.true(seen.taken > 0 && seen.refused > 0)
})
