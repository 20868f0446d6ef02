/** One decision explained: the way step by step, why it ended where it did, and what to look at. */

import { type Reason, reasons } from '../decision/reasons.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { DecisionLine } from './line.ts'
import { lookUp, type PolicyKey } from './policy-look.ts'
import { tellSpan } from './times.ts'
import { type Step, walk } from './way.ts'

export interface Explanation {
  readonly decision: 'allow' | 'deny'
  /** What Envoy was told: a deny that is not enforced allows. */
  readonly told_envoy: 'allow' | 'deny'
  readonly mode: string
  /** Null where the decision was made here: no log has it. */
  readonly decision_id: string | null
  readonly time: string
  readonly failure: Failure | null
  readonly steps: readonly Step[]
  /** What follows from the whole, in sentences. */
  readonly notes: readonly string[]
  readonly policy: PolicyView | null
}

export interface Failure {
  readonly reason: Reason
  readonly title: string
  readonly detail: string | null
  readonly advice: string
  readonly spec: string
}

/** How the policy at hand goes with the one that decided. */
export interface PolicyView {
  readonly name: string
  readonly revision: string
  /** Empty where no policy was looked at. */
  readonly decided_under: string
  readonly look_at: readonly PolicyKey[]
}

export interface Material {
  readonly line: DecisionLine
  readonly policy: { readonly document: PolicyDocument; readonly revision: string } | undefined
  /** What the token says of itself, where it is at hand. */
  readonly claims?: readonly string[]
  readonly judgedHere: boolean
}

export function explain({ line, policy, claims, judgedHere }: Material): Explanation {
  const document = policy?.document
  return {
    decision: line.decision,
    told_envoy: line.decision === 'deny' && line.enforced ? 'deny' : 'allow',
    mode: line.mode,
    decision_id: judgedHere ? null : line.decision_id,
    time: line.time,
    failure: line.reason === null ? null : failureOf(line.reason, line.detail),
    steps: walk(line, { policy: document, claims, judgedHere }),
    notes: [...noteBinding(line, document), ...noteMode(line), ...noteProof(line, judgedHere)],
    policy:
      policy === undefined
        ? null
        : {
            name: policy.document.metadata.name,
            revision: policy.revision,
            decided_under: line.policy_revision,
            look_at: lookUp(line, policy.document),
          },
  }
}

function failureOf(reason: Reason, detail: string | null): Failure {
  const { title, advice, spec } = reasons[reason]
  return { reason, title, detail, advice, spec }
}

/** Rotation and theft look alike from afar: another certificate than the token's. The identity tells them apart. */
function noteBinding(line: DecisionLine, policy: PolicyDocument | undefined): readonly string[] {
  const { reason, token, presenter } = line
  if (token === null) return []
  if (reason === 'binding_rotated') return noteRotation(line, policy)
  if (reason !== 'binding_mismatch') return []
  const bySignature = token.confirmation.every((name) => name === 'jkt')
  if (presenter === null || (bySignature && token.confirmation.length > 0))
    return ['The token is bound to another key than the one that signed this request.']
  return [
    `The token was issued to ${token.subject}, and ${presenter.spiffe_id} presented it.`,
    noteIdentity(token.issuer, policy),
  ]
}

/** Whether the mismatch could still be a rotation. */
function noteIdentity(issuer: string, policy: PolicyDocument | undefined): string {
  if (policy === undefined)
    return 'A renewed certificate of the same workload would be `binding_rotated`, if the policy says what the issuer’s `identity` is.'
  return policy.spec.issuers[issuer]?.identity === undefined
    ? 'The issuer has no `identity` in the policy, so a renewed certificate of the same workload would look the same.'
    : 'A renewed certificate of the same workload would have been `binding_rotated`: this is another workload.'
}

function noteRotation(line: DecisionLine, policy: PolicyDocument | undefined): readonly string[] {
  const { presenter, token, time, route } = line
  const left = (token?.expires_at ?? 0) - Date.parse(time) / 1000
  const what = `${presenter?.spiffe_id ?? 'The presenter'} is the workload that the token was issued to, with another certificate: it was renewed, or a sibling replica presents the token. Unused, the token would have lived ${tellSpan(Math.max(left, 0))} longer.`
  const require = policy?.spec.routes.find(({ name }) => name === route)?.require
  if (require === undefined || require === 'none') return [what]
  return [
    what,
    require.rotation === undefined
      ? 'The route grants no grace; `require.rotation` would, to a certificate that was issued after the token.'
      : `The route grants a grace of ${require.rotation.grace}; this certificate is older than the token, was renewed longer ago, or was shown by its hash alone, which has no dates.`,
  ]
}

function noteMode({ mode, enforced, reason, withheld }: DecisionLine): readonly string[] {
  if (mode === 'disabled')
    return ['Mode disabled: nothing was looked at, and Envoy was told to allow.']
  if (mode !== 'audit' || enforced) return []
  if (reason !== null)
    return ['Mode audit: the refusal was recorded, and Envoy was told to allow the request.']
  const { set = [], remove = [] } = withheld ?? {}
  const changes = [
    ...(set.length === 0 ? [] : [`set ${set.join(', ')}`]),
    ...(remove.length === 0 ? [] : [`removed ${remove.join(', ')}`]),
  ]
  return changes.length === 0
    ? []
    : [`Mode audit: enforce would also have ${changes.join(' and ')}.`]
}

/** What cannot be known away from the server. */
function noteProof({ reason }: DecisionLine, judgedHere: boolean): readonly string[] {
  return judgedHere && reason === 'proof_nonce_required'
    ? ['Nonces are known here only by the key of the server that issued them: --nonce-key-file.']
    : []
}
