/** Reads a compact JWS strictly, before any cryptography: RFC 7515 §3.1, §5.2; RFC 8725 §3. Nothing here is verified. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member, parseStrictJson } from '../strict-json.ts'
import { decodeBase64url } from './base64url.ts'

/** What a JWS says of itself. The claims are unverified: use them to choose the issuer, and for nothing else. */
export interface UnverifiedJws {
  readonly algorithm: string
  readonly keyId: string | undefined
  /** JOSE `typ` in lower case without `application/` (RFC 7515 §4.1.9), or undefined. */
  readonly type: string | undefined
  readonly claims: JsonObject
}

export const maxTokenLength = 16 * 1024
const maxHeaderText = 1024

export function readJws(text: string): UnverifiedJws | Refusal {
  const parts = splitJws(text, maxTokenLength)
  if (typeof parts === 'string') return malformed(parts)
  const header = decodeObject(parts.header)
  const claims = decodeObject(parts.payload)
  if (header === undefined) return malformed('header is not strict base64url JSON')
  if (claims === undefined) return malformed('payload is not strict base64url JSON')
  const forbidden = forbiddenMember(header)
  if (forbidden !== undefined) return malformed(`header member ${forbidden}`)
  const algorithm = shortText(header, 'alg')
  const keyId = shortText(header, 'kid')
  const type = shortText(header, 'typ')
  if (typeof algorithm !== 'string') return malformed('alg is no short string')
  if (keyId === null) return malformed('kid is no short string')
  if (type === null) return malformed('typ is no short string')
  return { algorithm, keyId, type: type === undefined ? undefined : normaliseType(type), claims }
}

/**
 * The same of a JWS that must be of one type, or what is wrong with it in fixed words. No kind of JWT is taken for
 * another (RFC 8725 §3.11).
 *
 * @param type JOSE `typ` in lower case, without `application/`.
 */
export function readTypedJws(
  text: string,
  type: string,
  maxLength: number,
): UnverifiedJws | string {
  if (text.length > maxLength) return `over ${maxLength / 1024} KiB`
  const jws = readJws(text)
  if (isRefusal(jws)) return jws.detail
  return jws.type === type ? jws : `typ is not ${type}`
}

/**
 * Whether a text means to be a signed token, well made or not: then it is judged here and shown to nobody else. Read
 * loosely for that reason. An encrypted one (RFC 7516, five parts with `enc`) says nothing to us, as an opaque text.
 */
export function looksSigned(text: string): boolean {
  const [header = '', ...others] = text.split('.', 4)
  if (others.length === 0) return false
  try {
    const members: unknown = JSON.parse(Buffer.from(header, 'base64url').toString('utf8'))
    if (!isJsonObject(members) || !Object.hasOwn(members, 'alg')) return false
    return others.length === 2 || !Object.hasOwn(members, 'enc')
  } catch {
    return false
  }
}

/** Header and payload of a compact JWS, still encoded, or what is wrong with it in fixed words. */
export function splitJws(
  text: string,
  maxLength: number,
): { readonly header: string; readonly payload: string } | string {
  if (text.length > maxLength) return `over ${maxLength / 1024} KiB`
  const [header, payload, signature, ...others] = text.split('.', 4)
  if (header === undefined || payload === undefined || signature === undefined || others.length > 0)
    return 'not three parts'
  if (decodeBase64url(signature) === undefined) return 'signature is not strict base64url'
  return { header, payload }
}

/**
 * `crit` is refused whatever it names, because nothing that it could name is understood here; so is `b64`, whose
 * meaning hangs on `crit` (RFC 7797 §6), and `zip`. In a token `jwk`, `jku`, `x5u` and `x5c` are never read: it does
 * not bring its own key.
 */
export function forbiddenMember(header: JsonObject): string | undefined {
  return ['crit', 'b64', 'zip'].find((name) => Object.hasOwn(header, name))
}

/** RFC 7515 §4.1.9: `application/` may be left out; media types compare without case (RFC 2045 §5.1). */
export function normaliseType(type: string): string {
  return type.toLowerCase().replace(/^application\//, '')
}

/** One part as a JSON object, or undefined. */
export function decodeObject(part: string): JsonObject | undefined {
  const bytes = decodeBase64url(part)
  return bytes === undefined ? undefined : parseStrictJson(bytes)
}

/** The member's text, undefined if absent, null if it is anything else than a string of reasonable length. */
function shortText(object: JsonObject, name: string): string | undefined | null {
  const value = member(object, name)
  if (value === undefined) return undefined
  return typeof value === 'string' && value.length <= maxHeaderText ? value : null
}

function malformed(detail: string): Refusal {
  return refuse('token_malformed', detail)
}
