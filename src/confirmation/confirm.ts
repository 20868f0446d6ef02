/** The combination rule, in one place: when a token's binding counts as confirmed (RFC 7800 §3.1, architecture §7). */

import { type Grounds, isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { ReplayStore } from '../state/replay.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import type { ConfirmationInput, ConfirmationMethod, Proof } from './method.ts'
import { type MethodName, methods } from './methods.ts'

declare const confirmed: unique symbol
declare const unspent: unique symbol

/** What a token was let through by: `none` is no method, but the route's own word that an unbound token may pass. */
type MethodOrNone = MethodName | 'none'

/** What a route asks of bindings. */
export interface BindingDemand {
  /** Names of confirmation methods. */
  readonly bindings: ReadonlySet<string>
  /** Whether a token without `cnf` may pass (policy.md, *A token that cannot be bound yet*). */
  readonly unbound: boolean
}

/** A token that belongs to its presenter, or that its route lets pass unbound. Only `spendProof` makes one. */
export interface Confirmed extends Grounds {
  readonly [confirmed]: true
  readonly method: MethodOrNone
}

/** A confirmation that still has to spend its proof, if it rests on one. Only `confirm` makes one. */
export interface Unspent {
  readonly [unspent]: true
  readonly method: MethodOrNone
  readonly proof: Proof | undefined
}

type Method = ConfirmationMethod<MethodName>

const memberMethods: readonly Method[] = methods.filter((method) => method.member !== undefined)
const identityMethods: readonly Method[] = methods.filter((method) => method.member === undefined)

/**
 * Every `cnf` member that is understood must be confirmed, whether the route lists its method or not; at least one
 * method that the route lists must be confirmed; a `cnf` of which nothing is understood refuses. The token's `cnf`
 * selects the check, never the Authorization scheme. Members without a specification here are ignored beside an
 * understood one, as RFC 7800 §3.1 asks.
 */
export function confirm(
  input: ConfirmationInput,
  demand: BindingDemand,
): Unspent | Refusal | Promise<Unspent | Refusal> {
  const understood = readConfirmation(input)
  if (isRefusal(understood)) return understood
  const cnf = input.token.confirmation as JsonObject
  for (const method of understood) {
    const refusal = method.confirm(memberOf(cnf, method), input)
    if (refusal !== undefined) return refusal
  }
  const method = chooseMethod(understood, input, demand)
  if (isRefusal(method)) return method
  const prover = understood.find(({ prove }) => prove !== undefined)
  if (prover?.prove === undefined) return mintUnspent(method, undefined)
  return prover
    .prove(memberOf(cnf, prover), input)
    .then((proof) => (isRefusal(proof) ? proof : mintUnspent(method, proof)))
}

/**
 * The one that the route lists: a member's method, or else the identity. An unbound token has neither: one whose
 * identity is another workload's was stolen, whatever the route lets pass.
 */
function chooseMethod(
  understood: readonly Method[],
  input: ConfirmationInput,
  { bindings, unbound }: BindingDemand,
): MethodOrNone | Refusal {
  const listed = understood.find(({ name }) => bindings.has(name))
  if (listed !== undefined) return listed.name
  const mayPass = unbound && input.token.confirmation === undefined
  const identity = identityMethods.find(({ name }) => bindings.has(name))
  if (identity !== undefined) {
    const refusal = identity.confirm(undefined, input)
    if (refusal === undefined) return identity.name
    return mayPass && refusal.refused === 'binding_missing' ? 'none' : refusal
  }
  if (mayPass) return 'none'
  return understood.length === 0
    ? refuse('binding_missing', 'no cnf')
    : refuse('binding_unsupported', 'the route lists none of the confirmed methods')
}

/** Spent last, after every other check has passed: a request that is refused for another reason may be repeated. */
export function spendProof(
  { method, proof }: Unspent,
  replay: ReplayStore,
  now: number,
): Confirmed | Refusal | Promise<Confirmed | Refusal> {
  if (proof === undefined) return mint(method)
  const { remembersSince } = replay
  if (remembersSince !== undefined && proof.takenFrom <= remembersSince) {
    return refuse('proof_invalid', 'may have been spent before the store began to remember')
  }
  const spending = replay.spend(proof.replayKey, proof.rememberUntil, now)
  return spending instanceof Promise
    ? spending.then((result) => concludeSpending(result, method))
    : concludeSpending(spending, method)
}

function concludeSpending(
  spending: Awaited<ReturnType<ReplayStore['spend']>>,
  method: MethodOrNone,
): Confirmed | Refusal {
  if (spending === 'fresh') return mint(method)
  if (spending === 'spent') return refuse('proof_replayed')
  return refuse('state_unavailable', `the replay store is ${spending}`)
}

/** The methods whose members `cnf` has; none where the token has no `cnf`. Its scheme must be the one that was used. */
function readConfirmation({
  token: { confirmation: cnf },
  credential,
  rules,
}: ConfirmationInput): readonly Method[] | Refusal {
  if (cnf !== undefined && !isJsonObject(cnf))
    return refuse('binding_malformed', 'cnf is not an object')
  const understood = cnf === undefined ? [] : memberMethods.filter((method) => has(cnf, method))
  if (cnf !== undefined && understood.length === 0) {
    return Object.keys(cnf).length === 0
      ? refuse('binding_malformed', 'cnf is empty')
      : refuse('binding_unsupported', 'no member of cnf is understood')
  }
  // Ignoring a member that the policy says nothing about would quietly loosen what the issuer asked for.
  const unconfigured = understood.find(({ isConfigured }) => isConfigured?.(rules) === false)
  if (unconfigured !== undefined) {
    return refuse('binding_unsupported', `the policy has no ${unconfigured.name} section`)
  }
  const scheme = understood.some((method) => method.scheme === 'DPoP') ? 'DPoP' : 'Bearer'
  if (scheme === credential.scheme) return understood
  return refuse(
    'scheme_mismatch',
    scheme === 'DPoP' ? 'a DPoP-bound token under Bearer' : 'the token is not bound to a DPoP key',
  )
}

function has(cnf: JsonObject, { member: name }: Method): boolean {
  return name !== undefined && Object.hasOwn(cnf, name)
}

function memberOf(cnf: JsonObject, { member: name = '' }: Method): unknown {
  return member(cnf, name)
}

function mintUnspent(method: MethodOrNone, proof: Proof | undefined): Unspent {
  return { method, proof } as Unspent
}

function mint(method: MethodOrNone): Confirmed {
  return { method } as Confirmed
}
