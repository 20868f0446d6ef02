/** Mutations of an input that know nothing of its grammar but a few of its words. */

import type { Random } from './random.ts'

/** What grammars trip over, whichever they are. */
const words = [
  '\0',
  '\n',
  '\r\n',
  ' ',
  '"',
  '\\',
  '%',
  '%00',
  '%2f',
  '%252e',
  '=',
  '==',
  ',',
  ';',
  '/',
  '//',
  '/../',
  '.',
  '..',
  ':',
  '@',
  '#',
  '?',
  '*',
  '&a',
  '*a',
  '[',
  ']',
  '{',
  '}',
  '-1',
  '0',
  '1e400',
  '9007199254740993',
  'null',
  'true',
  '__proto__',
  'constructor',
  '\u00e9',
  '\u0131',
  '\u212a',
  '\ufeff',
  '\u2028',
  '\ufffd',
].map((word) => Buffer.from(word))
const loneSurrogate = Buffer.from([0xed, 0xa0, 0x80])
const overlongSlash = Buffer.from([0xc0, 0xaf])

/** Longer ones would only be refused for their length; every grammar here has a bound below. */
const maxLength = 300 * 1024

/** One to four changes, some of them from another input. */
export function mutate(
  input: Buffer,
  random: Random,
  other: () => Buffer,
  dictionary: readonly string[],
): Buffer {
  let bytes = input
  for (let changes = 1 + random.int(4); changes > 0; changes--) {
    bytes = change(bytes, random, other, dictionary)
    if (bytes.length > maxLength) bytes = bytes.subarray(0, maxLength)
  }
  return bytes
}

function change(
  bytes: Buffer,
  random: Random,
  other: () => Buffer,
  dictionary: readonly string[],
): Buffer {
  const at = random.int(bytes.length + 1)
  const end = Math.min(bytes.length, at + 1 + random.int(random.chance(4) ? bytes.length + 1 : 8))
  const put = (middle: Uint8Array, until = at) =>
    Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(until)])
  switch (random.int(10)) {
    case 0:
      return flipBit(bytes, at, random)
    case 1:
      return put(Buffer.of(random.int(256)), Math.min(bytes.length, at + 1))
    case 2:
      return put(Buffer.of(random.int(256)))
    case 3:
      return put(Buffer.alloc(0), end)
    case 4:
      return put(bytes.subarray(at, end)) // twice the same
    case 5:
      return put(random.pick([...words, loneSurrogate, overlongSlash]))
    case 6:
      return dictionary.length === 0 ? bytes : put(Buffer.from(random.pick(dictionary)))
    case 7: {
      const piece = other()
      const from = random.int(piece.length + 1)
      return put(piece.subarray(from, from + 1 + random.int(piece.length + 1)), end)
    }
    case 8:
      return bytes.subarray(0, at)
    default:
      return repeat(bytes, at, end, random)
  }
}

function flipBit(bytes: Buffer, at: number, random: Random): Buffer {
  const copy = Buffer.from(bytes)
  if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << random.int(8))
  return copy
}

/** Many times the same piece: what is not linear shows here. */
function repeat(bytes: Buffer, at: number, end: number, random: Random): Buffer {
  const piece = bytes.subarray(at, end)
  const times = 1 + random.int(random.chance(20) ? 4096 : 16)
  const middle = Array.from({ length: times }, () => piece)
  return Buffer.concat([bytes.subarray(0, at), ...middle, bytes.subarray(end)], undefined)
}
