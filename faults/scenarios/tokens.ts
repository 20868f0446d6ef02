/** Sound requests with one thing about them changed, for scenarios that ask by hand. */

import type { PresenterFacts, RequestFacts, TokenFacts } from '../facts.ts'

/** The same token, presented over another certificate. */
export function replaced(facts: RequestFacts, presenter: PresenterFacts): RequestFacts {
  return { ...facts, title: `${facts.title}, over another certificate`, presenter }
}

export function withToken(facts: RequestFacts, changes: Partial<TokenFacts>): RequestFacts {
  if (facts.token === undefined) throw new Error('there is no token to change')
  return { ...facts, token: { ...facts.token, ...changes } }
}
