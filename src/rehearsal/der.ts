/** Writes the few forms of DER that a certificate needs (X.690 §8, §10). */

export function writeDer(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const length: number[] = []
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256))
    length.unshift(rest % 256)
  const short = content.length < 0x80
  const head = short ? [tag, content.length] : [tag, 0x80 | length.length, ...length]
  return Buffer.concat([Buffer.from(head), content])
}

export function writeSequence(...parts: readonly Uint8Array[]): Buffer {
  return writeDer(0x30, ...parts)
}

/** @param hex The identifier's octets, as X.690 §8.19 makes them. */
export function writeIdentifier(hex: string): Buffer {
  return writeDer(0x06, Buffer.from(hex, 'hex'))
}

/** Bits that fill their octets, or of which the last ones are not used. */
export function writeBits(bytes: Uint8Array, unused = 0): Buffer {
  return writeDer(0x03, Buffer.from([unused]), bytes)
}

/** RFC 5280 §4.1.2.5: UTCTime from 1950 up to 2049, GeneralizedTime outside. */
export function writeTime(unixSeconds: number): Buffer {
  const date = new Date(unixSeconds * 1000)
  const text = `${date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace(/[-:T]/g, '')}Z`
  const year = date.getUTCFullYear()
  return year >= 1950 && year < 2050
    ? writeDer(0x17, Buffer.from(text.slice(2)))
    : writeDer(0x18, Buffer.from(text))
}
