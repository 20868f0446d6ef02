/** One issuer of signed tokens: its keys, and the facts of each text that they have verified. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { createSharedWork, createTextCache, signature } from '../text-cache.ts'
import type { Algorithm } from './algorithms.ts'
import { type IdentitySource, readClaims } from './claims.ts'
import { normaliseType, type UnverifiedJws } from './jws.ts'
import type { VerificationKey } from './key-set.ts'
import { findKey, type KeySource } from './key-source.ts'
import { verifySignature } from './signature.ts'
import {
  estimateFactBytes,
  factOverheadBytes,
  maxFactsBytes,
  type SigningIssuer,
  type TokenFacts,
} from './verify.ts'

export interface IssuerSettings {
  /** Name in the policy. */
  readonly name: string
  /** Exact `iss`. */
  readonly issuer: string
  readonly algorithms: readonly Algorithm[]
  /** JOSE `typ` values that are taken; `absent` stands for a header without one. */
  readonly types: readonly string[]
  readonly identity: IdentitySource | undefined
}

/** True until the key goes: this text carries these claims under this key's signature. */
interface SignedFacts extends TokenFacts {
  readonly key: VerificationKey
}

const maxRejectedBytes = 4 * 1024 * 1024

/** An issuer with caches of its own, so that no fact of one issuer can be found under another. */
export function createTokenIssuer(settings: IssuerSettings, keys: KeySource): SigningIssuer {
  const algorithms = new Set<string>(settings.algorithms)
  const types = new Set(settings.types.filter((type) => type !== 'absent').map(normaliseType))
  const takesNoType = settings.types.includes('absent')
  const facts = createTextCache<SignedFacts>(maxFactsBytes, estimateFactBytes, signature)
  /** Texts whose signature a key has refused, with that key. Kept apart: junk cannot push good facts out. */
  const rejected = createTextCache<VerificationKey>(
    maxRejectedBytes,
    (text) => text.length + factOverheadBytes,
    signature,
  )
  const underWay = createSharedWork<TokenFacts | Refusal>()

  async function verifyOnce(text: string, jws: UnverifiedJws): Promise<TokenFacts | Refusal> {
    if (!algorithms.has(jws.algorithm)) return refuse('token_algorithm_refused')
    const typeTaken = jws.type === undefined ? takesNoType : types.has(jws.type)
    if (!typeTaken) return refuse('token_type_refused')
    const key = findKey(keys, jws.keyId, jws.algorithm)
    if (isRefusal(key)) return key
    if (rejected.get(text) === key) return refuse('token_signature_invalid')
    if (!(await verifySignature(text, key.key, key.algorithm))) {
      rejected.set(text, key)
      return refuse('token_signature_invalid')
    }
    // The key may have been withdrawn while the signature was checked.
    if (!keys.isCurrent(key)) return refuse('token_key_unknown')
    const claims = readClaims(jws.claims, settings.identity)
    if (isRefusal(claims)) return claims
    const token = Object.freeze({ ...claims, issuer: settings.name, keyId: key.keyId ?? jws.keyId })
    const fact: SignedFacts = { token, key }
    facts.set(text, fact)
    return fact
  }

  return {
    kind: 'keys',
    name: settings.name,
    issuer: settings.issuer,
    cache: facts,
    recall(text) {
      const known = facts.get(text)
      if (known === undefined || keys.isCurrent(known.key)) return known
      facts.delete(text)
      return undefined
    },
    verify: (text, jws) => underWay.take(text, () => verifyOnce(text, jws)),
  }
}
