/** Verifies the signed texts that are no access tokens, status lists and security events: one `typ`, one issuer's keys, and claims only afterwards. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { type JsonObject, member } from '../strict-json.ts'
import { algorithms } from './algorithms.ts'
import { decodeObject, forbiddenMember, normaliseType, splitJws } from './jws.ts'
import type { VerificationKey } from './key-set.ts'
import { findKey, type KeySource } from './key-source.ts'
import { verifySignature } from './signature.ts'

export type SignatureKeys = Pick<KeySource, 'find' | 'isCurrent'>

/** Claims that the key has signed; they stand as long as it is in force. */
export interface SignedText {
  readonly claims: JsonObject
  readonly key: VerificationKey
}

export interface SignedTextRules {
  /** JOSE `typ` in lower case, without `application/`: no kind of JWT is taken for another (RFC 8725 §3.11). */
  readonly type: string
  /** Characters. */
  readonly maxLength: number
}

const knownAlgorithms: ReadonlySet<unknown> = new Set(algorithms)

/** The payload is not even parsed before its signature is known to be good. */
export async function verifySignedText(
  text: string,
  rules: SignedTextRules,
  keys: SignatureKeys,
): Promise<SignedText | Refusal> {
  const parts = splitJws(text, rules.maxLength)
  if (typeof parts === 'string') return refuse('token_malformed', parts)
  const header = decodeObject(parts.header)
  if (header === undefined || forbiddenMember(header) !== undefined)
    return refuse('token_malformed', 'header')
  const type = member(header, 'typ')
  if (typeof type !== 'string' || normaliseType(type) !== rules.type)
    return refuse('token_type_refused', `typ is not ${rules.type}`)
  const algorithm = member(header, 'alg')
  if (typeof algorithm !== 'string' || !knownAlgorithms.has(algorithm))
    return refuse('token_algorithm_refused')
  const keyId = member(header, 'kid')
  if (keyId !== undefined && typeof keyId !== 'string') return refuse('token_malformed', 'kid')
  const key = findKey(keys, keyId, algorithm)
  if (isRefusal(key)) return key
  if (!(await verifySignature(text, key.key, key.algorithm)))
    return refuse('token_signature_invalid')
  // The key may have been withdrawn while the signature was checked.
  if (!keys.isCurrent(key)) return refuse('token_key_unknown')
  const claims = decodeObject(parts.payload)
  return claims === undefined ? refuse('token_malformed', 'payload') : { claims, key }
}
