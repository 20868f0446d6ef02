/** The credential of a request: the Authorization header and nothing else (RFC 6750 §2.1, RFC 9449 §7.1). */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { SingleHeader } from '../request.ts'

export interface Credential {
  readonly scheme: 'Bearer' | 'DPoP'
  readonly token: string
}

/** RFC 9110 §11.4: scheme, 1*SP, token68. The scheme is case-insensitive. */
const token68 = /^[A-Za-z0-9._~+/-]+=*$/
const leadingSpaces = /^ +/
const anyScheme = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |$)/
const tokenScheme = /^(?:bearer|dpop)(?![!#$%&'*+.^_`|~0-9A-Za-z-])/i

/** The scheme that takes a token here, if a space follows it. */
function schemeOf(value: string): Credential['scheme'] | undefined {
  if (value.startsWith('Bearer ')) return 'Bearer'
  if (value.startsWith('DPoP ')) return 'DPoP'
  const [, name] = /^(bearer|dpop) /i.exec(value) ?? []
  if (name === undefined) return undefined
  return name.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer'
}

/** Tokens in the query, the body or a cookie are never looked at. */
export function readCredential(authorization: SingleHeader): Credential | Refusal {
  if (authorization.kind === 'absent') return refuse('credential_missing')
  if (authorization.kind === 'ambiguous') return refuse('credential_ambiguous')
  const { value } = authorization
  const scheme = schemeOf(value)
  if (scheme !== undefined) {
    const token = value.slice(scheme.length).replace(leadingSpaces, '')
    if (token68.test(token)) return { scheme, token }
  }
  // Basic, Negotiate and the like are somebody else's credential: for this service none was sent.
  if (anyScheme.test(value) && !tokenScheme.test(value)) {
    return refuse('credential_missing', 'another authentication scheme')
  }
  return refuse('credential_malformed')
}

/** On a route that names no issuer, whoever sends a token means it for somebody: nobody here could vouch for it. */
export function refuseToken(authorization: SingleHeader): undefined | Refusal {
  const credential = readCredential(authorization)
  if (!isRefusal(credential)) return refuse('issuer_unknown', 'the route takes no access token')
  return credential.refused === 'credential_missing' ? undefined : credential
}
