import test from 'ava'
import fc from 'fast-check'
import { decodeBase64url } from '../../src/token/base64url.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** The oracle: RFC 4648 §5 read bit by bit, with every rest of fewer than eight bits zero (§3.5). */
function oracle(text: string): string | undefined {
  if (text.length % 4 === 1) return undefined
  let bits = ''
  for (const char of text) {
    const value = alphabet.indexOf(char)
    if (value === -1) return undefined
    bits += value.toString(2).padStart(6, '0')
  }
  const whole = bits.length - (bits.length % 8)
  if (bits.slice(whole).includes('1')) return undefined
  let hex = ''
  for (let at = 0; at < whole; at += 8) {
    hex += Number.parseInt(bits.slice(at, at + 8), 2)
      .toString(16)
      .padStart(2, '0')
  }
  return hex
}

/** The texts on which decoder and oracle differ, and how many were taken and refused. */
function compare(texts: Iterable<string>) {
  const counts = { differing: [] as string[], taken: 0, refused: 0 }
  for (const text of texts) {
    const expected = oracle(text)
    if (decodeBase64url(text)?.toString('hex') !== expected) counts.differing.push(text)
    if (expected === undefined) counts.refused++
    else counts.taken++
  }
  return counts
}

test('RFC 4648 §10: the published vectors decode', (t) => {
  const vectors = {
    '': '',
    Zg: 'f',
    Zm8: 'fo',
    Zm9v: 'foo',
    Zm9vYg: 'foob',
    Zm9vYmE: 'fooba',
    Zm9vYmFy: 'foobar',
  }
  for (const [text, bytes] of Object.entries(vectors)) {
    t.is(decodeBase64url(text)?.toString('latin1'), bytes)
    t.is(oracle(text), Buffer.from(bytes).toString('hex'), 'and the oracle agrees')
  }
})

function* everyByteInEveryPosition(group: string): Iterable<string> {
  for (let length = 1; length <= 4; length++) {
    for (let position = 0; position < length; position++) {
      for (let byte = 0; byte < 256; byte++) {
        const chars = [...group.slice(0, length)]
        yield chars.with(position, String.fromCharCode(byte)).join('')
      }
    }
  }
}

for (const group of ['AAAA', '____', 'TWFu', 'Zg==', 'Zm8=']) {
  test(`RFC 4648 §5: every byte in every position of "${group}" is judged as written`, (t) => {
    const { differing, taken, refused } = compare(everyByteInEveryPosition(group))
    t.deepEqual(differing, [])
    t.is(taken + refused, 10 * 256)
    t.true(taken > 0 && refused > 0)
  })
}

test('RFC 4648 §3.5: of all pairs of bytes only those with zero trailing bits are taken', (t) => {
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))
  const { differing, taken } = compare(bytes.flatMap((a) => bytes.map((b) => a + b)))
  t.deepEqual(differing, [])
  t.is(taken, 256, 'one text for each byte')
})

test('RFC 4648 §3.5: of all last characters after two only one in four is taken', (t) => {
  const chars = [...alphabet]
  const triples = chars.flatMap((a) => chars.flatMap((b) => chars.map((c) => a + b + c)))
  const { differing, taken } = compare(triples)
  t.deepEqual(differing, [])
  t.is(taken, 65536, 'one text for each two bytes')
})

for (const [title, text] of Object.entries({
  'padding (RFC 7515 §2)': 'Zg==',
  'the other alphabet (RFC 4648 §4)': 'ab+/',
  'white space (RFC 4648 §3.3)': 'Zm9v Zm9v',
  'a newline behind (RFC 4648 §3.3)': 'Zm9v\n',
  'junk behind (RFC 4648 §3.3)': 'Zm9v!!!!',
  'non-zero trailing bits (RFC 4648 §3.5)': 'Zh',
  'a single character (RFC 4648 §4)': 'Zm9vZ',
  'a character whose code ends in a letter’s': 'Zm9\u0176',
  'a full-width letter': 'Zm9\uff36',
  'a lone surrogate': 'Zm9\ud800',
})) {
  test(`${title} has no bytes`, (t) => {
    t.is(decodeBase64url(text), undefined)
    t.true(Buffer.from(text, 'base64url').length > 0, 'a lax decoder would find some')
  })
}

test('RFC 4648 §5: any bytes survive the way there and back', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = decodeBase64url(Buffer.from(bytes).toString('base64url'))
        return decoded?.equals(bytes) === true
      }),
    ),
  )
})

test('RFC 4648 §3.5: any text either has no bytes or is the one spelling of them', (t) => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...alphabet, '=', '+', '/', ' ') }),
  )
  t.notThrows(() =>
    fc.assert(
      fc.property(texts, (text) => {
        const bytes = decodeBase64url(text)
        return bytes?.toString('hex') === oracle(text)
      }),
    ),
  )
})
