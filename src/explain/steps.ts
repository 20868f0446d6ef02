/** The steps of a check in the order in which they are taken, and the one at which each reason ends it. */

import type { Reason } from '../decision/reasons.ts'
import type { DecisionLine } from './line.ts'

export const stepNames = [
  'question',
  'route',
  'credential',
  'presenter',
  'token',
  'revocation',
  'binding',
  'access',
  'spent',
  'decision',
] as const

export type StepName = (typeof stepNames)[number]

/** Total, so that a new reason does not compile without its step. */
export const stepOfReason: { readonly [reason in Reason]: StepName } = {
  request_malformed: 'question',
  overloaded: 'question',
  not_ready: 'question',
  route_unmatched: 'route',
  path_not_canonical: 'route',
  credential_missing: 'credential',
  credential_malformed: 'credential',
  credential_ambiguous: 'credential',
  presenter_missing: 'presenter',
  presenter_invalid: 'presenter',
  presenter_expired: 'presenter',
  trust_domain_refused: 'presenter',
  evidence_conflict: 'presenter',
  forward_broken: 'presenter',
  forward_too_long: 'presenter',
  token_malformed: 'token',
  token_type_refused: 'token',
  token_algorithm_refused: 'token',
  token_key_unknown: 'token',
  token_signature_invalid: 'token',
  token_expired: 'token',
  token_not_yet_valid: 'token',
  token_lifetime_exceeded: 'token',
  token_too_old: 'token',
  token_inactive: 'token',
  issuer_unknown: 'token',
  audience_mismatch: 'token',
  claim_invalid: 'token',
  keys_unavailable: 'token',
  introspection_unavailable: 'token',
  token_revoked: 'revocation',
  presenter_revoked: 'revocation',
  revocation_stale: 'revocation',
  binding_missing: 'binding',
  binding_unsupported: 'binding',
  binding_malformed: 'binding',
  binding_mismatch: 'binding',
  binding_rotated: 'binding',
  scheme_mismatch: 'binding',
  actor_mismatch: 'binding',
  delegation_refused: 'binding',
  proof_missing: 'binding',
  proof_invalid: 'binding',
  proof_nonce_required: 'binding',
  workload_token_missing: 'binding',
  workload_token_invalid: 'binding',
  workload_token_mismatch: 'binding',
  workload_proof_missing: 'binding',
  workload_proof_invalid: 'binding',
  caller_refused: 'access',
  claim_refused: 'access',
  scope_insufficient: 'access',
  proof_replayed: 'spent',
  workload_proof_replayed: 'spent',
  state_unavailable: 'spent',
  deadline_exceeded: 'decision',
  internal_error: 'decision',
}

export interface End {
  /** The step that shows the failure. */
  readonly failed: StepName
  /** The step during which the check ended: those before it have passed. */
  readonly during: StepName
}

/**
 * Where a deny ended. Three reasons need more than the table: a proof counts as spent once its method is known
 * (`method`); the state is also asked for nonce keys and revocations; and nobody misses a presenter before the
 * binding or the callers ask for one.
 */
export function endOf(line: DecisionLine & { readonly reason: Reason }): End {
  const { reason, method, detail } = line
  const step = stepOfReason[reason]
  if (reason === 'presenter_missing' || reason === 'forward_broken')
    return { failed: step, during: method === null ? 'binding' : 'access' }
  if (reason === 'proof_invalid' && method !== null) return { failed: 'spent', during: 'spent' }
  if (reason === 'state_unavailable' && method === null) {
    const asked = detail?.includes('revocation') === true ? 'revocation' : 'binding'
    return { failed: asked, during: asked }
  }
  return { failed: step, during: step }
}
