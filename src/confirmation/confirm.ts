/** The combination rule, in one place: when a token's binding counts as confirmed (RFC 7800 §3.1, architecture §7). */

import { type Grounds, isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { Presenter } from '../evidence/presenter.ts'
import type { Credential } from '../token/credential.ts'
import { isJsonObject, type JsonObject, member } from '../token/strict-json.ts'
import type { VerifiedToken } from '../token/verify.ts'
import type { ConfirmationMethod } from './method.ts'
import { type MethodName, methods, unconfirmableMembers } from './methods.ts'

declare const confirmed: unique symbol

/** A token that belongs to its presenter. Only `confirm` makes one. */
export interface Confirmed extends Grounds {
  readonly [confirmed]: true
  readonly method: MethodName
}

const memberMethods: readonly ConfirmationMethod<MethodName>[] = methods.filter(
  (m) => m.member !== undefined,
)
const identityMethods: readonly ConfirmationMethod<MethodName>[] = methods.filter(
  (m) => m.member === undefined,
)

/**
 * Every `cnf` member that is understood must be confirmed, whether the route lists its method or not; at least one
 * method that the route lists must be confirmed; a `cnf` of which nothing is understood refuses. The token's `cnf`
 * selects the check, never the Authorization scheme. Members without a specification here are ignored beside an
 * understood one, as RFC 7800 §3.1 asks.
 */
export function confirm(
  token: VerifiedToken,
  presenter: Presenter | undefined,
  scheme: Credential['scheme'],
  bindings: ReadonlySet<string>,
): Confirmed | Refusal {
  if (token.delegated) return refuse('delegation_refused')
  const cnf = readConfirmation(token.confirmation)
  if (isRefusal(cnf)) return cnf
  if (scheme === 'DPoP') return refuse('scheme_mismatch', 'the token is not bound to a DPoP key')
  const understood = memberMethods.filter(
    (m) => cnf !== undefined && m.member !== undefined && Object.hasOwn(cnf, m.member),
  )
  for (const method of understood) {
    const refusal = method.confirm(member(cnf ?? {}, method.member ?? ''), token, presenter)
    if (refusal !== undefined) return refusal
  }
  const listed = understood.find((m) => bindings.has(m.name))
  if (listed !== undefined) return mint(listed.name)
  const identity = identityMethods.find((m) => bindings.has(m.name))
  if (identity !== undefined)
    return identity.confirm(undefined, token, presenter) ?? mint(identity.name)
  return cnf === undefined
    ? refuse('binding_missing', 'no cnf')
    : refuse('binding_unsupported', 'the route lists none of the confirmed methods')
}

/** `cnf` as an object with something in it that can be confirmed, undefined if the token has none. */
function readConfirmation(value: unknown): JsonObject | undefined | Refusal {
  if (value === undefined) return undefined
  if (!isJsonObject(value)) return refuse('binding_malformed', 'cnf is not an object')
  if (Object.keys(value).length === 0) return refuse('binding_malformed', 'cnf is empty')
  const unconfirmable = unconfirmableMembers.find((name) => Object.hasOwn(value, name))
  if (unconfirmable !== undefined) return refuse('binding_unsupported', `cnf.${unconfirmable}`)
  const understood = memberMethods.some(
    (m) => m.member !== undefined && Object.hasOwn(value, m.member),
  )
  return understood ? value : refuse('binding_unsupported', 'no member of cnf is understood')
}

function mint(method: MethodName): Confirmed {
  return { method } as Confirmed
}
