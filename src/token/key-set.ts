/** A JWK Set as verification keys (RFC 7517 §5): what cannot be a signature key of the issuer is left out, never guessed at. */

import type { KeyObject } from 'node:crypto'
import { isJsonObject, type JsonObject, member, parseStrictJson } from '../strict-json.ts'
import { type Algorithm, coordinateBytes, fitsAlgorithm, holdsSecret } from './algorithms.ts'
import { decodeBase64url } from './base64url.ts'
import { hasRocaFingerprint } from './roca.ts'
import { importPublicKey } from './signature.ts'

/** One public key for one algorithm. Its object identity stands for "this key is still in the set". */
export interface VerificationKey {
  readonly keyId: string | undefined
  readonly algorithm: Algorithm
  readonly key: KeyObject
  /** The JWK's own text: equal text after a refetch keeps the object, and with it the tokens it has verified. */
  readonly jwkText: string
}

const maxKeys = 100
const minRsaBits = 2048

/** Whose keys a set is read for: an issuer's of JWTs, or a trust domain's of WITs. */
export type KeyUse = 'sig' | 'wit-svid'

/**
 * The set's keys, one per fitting algorithm, or undefined if the document is no JWK Set or holds no usable key: a
 * source that suddenly has nothing to offer counts as failed, so that the last good keys stay for their time.
 */
export async function importKeySet(
  bytes: Uint8Array,
  algorithms: readonly Algorithm[],
  previous: readonly VerificationKey[] = [],
  use: KeyUse = 'sig',
): Promise<readonly VerificationKey[] | undefined> {
  const document = parseStrictJson(bytes)
  const jwks = document === undefined ? undefined : member(document, 'keys')
  if (!Array.isArray(jwks) || jwks.length > maxKeys) return undefined
  const keys: VerificationKey[] = []
  for (const jwk of meantFor(use, jwks.filter(isJsonObject))) {
    for (const algorithm of algorithms.filter((name) => fitsAlgorithm(jwk, name))) {
      const key = await importKey(jwk, algorithm, previous)
      if (key !== undefined) keys.push(key)
    }
  }
  return keys.length > 0 ? keys : undefined
}

/**
 * The one key for a token's header, or undefined. Without `kid` the set must hold a single key for the algorithm;
 * a `kid` that two keys share names neither.
 */
export function selectKey(
  keys: readonly VerificationKey[],
  keyId: string | undefined,
  algorithm: string,
): VerificationKey | undefined {
  const fitting = keys.filter(
    (key) => key.algorithm === algorithm && (keyId === undefined || key.keyId === keyId),
  )
  return fitting.length === 1 ? fitting[0] : undefined
}

async function importKey(
  jwk: JsonObject,
  algorithm: Algorithm,
  previous: readonly VerificationKey[],
): Promise<VerificationKey | undefined> {
  const jwkText = JSON.stringify(jwk)
  const known = previous.find((key) => key.jwkText === jwkText && key.algorithm === algorithm)
  if (known !== undefined) return known
  const keyId = member(jwk, 'kid')
  if (keyId !== undefined && typeof keyId !== 'string') return undefined
  try {
    return { keyId, algorithm, key: await importPublicKey(jwk, algorithm), jwkText }
  } catch {
    return undefined // a point off its curve, a broken modulus: the runtime's own import refuses it
  }
}

/**
 * A SPIFFE bundle holds keys of several uses, each with its own (SPIFFE Trust Domain and Bundle §4, WIT-SVID §5): the
 * authority of certificates signs no WIT. A plain JWK Set says `sig`, or nothing.
 */
function meantFor(use: KeyUse, jwks: readonly JsonObject[]): readonly JsonObject[] {
  const isBundle = jwks.some((jwk) => {
    const named = member(jwk, 'use')
    return typeof named === 'string' && named.endsWith('-svid')
  })
  if (use === 'sig' || !isBundle) return jwks.filter((jwk) => isSignatureKey(jwk))
  return jwks.filter(
    (jwk) =>
      member(jwk, 'use') === use && member(jwk, 'kid') !== undefined && isSignatureKey(jwk, use),
  )
}

/** RFC 7517 §4.2, §4.3; RFC 8725 §3.5. Symmetric and private keys have no place where a public one is told. */
export function isSignatureKey(jwk: JsonObject, wanted: KeyUse = 'sig'): boolean {
  const use = member(jwk, 'use')
  const operations = member(jwk, 'key_ops')
  if (use !== undefined && use !== wanted) return false
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return false
  }
  if (holdsSecret(jwk)) return false
  return member(jwk, 'kty') === 'RSA' ? isSoundRsa(jwk) : isWholePoint(jwk)
}

/** RFC 7518 §6.2.1, RFC 8037 §2: each coordinate as long as the curve has it. The runtime's import takes others as well. */
function isWholePoint(jwk: JsonObject): boolean {
  const curve = member(jwk, 'crv')
  const octets = typeof curve === 'string' ? coordinateBytes.get(curve) : undefined
  const names = member(jwk, 'kty') === 'EC' ? ['x', 'y'] : ['x']
  return (
    octets !== undefined && names.every((name) => bytesOf(member(jwk, name))?.length === octets)
  )
}

/** At least 2048 bits and odd (RFC 7518 §3.3), an odd exponent between 2^16 and 2^256 (FIPS 186-5 §A.1.1), no ROCA modulus. */
function isSoundRsa(jwk: JsonObject): boolean {
  const modulus = unsigned(member(jwk, 'n'))
  const exponent = unsigned(member(jwk, 'e'))
  if (modulus === undefined || exponent === undefined) return false
  if (modulus >> BigInt(minRsaBits - 1) === 0n || modulus % 2n === 0n) return false
  if (exponent < 65537n || exponent >> 256n !== 0n || exponent % 2n === 0n) return false
  return !hasRocaFingerprint(modulus)
}

function bytesOf(value: unknown): Buffer | undefined {
  return typeof value === 'string' ? decodeBase64url(value) : undefined
}

function unsigned(value: unknown): bigint | undefined {
  const bytes = bytesOf(value)
  return bytes === undefined || bytes.length === 0
    ? undefined
    : BigInt(`0x${bytes.toString('hex')}`)
}
