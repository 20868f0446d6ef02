/** May this presenter, with this token, call this route? Who acts for whom, and least privilege: callers, claims, scopes. */

import { type Refusal, refuse } from './decision/decision.ts'
import type { Presenter } from './evidence/presenter.ts'
import type { CallerMatcher, DelegationRules, Requirement } from './policy/requirement.ts'
import { member } from './strict-json.ts'
import type { TokenIssuer, VerifiedToken } from './token/verify.ts'

/**
 * RFC 8693 §4.1: only the current actor counts, and it must be the workload that presents the token. Actors before it
 * grant nothing; how many there may be, the route says.
 */
export function judgeDelegation(
  token: VerifiedToken | undefined,
  presenter: Presenter | undefined,
  rules: DelegationRules | undefined,
): Refusal | undefined {
  const actors = token?.actors
  if (actors === undefined) return undefined
  if (rules === undefined) return refuse('delegation_refused', 'the route takes no token with act')
  if (actors.length > rules.maxDepth)
    return refuse('delegation_refused', 'more actors than maxDepth')
  if (presenter === undefined) return refuse('presenter_missing', 'delegation needs the presenter')
  if (actors[0] !== presenter.spiffeId) return refuse('actor_mismatch')
  return rules.actors === undefined || isCaller(presenter.spiffeId, rules.actors)
    ? undefined
    : refuse('delegation_refused', 'the actor is not among actors')
}

/** The last stage. */
export function judgeAccess(
  token: VerifiedToken | undefined,
  presenter: Presenter | undefined,
  require: Requirement<TokenIssuer>,
): Refusal | undefined {
  if (require.callers !== undefined) {
    if (presenter === undefined) return refuse('presenter_missing', 'callers need the presenter')
    if (!isCaller(presenter.spiffeId, require.callers)) return refuse('caller_refused')
  }
  for (const [name, values] of require.claims) {
    if (token === undefined || !values.has(member(token.all, name))) return refuse('claim_refused')
  }
  for (const scope of require.scopes) {
    if (token?.scopes.has(scope) !== true) return refuse('scope_insufficient')
  }
  return undefined
}

/** IDs compare byte for byte; `/*` takes whole segments only, so /ns/prod never takes /ns/production. */
function isCaller(spiffeId: string, callers: CallerMatcher): boolean {
  return callers.exact.has(spiffeId) || callers.below.some((prefix) => spiffeId.startsWith(prefix))
}
