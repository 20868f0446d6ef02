/** The slow reading of base64url: RFC 4648 §5 bit by bit, without padding, and no bit that says nothing may be set. */

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

export function decodeSlowly(text: string): Buffer | undefined {
  const bits: number[] = []
  for (const char of text) {
    const value = digits.indexOf(char)
    if (value === -1) return undefined
    for (let bit = 5; bit >= 0; bit--) bits.push((value >> bit) & 1)
  }
  const rest = bits.length % 8
  if (rest >= 6) return undefined // a digit too many
  if (bits.slice(bits.length - rest).some((bit) => bit === 1)) return undefined
  const bytes = Buffer.alloc((bits.length - rest) / 8)
  for (let i = 0; i < bytes.length; i++)
    for (let j = 0; j < 8; j++) bytes[i] = ((bytes[i] ?? 0) << 1) | (bits[8 * i + j] ?? 0)
  return bytes
}
