/** The DER grammar and nothing else (X.690 §8, §10): one spelling per value, lengths that cover exactly what is there. */

export interface DerElement {
  /** The identifier octet: class, constructed bit and a tag number below 31. */
  readonly tag: number
  readonly content: Uint8Array
}

const longTag = 0x1f
const longLength = 0x80
const maxLengthBytes = 3

/** The one element that fills the bytes, or undefined. */
export function readDer(bytes: Uint8Array): DerElement | undefined {
  const elements = readDerSequence(bytes)
  return elements?.length === 1 ? elements[0] : undefined
}

/**
 * The elements that fill the bytes one after the other, or undefined: indefinite and needlessly long lengths are
 * BER, not DER, and an element that ends outside its parent is neither.
 */
export function readDerSequence(bytes: Uint8Array): readonly DerElement[] | undefined {
  const elements: DerElement[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = bytes[at] ?? 0
    const length = readLength(bytes, at + 1)
    if ((tag & longTag) === longTag || length === undefined) return undefined
    const end = length.contentAt + length.value
    if (end > bytes.length) return undefined
    elements.push({ tag, content: bytes.subarray(length.contentAt, end) })
    at = end
  }
  return elements
}

/** X.690 §10.1: definite, and in as few octets as can be. */
function readLength(
  bytes: Uint8Array,
  at: number,
): { value: number; contentAt: number } | undefined {
  const first = bytes[at]
  if (first === undefined) return undefined
  if (first < longLength) return { value: first, contentAt: at + 1 }
  const count = first & 0x7f
  if (count === 0 || count > maxLengthBytes || at + count >= bytes.length) return undefined
  let value = 0
  for (let i = 1; i <= count; i++) value = value * 256 + (bytes[at + i] ?? 0)
  const minimal = count === 1 ? value >= longLength : value >= 256 ** (count - 1)
  return minimal ? { value, contentAt: at + 1 + count } : undefined
}
