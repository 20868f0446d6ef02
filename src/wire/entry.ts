/** Texts and key-value entries of a protobuf message, as decode.ts and headers.ts meet them. */

import type { Reader } from 'protobufjs/minimal.js'

export const lengthDelimited = 2

/** The bytes up to `end` as UTF-8; what is no UTF-8 becomes U+FFFD, which no grammar here accepts. */
export function text(reader: Reader, end: number): string {
  return (reader.buf as Buffer).toString('utf8', reader.pos, end)
}

/** A map entry and a HeaderValue look alike: key 1, value 2; a HeaderValue may carry its value in raw_value 3 instead. */
export interface Entry {
  key: string
  value: string
  rawValue: string
}

export function readEntry(reader: Reader, end: number): Entry {
  const entry = { key: '', value: '', rawValue: '' }
  while (reader.pos < end) {
    const tag = reader.uint32()
    if ((tag & 7) !== lengthDelimited) throw new RangeError('an entry holds texts only')
    const length = reader.uint32()
    const fieldEnd = reader.pos + length
    if (fieldEnd > end) throw new RangeError('a field ends outside its message')
    const field = tag >>> 3
    if (field === 1) entry.key = text(reader, fieldEnd)
    else if (field === 2) entry.value = text(reader, fieldEnd)
    else if (field === 3)
      entry.rawValue = (reader.buf as Buffer).toString('latin1', reader.pos, fieldEnd)
    reader.pos = fieldEnd
  }
  return entry
}
