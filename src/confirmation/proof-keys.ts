/** What the header of a DPoP proof says, and its key, imported once: a client's proofs all have the same header. */

import type { KeyObject } from 'node:crypto'
import { isJsonObject, member } from '../strict-json.ts'
import { type CacheState, createTextCache, wholeText } from '../text-cache.ts'
import { type Algorithm, algorithms, fitsAlgorithm } from '../token/algorithms.ts'
import { decodeObject, forbiddenMember } from '../token/jws.ts'
import { isSignatureKey } from '../token/key-set.ts'
import { importPublicKey } from '../token/signature.ts'
import { readPublicKey, thumbprint } from './public-key.ts'

/** A proof header that is well-formed; whether its algorithm is taken is the policy's matter. */
export interface ProofHeader {
  readonly algorithm: Algorithm
  /** RFC 7638 thumbprint of its `jwk`. */
  readonly thumbprint: string
  /** The key for `algorithm`; rejects where it is none (a point off the curve). */
  readonly key: () => Promise<KeyObject>
}

export interface ProofKeys {
  /** The header, or what is wrong with it in fixed words (RFC 9449 §4.3, items 4, 5 and 7). */
  read(encodedHeader: string): ProofHeader | string
  /** Keeps a header whose proof has verified: junk cannot push good ones out. */
  keep(encodedHeader: string, header: ProofHeader): void
  readonly cache: CacheState
}

const maxBytes = 32 * 1024 * 1024
/** The imported key lies outside the heap, and takes most of it (`npm run bench:flood` measures both). */
const overheadBytes = 4 * 1024

export function createProofKeys(): ProofKeys {
  const kept = createTextCache<ProofHeader>(
    maxBytes,
    (text) => text.length + overheadBytes,
    wholeText,
  )
  return {
    cache: kept,
    read: (encoded) => kept.get(encoded) ?? readHeader(encoded),
    keep: (encoded, header) => kept.set(encoded, header),
  }
}

/** `typ` compares letter by letter: RFC 9449 §4.2 gives one spelling, and a client has no reason for another. */
function readHeader(encoded: string): ProofHeader | string {
  const header = decodeObject(encoded)
  if (header === undefined) return 'header is not strict base64url JSON'
  const forbidden = forbiddenMember(header)
  if (forbidden !== undefined) return `header member ${forbidden}`
  if (member(header, 'typ') !== 'dpop+jwt') return 'typ is not dpop+jwt'
  const algorithm = algorithms.find((known) => known === member(header, 'alg'))
  if (algorithm === undefined) return 'alg is no asymmetric signature algorithm that is known here'
  const given = member(header, 'jwk')
  const key = readPublicKey(given)
  if (key === undefined || !isJsonObject(given) || !isSignatureKey(given))
    return 'jwk is not a public key'
  if (!fitsAlgorithm(given, algorithm)) return 'jwk does not go with alg'
  const jwk = Object.fromEntries(key)
  let imported: Promise<KeyObject> | undefined
  return {
    algorithm,
    thumbprint: thumbprint(key),
    key: () => {
      imported ??= importPublicKey(jwk, algorithm)
      return imported
    },
  }
}
