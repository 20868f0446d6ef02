/** From a token's text to a `VerifiedToken`: signature and claims are remembered as facts, time and audience are judged anew. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { countValues, member } from '../strict-json.ts'
import { type CacheState, createTextCache, signature } from '../text-cache.ts'
import type { Algorithm } from './algorithms.ts'
import { type IdentitySource, judgeTime, readClaims, type TokenClaims } from './claims.ts'
import { normaliseType, readJws, type UnverifiedJws } from './jws.ts'
import type { VerificationKey } from './key-set.ts'
import { findKey, type KeySource } from './key-source.ts'
import { verifySignature } from './signature.ts'

declare const verified: unique symbol

interface SignedToken extends TokenClaims {
  /** The issuer's name in the policy. */
  readonly issuer: string
  /** Of the key that verified it, whether or not the token names one. */
  readonly keyId: string | undefined
}

/** A token whose signature, issuer, type, times and audience hold. Only `verifyToken` makes one. */
export interface VerifiedToken extends SignedToken {
  readonly [verified]: true
}

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

/** One issuer with its keys and the facts that they have verified. */
export interface TokenIssuer {
  readonly name: string
  readonly issuer: string
  /** Facts of a text seen before, unless its key has gone since. */
  recall(text: string): TokenFacts | undefined
  /** Facts of a text whose `iss` is this issuer's; concurrent calls for one text share one verification. */
  verify(text: string, jws: UnverifiedJws): Promise<TokenFacts | Refusal>
  readonly cache: CacheState
}

/** True until the key goes: this text carries these claims under this key's signature. */
export interface TokenFacts {
  readonly token: SignedToken
  readonly key: VerificationKey
}

/** What a route asks of any token, and of the tokens of each of its issuers (by name). */
export interface TokenRules {
  readonly clockSkewSeconds: number
  readonly maxAgeSeconds: number
  readonly perIssuer: ReadonlyMap<
    string,
    { readonly audiences: ReadonlySet<string>; readonly maxLifetimeSeconds: number }
  >
}

const maxFactsBytes = 64 * 1024 * 1024
const factOverheadBytes = 2 * 1024
/** What a parsed claim costs beside its text; an empty list is the dearest. */
const bytesPerValue = 64
const maxRejectedBytes = 4 * 1024 * 1024

/** Whether the signature had been verified before. */
type CacheResult = 'hit' | 'miss'

export interface Verification {
  readonly token: VerifiedToken
  readonly cache: CacheResult
}

/**
 * A promise only where the token has not been seen before: for one that has, nothing needs to wait.
 *
 * @param issuers Those that the route takes; the token's `iss` chooses among them and nothing else does.
 * @param now Unix seconds.
 */
export function verifyToken(
  text: string,
  issuers: readonly TokenIssuer[],
  rules: TokenRules,
  now: number,
): Verification | Refusal | Promise<Verification | Refusal> {
  const known = recall(text, issuers)
  if (known !== undefined) return judge(known, rules, now, 'hit')
  return verifyText(text, issuers).then((facts) =>
    isRefusal(facts) ? facts : judge(facts, rules, now, 'miss'),
  )
}

function judge(
  { token }: TokenFacts,
  rules: TokenRules,
  now: number,
  cache: CacheResult,
): Verification | Refusal {
  const limits = rules.perIssuer.get(token.issuer)
  if (limits === undefined) return refuse('issuer_unknown')
  const refusal =
    judgeTime(token, rules, limits.maxLifetimeSeconds, now) ??
    judgeAudience(token.audiences, limits.audiences)
  if (refusal !== undefined) return refusal
  return { token: token as VerifiedToken, cache }
}

function recall(text: string, issuers: readonly TokenIssuer[]): TokenFacts | undefined {
  for (const issuer of issuers) {
    const facts = issuer.recall(text)
    if (facts !== undefined) return facts
  }
  return undefined
}

async function verifyText(
  text: string,
  issuers: readonly TokenIssuer[],
): Promise<TokenFacts | Refusal> {
  const jws = readJws(text)
  if (isRefusal(jws)) return jws
  const iss = member(jws.claims, 'iss')
  if (typeof iss !== 'string') return refuse('claim_invalid', 'iss')
  const issuer = issuers.find((candidate) => candidate.issuer === iss)
  return issuer === undefined ? refuse('issuer_unknown') : issuer.verify(text, jws)
}

function judgeAudience(
  audiences: readonly string[],
  wanted: ReadonlySet<string>,
): Refusal | undefined {
  return audiences.some((audience) => wanted.has(audience))
    ? undefined
    : refuse('audience_mismatch')
}

/** An issuer with caches of its own, so that no fact of one issuer can be found under another. */
export function createTokenIssuer(settings: IssuerSettings, keys: KeySource): TokenIssuer {
  const algorithms = new Set<string>(settings.algorithms)
  const types = new Set(settings.types.filter((type) => type !== 'absent').map(normaliseType))
  const takesNoType = settings.types.includes('absent')
  const facts = createTextCache<TokenFacts>(
    maxFactsBytes,
    (text, { token }) =>
      2 * text.length + bytesPerValue * countValues(token.all) + factOverheadBytes,
    signature,
  )
  /** Texts whose signature a key has refused, with that key. Kept apart: junk cannot push good facts out. */
  const rejected = createTextCache<VerificationKey>(
    maxRejectedBytes,
    (text) => text.length + factOverheadBytes,
    signature,
  )
  const underWay = new Map<string, Promise<TokenFacts | Refusal>>()

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
    const fact: TokenFacts = { token, key }
    facts.set(text, fact)
    return fact
  }

  return {
    name: settings.name,
    issuer: settings.issuer,
    cache: facts,
    recall(text) {
      const known = facts.get(text)
      if (known === undefined || keys.isCurrent(known.key)) return known
      facts.delete(text)
      return undefined
    },
    verify(text, jws) {
      const pending = underWay.get(text)
      if (pending !== undefined) return pending
      const verification = verifyOnce(text, jws).finally(() => underWay.delete(text))
      underWay.set(text, verification)
      return verification
    },
  }
}
