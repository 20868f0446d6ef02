/** base64url without padding, RFC 4648 §5, in its one canonical spelling. */

const alphabet = /^[A-Za-z0-9_-]*$/

/**
 * The bytes, or undefined. Node's decoder takes padding, the other alphabet, white space, junk after the end and
 * non-zero trailing bits; each of those would give one token several texts, so all are refused here.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  if (!alphabet.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** Whether it is a SHA-256 digest, as RFC 8705 §3.1 and RFC 7638 §3 write one. */
export function isSha256(value: unknown): boolean {
  return typeof value === 'string' && decodeBase64url(value)?.length === 32
}
