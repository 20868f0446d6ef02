/** The `WWW-Authenticate` challenge of a refusal: RFC 6750 §3, RFC 9110 §11.6.1. */

import type { ChallengeContext } from './decision.ts'
import { type Reason, reasons } from './reasons.ts'

/**
 * `quoted-string` of RFC 9110 §5.6.4. What RFC 6750 §3 allows in an attribute is narrower (no `"` and no `\`), so
 * anything outside printable ASCII or in need of an escape is dropped, not escaped: a header is no place to be clever.
 */
export function quote(text: string): string {
  return `"${text.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '')}"`
}

/** One header value, or undefined where the table says that there is no challenge. */
export function challengeOf(reason: Reason, context: ChallengeContext): string | undefined {
  const { challenge, title } = reasons[reason]
  if (challenge === 'none') return undefined
  const params = [`realm=${quote(context.realm)}`]
  if (challenge !== 'bare') params.push(`error="${challenge}"`, `error_description=${quote(title)}`)
  if (challenge === 'insufficient_scope') params.push(`scope=${quote(context.scopes.join(' '))}`)
  return `Bearer ${params.join(', ')}`
}
