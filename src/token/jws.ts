/** Reads a compact JWS strictly, before any cryptography: RFC 7515 §3.1, §5.2; RFC 8725 §3. Nothing here is verified. */

import { type Refusal, refuse } from '../decision/decision.ts'
import { decodeBase64url } from './base64url.ts'
import { type JsonObject, member, parseStrictJson } from './strict-json.ts'

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

/**
 * `crit` is refused whatever it names, because nothing that it could name is understood here; so is `b64`, whose
 * meaning hangs on `crit` (RFC 7797 §6), and `zip`. `jwk`, `jku`, `x5u` and `x5c` are never read: a token does not
 * bring its own key.
 */
export function readJws(text: string): UnverifiedJws | Refusal {
  if (text.length > maxTokenLength) return malformed('over 16 KiB')
  const parts = text.split('.', 4)
  if (parts.length !== 3) return malformed('not three parts')
  const [header, claims] = parts.slice(0, 2).map(decodeObject)
  if (header === undefined) return malformed('header is not strict base64url JSON')
  if (claims === undefined) return malformed('payload is not strict base64url JSON')
  if (decodeBase64url(parts[2] ?? '') === undefined)
    return malformed('signature is not strict base64url')
  for (const name of ['crit', 'b64', 'zip']) {
    if (Object.hasOwn(header, name)) return malformed(`header member ${name}`)
  }
  const algorithm = shortText(header, 'alg')
  const keyId = shortText(header, 'kid')
  const type = shortText(header, 'typ')
  if (typeof algorithm !== 'string') return malformed('alg is no short string')
  if (keyId === null) return malformed('kid is no short string')
  if (type === null) return malformed('typ is no short string')
  return { algorithm, keyId, type: type === undefined ? undefined : normaliseType(type), claims }
}

/** RFC 7515 §4.1.9: `application/` may be left out; media types compare without case (RFC 2045 §5.1). */
export function normaliseType(type: string): string {
  return type.toLowerCase().replace(/^application\//, '')
}

function decodeObject(part: string): JsonObject | undefined {
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
