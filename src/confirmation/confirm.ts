/** The combination rule, in one place: when a token's binding counts as confirmed (RFC 7800 §3.1, architecture §7). */

import { type Grounds, isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { Presenter } from '../evidence/presenter.ts'
import type { Credential } from '../token/credential.ts'
import { isJsonObject, member } from '../token/strict-json.ts'
import type { VerifiedToken } from '../token/verify.ts'
import type { ConfirmationMethod } from './method.ts'
import { type MethodName, methods, unconfirmableMembers } from './methods.ts'

declare const confirmed: unique symbol

/** A token that belongs to its presenter. Only `confirm` makes one. */
export interface Confirmed extends Grounds {
  readonly [confirmed]: true
  readonly method: MethodName
}

type Method = ConfirmationMethod<MethodName>

const all: readonly Method[] = methods
const identityMethods = all.filter((method) => method.member === undefined)

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
  const understood = readConfirmation(token.confirmation)
  if (isRefusal(understood)) return understood
  if (scheme === 'DPoP') return refuse('scheme_mismatch', 'the token is not bound to a DPoP key')
  for (const { method, value } of understood) {
    const refusal = method.confirm(value, token, presenter)
    if (refusal !== undefined) return refusal
  }
  const listed = understood.find(({ method }) => bindings.has(method.name))
  if (listed !== undefined) return mint(listed.method.name)
  const identity = identityMethods.find((method) => bindings.has(method.name))
  if (identity !== undefined) {
    return identity.confirm(undefined, token, presenter) ?? mint(identity.name)
  }
  return token.confirmation === undefined
    ? refuse('binding_missing', 'no cnf')
    : refuse('binding_unsupported', 'the route lists none of the confirmed methods')
}

/** The methods whose members `cnf` has, each with its value; none where the token has no `cnf`. */
function readConfirmation(cnf: unknown): readonly { method: Method; value: unknown }[] | Refusal {
  if (cnf === undefined) return []
  if (!isJsonObject(cnf)) return refuse('binding_malformed', 'cnf is not an object')
  if (Object.keys(cnf).length === 0) return refuse('binding_malformed', 'cnf is empty')
  const unconfirmable = unconfirmableMembers.find((name) => Object.hasOwn(cnf, name))
  if (unconfirmable !== undefined) return refuse('binding_unsupported', `cnf.${unconfirmable}`)
  const understood = all.flatMap((method) =>
    method.member !== undefined && Object.hasOwn(cnf, method.member)
      ? [{ method, value: member(cnf, method.member) }]
      : [],
  )
  return understood.length > 0
    ? understood
    : refuse('binding_unsupported', 'no member of cnf is understood')
}

function mint(method: MethodName): Confirmed {
  return { method } as Confirmed
}
