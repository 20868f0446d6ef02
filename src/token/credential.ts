/** The credential of a request: the Authorization header and nothing else (RFC 6750 §2.1, RFC 9449 §7.1). */

import { type Refusal, refuse } from '../decision/decision.ts'
import type { SingleHeader } from '../request.ts'

export interface Credential {
  readonly scheme: 'Bearer' | 'DPoP'
  readonly token: string
}

/** RFC 9110 §11.4: scheme, 1*SP, token68. The scheme is case-insensitive. */
const tokenCredential = /^(bearer|dpop)(?: +([A-Za-z0-9._~+/-]+=*))?$/i
const anyScheme = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |$)/
const tokenScheme = /^(?:bearer|dpop)(?![!#$%&'*+.^_`|~0-9A-Za-z-])/i

/** Tokens in the query, the body or a cookie are never looked at. */
export function readCredential(authorization: SingleHeader): Credential | Refusal {
  if (authorization.kind === 'absent') return refuse('credential_missing')
  if (authorization.kind === 'ambiguous') return refuse('credential_ambiguous')
  const { value } = authorization
  const [, scheme, token] = tokenCredential.exec(value) ?? []
  if (scheme !== undefined && token !== undefined) {
    return { scheme: scheme.toLowerCase() === 'dpop' ? 'DPoP' : 'Bearer', token }
  }
  // Basic, Negotiate and the like are somebody else's credential: for this service none was sent.
  if (anyScheme.test(value) && !tokenScheme.test(value)) {
    return refuse('credential_missing', 'another authentication scheme')
  }
  return refuse('credential_malformed')
}
