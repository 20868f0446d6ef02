/** What an introspection response says of a token: RFC 7662 §2.2, and RFC 9701 §5 where it is signed. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member, parseStrictJson } from '../strict-json.ts'
import { type IdentitySource, readClaims } from './claims.ts'
import { type SignatureKeys, verifySignedText } from './signed-text.ts'
import type { SignedToken } from './verify.ts'

export interface AnswerSettings {
  /** Name in the policy. */
  readonly name: string
  /** Exact `iss`. */
  readonly issuer: string
  readonly identity: IdentitySource | undefined
}

/**
 * The token that an answer describes, or why there is none: a fact of this answer, whatever the time. `exp`, `nbf`,
 * `iat` and `aud` are judged on every request, as those of a signed token.
 */
export function readAnswer(
  answer: JsonObject,
  { name, issuer, identity }: AnswerSettings,
): SignedToken | Refusal {
  // Neither "true" nor 1: RFC 7662 §2.2 has a boolean.
  if (member(answer, 'active') !== true) return refuse('token_inactive')
  if (Object.hasOwn(answer, 'iss') && member(answer, 'iss') !== issuer)
    return refuse('issuer_unknown')
  const type = member(answer, 'token_type')
  // A refresh token is active too, and no access token (RFC 7662 §4); what `token_type` names is sent as one.
  if (type !== undefined && !isAccessTokenType(type))
    return refuse('token_type_refused', 'token_type')
  if (member(answer, 'aud') === undefined)
    return refuse('audience_mismatch', 'the introspection names no aud')
  const claims = readClaims(completeClaims(answer, issuer), identity)
  if (isRefusal(claims)) return claims
  if (isDpop(type) && !hasKeyThumbprint(claims.confirmation))
    return refuse('claim_invalid', 'token_type is DPoP, and there is no cnf.jkt')
  return Object.freeze({ ...claims, issuer: name, keyId: undefined })
}

/** The endpoint speaks for one issuer; where a client stands for itself, some name it in `client_id` alone. */
function completeClaims(answer: JsonObject, issuer: string): JsonObject {
  const client = member(answer, 'client_id')
  return {
    ...answer,
    iss: issuer,
    ...(Object.hasOwn(answer, 'sub') || client === undefined ? {} : { sub: client }),
  }
}

function isAccessTokenType(type: unknown): boolean {
  return isDpop(type) || (typeof type === 'string' && type.toLowerCase() === 'bearer')
}

function isDpop(type: unknown): boolean {
  return typeof type === 'string' && type.toLowerCase() === 'dpop'
}

/** RFC 9449 §6.2. */
function hasKeyThumbprint(confirmation: unknown): boolean {
  return isJsonObject(confirmation) && Object.hasOwn(confirmation, 'jkt')
}

/** The response's members, or what is wrong with it in fixed words. */
export function readPlainAnswer(bytes: Uint8Array): JsonObject | string {
  return parseStrictJson(bytes) ?? 'not one JSON object in the strict reading'
}

/** JOSE `typ` of a signed response, and its media type after `application/`. */
export const signedAnswerType = 'token-introspection+jwt'
const oldestAnswerSeconds = 300

export interface SignedAnswerRules {
  readonly issuer: string
  readonly clientId: string
  readonly keys: SignatureKeys
  readonly clockSkewSeconds: number
  readonly maxLength: number
}

/**
 * The same of a signed response.
 *
 * @param now Unix seconds.
 */
export async function readSignedAnswer(
  bytes: Uint8Array,
  { issuer, clientId, keys, clockSkewSeconds, maxLength }: SignedAnswerRules,
  now: number,
): Promise<JsonObject | string> {
  const text = Buffer.from(bytes).toString('latin1')
  const signed = await verifySignedText(text, { type: signedAnswerType, maxLength }, keys)
  if (isRefusal(signed))
    return `not signed as it must be: ${signed.refused} ${signed.detail}`.trim()
  const { claims } = signed
  if (member(claims, 'iss') !== issuer) return 'signed response of another `iss`'
  const audience = member(claims, 'aud')
  if (!(Array.isArray(audience) ? audience : [audience]).includes(clientId))
    return 'signed response whose `aud` is not this client'
  const issuedAt = member(claims, 'iat')
  if (typeof issuedAt !== 'number' || issuedAt > now + clockSkewSeconds)
    return 'signed response without `iat`, or from the future'
  if (now - issuedAt > oldestAnswerSeconds) return 'signed response that is over 5 minutes old'
  const answer = member(claims, 'token_introspection')
  return isJsonObject(answer) ? answer : 'signed response without `token_introspection`'
}
