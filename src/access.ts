/** The last stage: may this presenter, with this token, call this route? Least privilege: callers, claims, scopes. */

import { type Refusal, refuse } from './decision/decision.ts'
import type { Presenter } from './evidence/presenter.ts'
import type { CallerMatcher, Requirement } from './policy/requirement.ts'
import { member } from './strict-json.ts'
import type { TokenIssuer, VerifiedToken } from './token/verify.ts'

export function judgeAccess(
  token: VerifiedToken,
  presenter: Presenter | undefined,
  require: Requirement<TokenIssuer>,
): Refusal | undefined {
  if (require.callers !== undefined) {
    if (presenter === undefined) return refuse('presenter_missing', 'callers need the presenter')
    if (!isCaller(presenter.spiffeId, require.callers)) return refuse('caller_refused')
  }
  for (const [name, values] of require.claims) {
    if (!values.has(member(token.all, name))) return refuse('claim_refused')
  }
  for (const scope of require.scopes) {
    if (!token.scopes.has(scope)) return refuse('scope_insufficient')
  }
  return undefined
}

/** IDs compare byte for byte; `/*` takes whole segments only, so /ns/prod never takes /ns/production. */
function isCaller(spiffeId: string, callers: CallerMatcher): boolean {
  return callers.exact.has(spiffeId) || callers.below.some((prefix) => spiffeId.startsWith(prefix))
}
