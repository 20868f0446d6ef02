/** The slow reading of DER: X.690 §8.1 and §10.1 octet by octet, and what is constructed read to its last leaf. */

export interface SlowElement {
  readonly tag: number
  readonly content: Buffer
  /** Of a constructed one. */
  readonly parts: readonly SlowElement[]
}

const maxDepth = 64

/** The elements that fill the bytes, or undefined where any of them, however deep, is not DER. */
export function readDerSlowly(bytes: Buffer, depth = 0): readonly SlowElement[] | undefined {
  const row = depth > maxDepth ? undefined : readRowSlowly(bytes)
  const elements = row?.map(({ tag, content }) => {
    const parts = isConstructed(tag) ? readDerSlowly(content, depth + 1) : []
    return parts && { tag, content, parts }
  })
  const sound = elements?.filter((element) => element !== undefined)
  return sound?.length === elements?.length ? sound : undefined
}

/** The same, but what stands in them is not looked at. */
export function readRowSlowly(
  bytes: Buffer,
): readonly Pick<SlowElement, 'tag' | 'content'>[] | undefined {
  const row: Pick<SlowElement, 'tag' | 'content'>[] = []
  let rest = bytes
  while (rest.length > 0) {
    const [tag = 0, first] = rest
    if (tag % 32 === 31 || first === undefined) return undefined
    const octets = first < 128 ? 0 : first - 128
    const head = rest.subarray(2, 2 + octets)
    if (first === 128 || head.length < octets) return undefined
    const length = octets === 0 ? first : Number(BigInt(`0x${head.toString('hex')}`))
    if (lengthOctets(length).join() !== [first, ...head].join()) return undefined
    const content = rest.subarray(2 + octets, 2 + octets + length)
    if (content.length < length) return undefined
    row.push({ tag, content })
    rest = rest.subarray(2 + octets + length)
  }
  return row
}

/** The only length octets that DER knows for a length. */
export function lengthOctets(length: number): number[] {
  if (length < 128) return [length]
  const digits = length.toString(16)
  const octets = [...Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')]
  return [128 + octets.length, ...octets]
}

export function isConstructed(tag: number): boolean {
  return Math.floor(tag / 32) % 2 === 1
}
