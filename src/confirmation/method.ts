/** What a confirmation method is, what it may look at, and what it can find. */

import { type Refusal, refuse } from '../decision/decision.ts'
import type { Reason } from '../decision/reasons.ts'
import type { Presenter } from '../evidence/presenter.ts'
import type { SpiffeId } from '../evidence/spiffe-id.ts'
import type { Request } from '../request.ts'
import type { Credential } from '../token/credential.ts'
import type { VerifiedToken } from '../token/verify.ts'
import type { NonceKeeper } from './nonce.ts'
import type { ProofKeys } from './proof-keys.ts'
import type { WorkloadTokens } from './wit.ts'

export interface ConfirmationMethod<Name extends string = string> {
  /** The name in a policy's `bindings`, in logs and in metrics. */
  readonly name: Name
  /** The `cnf` member that it confirms (RFC 7800 §3.1), or undefined where it confirms the token's identity. */
  readonly member: string | undefined
  /** Whether the route's policy says what the method needs; a method without this needs nothing. */
  readonly isConfigured?: (rules: BindingRules) => boolean
  /** The authorization scheme of tokens that it binds, where that is not Bearer. */
  readonly scheme?: 'DPoP'
  /** Undefined when confirmed. `value` is the member's value; undefined for an identity method. */
  confirm(value: unknown, input: ConfirmationInput): Refusal | undefined
  /** The second half of a method that rests on a signed proof; asked after every `confirm` has passed. */
  readonly prove?: (value: unknown, input: ConfirmationInput) => Promise<Proof | Refusal>
  /**
   * For a method that proves the workload itself, asked before any token is looked at, where the route lists the
   * method. Undefined where the request shows nothing of the kind.
   */
  readonly proveWorkload?: (
    question: WorkloadQuestion,
  ) => ProvenWorkload | undefined | Refusal | Promise<ProvenWorkload | Refusal>
}

/** A workload that has proved its key in this request. */
export interface ProvenWorkload {
  readonly spiffeId: SpiffeId
  /** Of its token, where that says so; Unix seconds. */
  readonly issuedAt: number | undefined
  readonly proof: Proof
}

export interface WorkloadQuestion {
  readonly request: Pick<
    Request,
    'path' | 'authorization' | 'dpop' | 'workloadToken' | 'workloadProof' | 'transactionToken'
  >
  /** Undefined where the route takes no token. */
  readonly credential: Credential | undefined
  /** Whom the connection shows. */
  readonly presenter: Presenter | undefined
  readonly rules: BindingRules
  readonly tokens: WorkloadTokens | undefined
  /** Unix seconds. */
  readonly now: number
}

/** A proof that has passed every check but the last: that it was not used before. */
export interface Proof {
  /** What it is remembered by. */
  readonly replayKey: string
  /** No check would have taken it before; Unix seconds. A client's clock may run ahead. */
  readonly takenFrom: number
  /** A clock skew longer than any check would take it, because the clocks of replicas differ; Unix seconds. */
  readonly rememberUntil: number
  /** What is answered where it cannot be taken after all. */
  readonly reasons: { readonly invalid: Reason; readonly replayed: Reason }
}

export interface ConfirmationInput {
  readonly token: VerifiedToken
  readonly credential: Credential
  readonly presenter: Presenter | undefined
  /** The workload that proved itself, where one did: the presenter, too. */
  readonly workload?: ProvenWorkload | undefined
  readonly request: Pick<Request, 'method' | 'path' | 'dpop'>
  readonly rules: BindingRules
  readonly proofs: ProofTools
  /** Unix seconds. */
  readonly now: number
}

/** What a route asks of bindings. */
export interface BindingRules {
  /** The policy's name: the same proof may be spent once under each policy. */
  readonly policy: string
  readonly clockSkewSeconds: number
  readonly rotation: RotationRules | undefined
  readonly dpop: DpopRules | undefined
  readonly wimse: WimseRules | undefined
}

export interface RotationRules {
  readonly graceSeconds: number
  /** How far back meshes date a new certificate. */
  readonly backdateSeconds: number
}

export interface DpopRules {
  /** Normalised: see target.ts. */
  readonly origins: ReadonlySet<string>
  readonly maxAgeSeconds: number
  readonly nonce: 'disabled' | 'optional' | 'required'
  readonly algorithms: readonly string[]
}

export interface WimseRules {
  /** What `aud` of a WPT may be; exact. */
  readonly audiences: ReadonlySet<string>
  /** Those of them that are an origin: the target URI below it will do as well. Normalised: see target.ts. */
  readonly origins: ReadonlySet<string>
  /** How far ahead `exp` of a WPT may lie. */
  readonly maxLifetimeSeconds: number
}

/** The live parts that proofs need. */
export interface ProofTools {
  readonly keys: ProofKeys
  readonly nonces: NonceKeeper
}

/**
 * The presenter's certificate or key is not the one in the token. If the token's identity is the presenter's, the
 * workload rotated its certificate or a sibling replica presents the token; otherwise another workload does.
 */
export function mismatch(token: VerifiedToken, presenter: Presenter): Refusal {
  return refuse(token.identity === presenter.spiffeId ? 'binding_rotated' : 'binding_mismatch')
}
