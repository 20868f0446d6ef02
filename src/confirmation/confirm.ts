/** The combination rule, in one place: when a token's binding counts as confirmed (RFC 7800 §3.1, architecture §7). */

import { type Grounds, isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { ReplayStore } from '../state/replay.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import type { Credential } from '../token/credential.ts'
import type { VerifiedToken } from '../token/verify.ts'
import type {
  ConfirmationInput,
  ConfirmationMethod,
  Proof,
  ProvenWorkload,
  WorkloadQuestion,
} from './method.ts'
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

/** A confirmation that still has to spend the proofs that it rests on. Only `confirm` makes one. */
export interface Unspent {
  readonly [unspent]: true
  readonly method: MethodOrNone
  readonly proofs: readonly Proof[]
}

/** What `confirm` looks at: a route that names no issuer takes no token, and then there is none. */
export interface Presented extends Omit<ConfirmationInput, 'token' | 'credential'> {
  readonly token: VerifiedToken | undefined
  readonly credential: Credential | undefined
}

type Method = ConfirmationMethod<MethodName>
type Spending = Awaited<ReturnType<ReplayStore['spend']>>

const memberMethods: readonly Method[] = methods.filter((method) => method.member !== undefined)
const identityMethods: readonly Method[] = methods.filter((method) => method.member === undefined)
const workloadMethods: readonly Method[] = methods.filter(
  (method: Method) => method.proveWorkload !== undefined,
)
const noProofs: readonly Proof[] = []

/** The workload that proves itself by a method that the route lists, if the request shows one; undefined if none. */
export function proveWorkload(
  question: WorkloadQuestion,
  { bindings }: BindingDemand,
): ProvenWorkload | undefined | Refusal | Promise<ProvenWorkload | Refusal> {
  for (const { name, proveWorkload: prove } of workloadMethods) {
    const proven = bindings.has(name) ? prove?.(question) : undefined
    if (proven !== undefined) return proven
  }
  return undefined
}

/**
 * Every `cnf` member that is understood must be confirmed, whether the route lists its method or not; at least one
 * method that the route lists must be confirmed; a `cnf` of which nothing is understood refuses. The token's `cnf`
 * selects the check, never the Authorization scheme. Members without a specification here are ignored beside an
 * understood one, as RFC 7800 §3.1 asks.
 */
export function confirm(
  input: Presented,
  demand: BindingDemand,
): Unspent | Refusal | Promise<Unspent | Refusal> {
  const shown = input.workload === undefined ? noProofs : [input.workload.proof]
  if (!hasToken(input)) return confirmWorkload(input, demand, shown)
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
  if (prover?.prove === undefined) return mintUnspent(method, shown)
  return prover
    .prove(memberOf(cnf, prover), input)
    .then((proof) => (isRefusal(proof) ? proof : mintUnspent(method, [...shown, proof])))
}

function hasToken(input: Presented): input is ConfirmationInput {
  return input.token !== undefined && input.credential !== undefined
}

/** Without a token the workload itself is all that there is to confirm. */
function confirmWorkload(
  { workload }: Presented,
  { bindings }: BindingDemand,
  shown: readonly Proof[],
): Unspent | Refusal {
  const method = workloadMethods.find(({ name }) => bindings.has(name))
  return workload === undefined || method === undefined
    ? refuse('workload_token_missing')
    : mintUnspent(method.name, shown)
}

/**
 * The one that the route lists: a member's method, or else the first identity that is confirmed. An unbound token has
 * neither: one whose identity is another workload's was stolen, whatever the route lets pass.
 */
function chooseMethod(
  understood: readonly Method[],
  input: ConfirmationInput,
  { bindings, unbound }: BindingDemand,
): MethodOrNone | Refusal {
  const listed = understood.find(({ name }) => bindings.has(name))
  if (listed !== undefined) return listed.name
  let refusal: Refusal | undefined
  for (const method of identityMethods) {
    if (!bindings.has(method.name)) continue
    const found = confirmIdentity(method, understood, input)
    if (found === undefined) return method.name
    if (refusal === undefined || refusal.refused === 'workload_token_missing') refusal = found
  }
  const mayPass = unbound && input.token.confirmation === undefined
  if (mayPass && (refusal === undefined || isUnbindable(input.token, refusal))) return 'none'
  // Where a token may be bound in several ways, a WIT that is not there is no better reason than a cnf that is not.
  const oneWay = bindings.size === 1
  if (refusal !== undefined && (oneWay || refusal.refused !== 'workload_token_missing'))
    return refusal
  return understood.length === 0
    ? refuse('binding_missing', 'no cnf')
    : refuse('binding_unsupported', 'the route lists none of the confirmed methods')
}

/** Nothing to go by: but a token that names its workload could have come with that one's proof, and must. */
function isUnbindable({ identity }: VerifiedToken, { refused }: Refusal): boolean {
  return (
    refused === 'binding_missing' ||
    (refused === 'workload_token_missing' && identity === undefined)
  )
}

/** A workload that has proved itself may carry any token whose own `cnf` is confirmed. */
function confirmIdentity(
  method: Method,
  understood: readonly Method[],
  input: ConfirmationInput,
): Refusal | undefined {
  const proven = method.proveWorkload !== undefined && input.workload !== undefined
  return proven && understood.length > 0 ? undefined : method.confirm(undefined, input)
}

/** Spent last, after every other check has passed: a request that is refused for another reason may be repeated. */
export function spendProof(
  { method, proofs }: Unspent,
  replay: ReplayStore,
  now: number,
): Confirmed | Refusal | Promise<Confirmed | Refusal> {
  const [proof, ...others] = proofs
  if (proof === undefined) return mint(method)
  const { remembersSince } = replay
  if (remembersSince !== undefined && proof.takenFrom <= remembersSince) {
    return refuse(proof.reasons.invalid, 'may have been spent before the store began to remember')
  }
  const rest = mintUnspent(method, others)
  const conclude = (result: Spending) =>
    result === 'fresh' ? spendProof(rest, replay, now) : unspendable(result, proof)
  const spending = replay.spend(proof.replayKey, proof.rememberUntil, now)
  return spending instanceof Promise ? spending.then(conclude) : conclude(spending)
}

function unspendable(result: Exclude<Spending, 'fresh'>, { reasons }: Proof): Refusal {
  return result === 'spent'
    ? refuse(reasons.replayed)
    : refuse('state_unavailable', `the replay store is ${result}`)
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

function mintUnspent(method: MethodOrNone, proofs: readonly Proof[]): Unspent {
  return { method, proofs } as Unspent
}

function mint(method: MethodOrNone): Confirmed {
  return { method } as Confirmed
}
