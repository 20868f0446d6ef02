/**
 * THE STORY. Envoy asks about a request; meshbind establishes which workload presents the token, verifies the token,
 * and allows only if the token is bound to that workload.
 */

import { judgeAccess, judgeDelegation } from './access.ts'
import { allow, beginWay, deny, stanceBeforeRoute } from './answer.ts'
import { confirm, spendProof } from './confirmation/confirm.ts'
import type { ProofTools } from './confirmation/method.ts'
import { type Decision, isRefusal, refuse } from './decision/decision.ts'
import type { EvidenceReaders } from './evidence/peer.ts'
import { establishPresenter } from './evidence/presenter.ts'
import type { TrustStore } from './evidence/trust.ts'
import { type CompiledPolicy, isUnprotected } from './policy/compile.ts'
import { matchRoute } from './policy/match.ts'
import type { Request } from './request.ts'
import { judgeRevocation, type PolicyRevocation } from './revoked.ts'
import type { ReplayStore } from './state/replay.ts'
import type { RevocationFeed } from './state/revocation-feed.ts'
import { readCredential } from './token/credential.ts'
import { type TokenIssuer, verifyToken } from './token/verify.ts'

export type Policy = CompiledPolicy<TokenIssuer, TrustStore, PolicyRevocation>

/** The live parts that outlast a policy: facts by their text, proofs that were spent, and what was revoked. */
export interface Tools {
  readonly evidence: EvidenceReaders
  readonly proofs: ProofTools
  readonly replay: ReplayStore
  readonly revocations: RevocationFeed
}

/**
 * Every stage hands a proven value on or refuses; the first refusal is the decision. Pure but for the caches of
 * verified facts and the proofs that it spends: the same request, policy and time give the same decision. A stage
 * gives a promise only where it has to wait (a text never seen, a proof), so that a warm check gives way to none.
 *
 * @param now Unix seconds.
 */
export async function check(
  request: Request,
  policy: Policy,
  tools: Tools,
  now: number,
): Promise<Decision> {
  const way = beginWay(request, policy, tools.proofs.nonces, now)

  const route = matchRoute(policy.routes, request)
  if (isRefusal(route)) return deny(way, route, stanceBeforeRoute(way))
  if (route === undefined) {
    return policy.unmatched === undefined
      ? deny(way, refuse('route_unmatched'))
      : allow(way, policy.unmatched)
  }
  way.route = route
  if (route.mode === 'disabled') return allow(way, route.waiver)
  const { require } = route
  if (isUnprotected(require)) return allow(way, require)

  const credential = readCredential(request.authorization)
  if (isRefusal(credential)) return deny(way, credential)
  way.credential = credential

  const shown = establishPresenter(request.peer, policy.peer, tools.evidence, now)
  const presentation = shown instanceof Promise ? await shown : shown
  if (isRefusal(presentation)) return deny(way, presentation)
  const { presenter } = presentation
  way.presentation = presentation

  const verification = verifyToken(credential.token, require.issuers, require.rules, now)
  const verified = verification instanceof Promise ? await verification : verification
  if (isRefusal(verified)) return deny(way, verified)
  const { token } = verified
  way.verified = verified
  const { revocation } = policy
  const revoked = judgeRevocation(token, presentation, revocation, tools.revocations, now)
  if (revoked !== undefined) return deny(way, revoked)

  const misdelegated = judgeDelegation(token, presenter, require.delegation)
  if (misdelegated !== undefined) return deny(way, misdelegated)

  const { bindingRules: rules } = require
  const input = { token, credential, presenter, request, rules, proofs: tools.proofs, now }
  const confirmation = confirm(input, require)
  const unspent = confirmation instanceof Promise ? await confirmation : confirmation
  if (isRefusal(unspent)) return deny(way, unspent)
  way.method = unspent.method

  const refusal = judgeAccess(token, presenter, require)
  if (refusal !== undefined) return deny(way, refusal)

  const spending = spendProof(unspent, tools.replay, now)
  const confirmed = spending instanceof Promise ? await spending : spending
  return isRefusal(confirmed) ? deny(way, confirmed) : allow(way, confirmed)
}
