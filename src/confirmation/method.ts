/** What a confirmation method is, and the two ways in which one can find another workload than the token's. */

import { type Refusal, refuse } from '../decision/decision.ts'
import type { Presenter } from '../evidence/presenter.ts'
import type { VerifiedToken } from '../token/verify.ts'

export interface ConfirmationMethod<Name extends string = string> {
  /** The name in a policy's `bindings`, in logs and in metrics. */
  readonly name: Name
  /** The `cnf` member that it confirms (RFC 7800 §3.1), or undefined where it confirms the token's identity. */
  readonly member: string | undefined
  /** Undefined when confirmed. `value` is the member's value; undefined for an identity method. */
  confirm(
    value: unknown,
    token: VerifiedToken,
    presenter: Presenter | undefined,
  ): Refusal | undefined
}

/**
 * The presenter's certificate or key is not the one in the token. If the token's identity is the presenter's, the
 * workload rotated its certificate or a sibling replica presents the token; otherwise another workload does.
 */
export function mismatch(token: VerifiedToken, presenter: Presenter): Refusal {
  return refuse(token.identity === presenter.spiffeId ? 'binding_rotated' : 'binding_mismatch')
}
