/** `spiffe`: the token's identity is the presenter's SPIFFE ID, byte for byte (SPIFFE-ID §2, RFC 8725 §3.9). */

import { refuse } from '../decision/decision.ts'
import type { ConfirmationMethod } from './method.ts'

/**
 * Identity binding: it stops a token that was copied to another workload and survives certificate rotation. It does
 * not survive a stolen workload key; no binding does.
 */
export const spiffe: ConfirmationMethod<'spiffe'> = {
  name: 'spiffe',
  member: undefined,
  confirm(_value, { token, presenter }) {
    if (token.identity === undefined)
      return refuse('binding_missing', 'the token carries no SPIFFE ID')
    if (presenter === undefined) return refuse('presenter_missing', 'spiffe needs the presenter')
    return token.identity === presenter.spiffeId ? undefined : refuse('binding_mismatch')
  },
}
