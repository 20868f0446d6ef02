/** The `WWW-Authenticate` challenge of a refusal: RFC 6750 §3, RFC 9449 §7.1, RFC 9110 §11.6.1. */

import type { AuthorizationScheme, ChallengeContext } from './decision.ts'
import { type Reason, reasons } from './reasons.ts'

/**
 * `quoted-string` of RFC 9110 §5.6.4. What RFC 6750 §3 allows in an attribute is narrower (no `"` and no `\`), so
 * anything outside printable ASCII or in need of an escape is dropped, not escaped: a header is no place to be clever.
 */
export function quote(text: string): string {
  return `"${text.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '')}"`
}

/**
 * One header value, or undefined where the table says that there is no challenge. The error stands on the scheme that
 * failed, the other one is bare (RFC 9449 §7.2); a request that could not be read failed under both (§7.1).
 */
export function challengeOf(reason: Reason, context: ChallengeContext): string | undefined {
  const { challenge } = reasons[reason]
  if (challenge === 'none') return undefined
  const aboutProof = challenge === 'invalid_dpop_proof' || challenge === 'use_dpop_nonce'
  const schemes =
    aboutProof && !context.schemes.includes('DPoP')
      ? [...context.schemes, 'DPoP' as const]
      : context.schemes
  const used =
    context.used !== undefined && schemes.includes(context.used) ? context.used : schemes[0]
  const failed = aboutProof ? 'DPoP' : used
  return schemes
    .map((scheme) => {
      const carriesError = challenge === 'invalid_request' || scheme === failed
      return `${scheme} ${parameters(reason, context, scheme, carriesError).join(', ')}`
    })
    .join(', ')
}

function parameters(
  reason: Reason,
  { realm, scopes, proofAlgorithms }: ChallengeContext,
  scheme: AuthorizationScheme,
  carriesError: boolean,
): string[] {
  const { challenge, title } = reasons[reason]
  const params = [`realm=${quote(realm)}`]
  if (carriesError && challenge !== 'bare') {
    params.push(`error="${challenge}"`, `error_description=${quote(title)}`)
    if (challenge === 'insufficient_scope') params.push(`scope=${quote(scopes.join(' '))}`)
  }
  if (scheme === 'DPoP') params.push(`algs=${quote(proofAlgorithms.join(' '))}`)
  return params
}
