/** From a token's text to a `VerifiedToken`: signature and claims are remembered as facts, time and audience are judged anew. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { countValues, member } from '../strict-json.ts'
import type { CacheState } from '../text-cache.ts'
import { judgeTime, type TokenClaims } from './claims.ts'
import { looksSigned, maxTokenLength, readJws, type UnverifiedJws } from './jws.ts'

declare const verified: unique symbol

export interface SignedToken extends TokenClaims {
  /** The issuer's name in the policy. */
  readonly issuer: string
  /** Of the key that verified it, whether or not the token names one; undefined where the issuer was asked. */
  readonly keyId: string | undefined
}

/** A token whose signature (or introspection), issuer, type, times and audience hold. Only `verifyToken` makes one. */
export interface VerifiedToken extends SignedToken {
  readonly [verified]: true
}

/** One issuer with what it answers for: its keys, or its introspection endpoint, and the facts that they have verified. */
export type TokenIssuer = SigningIssuer | Introspector

interface Remembering {
  readonly name: string
  readonly issuer: string
  /**
   * Facts of a text seen before that still stand: its key is in the set, its introspection is young enough.
   *
   * @param now Unix seconds.
   */
  recall(text: string, now: number): TokenFacts | undefined
  readonly cache: CacheState
}

export interface SigningIssuer extends Remembering {
  readonly kind: 'keys'
  /** Facts of a text whose `iss` is this issuer's; concurrent calls for one text share one verification. */
  verify(text: string, jws: UnverifiedJws): Promise<TokenFacts | Refusal>
}

/** Asks the issuer what a text means (RFC 7662). */
export interface Introspector extends Remembering {
  readonly kind: 'introspection'
  /** Concurrent questions about one text share one call, which goes on when the time of this one is over. */
  introspect(text: string, now: number, leftMs: number): Promise<TokenFacts | Refusal>
}

/** What the issuer says of a text, by its signature or by its answer. */
export interface TokenFacts {
  readonly token: SignedToken
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

/** Of the time that an answer has; what came before has taken some of it. */
export interface TimeLeft {
  leftMs(): number
}
export const unlimited: TimeLeft = { leftMs: () => Number.POSITIVE_INFINITY }

export const maxFactsBytes = 64 * 1024 * 1024
export const factOverheadBytes = 2 * 1024
/** What a parsed claim costs beside its text; an empty list is the dearest. */
const bytesPerValue = 64

/** Whether the facts were known before. */
type CacheResult = 'hit' | 'miss'

export interface Verification {
  readonly token: VerifiedToken
  readonly cache: CacheResult
}

/**
 * A promise only where the token has not been seen before: for one that has, nothing needs to wait.
 *
 * @param issuers Those that the route takes, at most one introspector among them; a token's `iss` chooses, and a text
 *   that has none goes to the introspector.
 * @param now Unix seconds.
 * @param time How long an introspector may be waited for, asked when it comes to that.
 */
export function verifyToken(
  text: string,
  issuers: readonly TokenIssuer[],
  rules: TokenRules,
  now: number,
  time: TimeLeft = unlimited,
): Verification | Refusal | Promise<Verification | Refusal> {
  const known = recall(text, issuers, now)
  if (known !== undefined) return judge(known, rules, now, 'hit')
  return verifyText(text, issuers, now, time).then((facts) =>
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

function recall(
  text: string,
  issuers: readonly TokenIssuer[],
  now: number,
): TokenFacts | undefined {
  for (const issuer of issuers) {
    const facts = issuer.recall(text, now)
    if (facts !== undefined && !isForKeys(issuer, text, issuers)) return facts
  }
  return undefined
}

/** A signed token that the route has keys for: what the endpoint of its issuer said of it elsewhere does not count. */
function isForKeys(issuer: TokenIssuer, text: string, issuers: readonly TokenIssuer[]): boolean {
  if (issuer.kind === 'keys') return false
  const twin = issuers.some((other) => other.kind === 'keys' && other.issuer === issuer.issuer)
  return twin && looksSigned(text)
}

/**
 * A text in the form of a signed token is read strictly and never sent where it does not belong: only one that names
 * the introspector as its issuer, or nobody, goes there, and that only where the route has no keys of that issuer. What is no signed token means something to the introspector
 * alone (RFC 7662 §1).
 */
async function verifyText(
  text: string,
  issuers: readonly TokenIssuer[],
  now: number,
  time: TimeLeft,
): Promise<TokenFacts | Refusal> {
  const introspector = issuers.find((candidate) => candidate.kind === 'introspection')
  if (introspector !== undefined && text.length <= maxTokenLength && !looksSigned(text))
    return introspector.introspect(text, now, time.leftMs())
  const jws = readJws(text)
  if (isRefusal(jws)) return jws
  const iss = member(jws.claims, 'iss')
  const issuer = issuers.find((candidate) => candidate.kind === 'keys' && candidate.issuer === iss)
  if (issuer?.kind === 'keys') return issuer.verify(text, jws)
  if (introspector !== undefined && (iss === undefined || iss === introspector.issuer))
    return introspector.introspect(text, now, time.leftMs())
  return typeof iss === 'string' ? refuse('issuer_unknown') : refuse('claim_invalid', 'iss')
}

function judgeAudience(
  audiences: readonly string[],
  wanted: ReadonlySet<string>,
): Refusal | undefined {
  return audiences.some((audience) => wanted.has(audience))
    ? undefined
    : refuse('audience_mismatch')
}

/** What a fact takes in a cache, key and text included. */
export function estimateFactBytes(text: string, { token }: TokenFacts): number {
  return 2 * text.length + bytesPerValue * countValues(token.all) + factOverheadBytes
}
