import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { maxTokenLength, normaliseType, readJws } from '../../src/token/jws.ts'

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

function compact(header: object, claims: unknown = { iss: 'a' }, signature = 'c2ln'): string {
  return `${encode(header)}.${encode(claims)}.${signature}`
}

test('RFC 7515 §7.1: a compact JWS says its alg, kid, typ and claims', (t) => {
  const header = { alg: 'ES256', kid: 'key-1', typ: 'application/AT+jwt', other: [1] }
  t.deepEqual(readJws(compact(header, { iss: 'a', n: 1 })), {
    algorithm: 'ES256',
    keyId: 'key-1',
    type: 'at+jwt',
    claims: { iss: 'a', n: 1 },
  })
  t.deepEqual(readJws(compact({ alg: 'none' }, {}, '')), {
    algorithm: 'none',
    keyId: undefined,
    type: undefined,
    claims: {},
  })
})

for (const [title, text, detail] of [
  ['no parts', '', 'not three parts'],
  ['one part', encode({ alg: 'ES256' }), 'not three parts'],
  ['two parts', `${encode({ alg: 'ES256' })}.${encode({})}`, 'not three parts'],
  ['four parts', `${compact({ alg: 'ES256' })}.`, 'not three parts'],
  ['five parts', `${compact({ alg: 'ES256' })}.YQ.YQ`, 'not three parts'],
  ['an empty header', `.${encode({})}.c2ln`, 'header is not strict base64url JSON'],
  ['an empty payload', `${encode({ alg: 'ES256' })}..c2ln`, 'payload is not strict base64url JSON'],
  ['a header that is an array', compact([]), 'header is not strict base64url JSON'],
  ['a payload that is an array', compact({ alg: 'a' }, []), 'payload is not strict base64url JSON'],
  ['a padded signature', compact({ alg: 'a' }, {}, 'YQ=='), 'signature is not strict base64url'],
  ['trailing bits', compact({ alg: 'a' }, {}, 'YR'), 'signature is not strict base64url'],
  ['crit', compact({ alg: 'a', crit: ['exp'] }), 'header member crit'],
  ['b64', compact({ alg: 'a', b64: true }), 'header member b64'],
  ['zip', compact({ alg: 'a', zip: 'DEF' }), 'header member zip'],
  ['no alg', compact({ kid: 'a' }), 'alg is no short string'],
  ['an alg that is null', compact({ alg: null }), 'alg is no short string'],
  ['an alg of 1025', compact({ alg: 'a'.repeat(1025) }), 'alg is no short string'],
  ['a kid that is null', compact({ alg: 'a', kid: null }), 'kid is no short string'],
  ['a kid of 1025', compact({ alg: 'a', kid: 'a'.repeat(1025) }), 'kid is no short string'],
  ['a typ that is a number', compact({ alg: 'a', typ: 1 }), 'typ is no short string'],
  ['a typ of 1025', compact({ alg: 'a', typ: 'a'.repeat(1025) }), 'typ is no short string'],
] as const) {
  test(`RFC 7515 §5.2: a JWS with ${title} is malformed`, (t) => {
    t.deepEqual(readJws(text), { refused: 'token_malformed', detail })
  })
}

test('RFC 7515 §4.1: names that an object inherits are no header members', (t) => {
  const text = `${Buffer.from('{"__proto__":{"alg":"ES256"}}').toString('base64url')}.e30.`
  t.deepEqual(readJws(text), { refused: 'token_malformed', detail: 'alg is no short string' })
})

test('RFC 7515 §4.1.4: a kid of 1024 characters is read whole', (t) => {
  const kid = 'k'.repeat(1024)
  const jws = readJws(compact({ alg: 'ES256', kid }))
  t.is(isRefusal(jws) ? undefined : jws.keyId, kid)
})

test('RFC 9110 §5.4: a token of 16 KiB is read, one character more is not', (t) => {
  const frame = compact({ alg: 'ES256' }, {}, '')
  const rest = maxTokenLength - frame.length
  const fitting = frame + 'A'.repeat(rest)
  t.is(fitting.length, 16 * 1024)
  t.not(rest % 4, 1)
  t.false(isRefusal(readJws(fitting)))
  t.deepEqual(readJws(`${fitting}A`), { refused: 'token_malformed', detail: 'over 16 KiB' })
})

for (const [type, normal] of [
  ['JWT', 'jwt'],
  ['at+jwt', 'at+jwt'],
  ['application/at+jwt', 'at+jwt'],
  ['APPLICATION/AT+JWT', 'at+jwt'],
  ['text/at+jwt', 'text/at+jwt'],
  ['application/application/at+jwt', 'application/at+jwt'],
  [' at+jwt', ' at+jwt'],
  ['', ''],
] as const) {
  test(`RFC 7515 §4.1.9: typ "${type}" compares as "${normal}"`, (t) => {
    t.is(normaliseType(type), normal)
  })
}

test('RFC 7515 §5.2: any text is read or refused as malformed, and never throws', (t) => {
  const part = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
    fc.constantFrom(encode({ alg: 'ES256' }), encode({ alg: 'ES256', crit: [] }), ''),
  )
  const texts = fc.oneof(
    part,
    fc.array(part, { maxLength: 6 }).map((parts) => parts.join('.')),
  )
  const seen = { read: 0, refused: 0 }
  t.notThrows(() =>
    fc.assert(
      fc.property(texts, (text) => {
        const jws = readJws(text)
        if (!isRefusal(jws)) {
          seen.read++
          return typeof jws.algorithm === 'string' && text.split('.').length === 3
        }
        seen.refused++
        return jws.refused === 'token_malformed' && !/[^\w .]/.test(jws.detail)
      }),
      { numRuns: 2000, examples: [[compact({ alg: 'ES256' })]] },
    ),
  )
  t.true(seen.read > 0 && seen.refused > 0)
})
