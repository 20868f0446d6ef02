/**
 * Public keys and the signatures that they verify (RFC 7515 §5.2, RFC 7518 §3, RFC 8037 §3.1). jose imports the keys;
 * the signature itself is verified by Node's own cryptography, for the half of the cost (docs/decisions/0007).
 */

import { constants, KeyObject, type VerifyKeyObjectInput, verify } from 'node:crypto'
import { importJWK, type JWK } from 'jose'
import type { JsonObject } from '../strict-json.ts'
import type { Algorithm } from './algorithms.ts'
import { decodeBase64url } from './base64url.ts'

interface Scheme {
  /** Undefined where the signature scheme has its own (RFC 8032). */
  readonly hash: string | undefined
  /** Octets of R and of S, for ECDSA (RFC 7518 §3.4). */
  readonly integerBytes?: number
  readonly padding?: Pick<VerifyKeyObjectInput, 'padding' | 'saltLength'>
}

const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
/** RFC 7518 §3.5: the salt is as long as the hash. */
const pss = {
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
}
const schemes: { readonly [name in Algorithm]: Scheme } = {
  ES256: { hash: 'sha256', integerBytes: 32 },
  ES384: { hash: 'sha384', integerBytes: 48 },
  ES512: { hash: 'sha512', integerBytes: 66 },
  EdDSA: { hash: undefined },
  Ed25519: { hash: undefined },
  PS256: { hash: 'sha256', padding: pss },
  PS384: { hash: 'sha384', padding: pss },
  PS512: { hash: 'sha512', padding: pss },
  RS256: { hash: 'sha256', padding: pkcs1 },
  RS384: { hash: 'sha384', padding: pkcs1 },
  RS512: { hash: 'sha512', padding: pkcs1 },
}

/** Rejects where the JWK is no public key for the algorithm: a point off its curve, a broken modulus. */
export async function importPublicKey(jwk: JsonObject, algorithm: Algorithm): Promise<KeyObject> {
  const key = await importJWK({ ...(jwk as JWK), alg: algorithm, ext: true }, algorithm)
  if (key instanceof Uint8Array || key.type !== 'public') throw new TypeError('not a public key')
  return KeyObject.from(key as Parameters<typeof KeyObject.from>[0])
}

/**
 * Whether the compact JWS is signed with the key. The caller has read its header and chosen key and algorithm; nothing
 * of the text is interpreted here. Runs in the thread pool; never rejects.
 */
export function verifySignature(
  text: string,
  key: KeyObject,
  algorithm: Algorithm,
): Promise<boolean> {
  const { hash, integerBytes, padding } = schemes[algorithm]
  const dot = text.lastIndexOf('.')
  const given = decodeBase64url(text.slice(dot + 1))
  const signature = integerBytes === undefined ? given : given && derOf(given, integerBytes)
  if (signature === undefined) return Promise.resolve(false)
  const input = Buffer.from(text.slice(0, Math.max(dot, 0)), 'latin1')
  return new Promise((resolve) => {
    try {
      verify(hash, input, { key, ...padding }, signature, (error, good) =>
        resolve(error === null && good),
      )
    } catch {
      resolve(false)
    }
  })
}

/**
 * R || S as the DER that OpenSSL reads (RFC 3279 §2.2.3), or undefined if it is not exactly two integers of that size.
 * Node can take R || S as it is (`ieee-p1363`), at half the speed.
 */
function derOf(signature: Buffer, integerBytes: number): Buffer | undefined {
  if (signature.length !== 2 * integerBytes) return undefined
  const r = derInteger(signature.subarray(0, integerBytes))
  const s = derInteger(signature.subarray(integerBytes))
  const length = r.length + s.length
  return Buffer.concat([Buffer.from(length < 0x80 ? [0x30, length] : [0x30, 0x81, length]), r, s])
}

/** An unsigned integer without needless octets, and with one where the first bit would make it negative (X.690 §8.3). */
function derInteger(bytes: Buffer): Buffer {
  let from = 0
  while (from < bytes.length - 1 && bytes[from] === 0) from++
  const digits = bytes.subarray(from)
  const sign = (digits[0] ?? 0) & 0x80 ? [0] : []
  return Buffer.concat([Buffer.from([0x02, digits.length + sign.length, ...sign]), digits])
}
