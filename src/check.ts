/**
 * THE STORY. Envoy asks about a request; meshbind establishes which workload presents the token, verifies the token,
 * and allows only if the token is bound to that workload.
 */

import { judgeAccess, judgeDelegation } from './access.ts'
import { allow, beginWay, deny, stanceBeforeRoute } from './answer.ts'
import { confirm, proveWorkload, spendProof } from './confirmation/confirm.ts'
import type { ProofTools } from './confirmation/method.ts'
import type { WorkloadTokens } from './confirmation/wit.ts'
import { type Decision, isRefusal, refuse } from './decision/decision.ts'
import type { EvidenceReaders } from './evidence/peer.ts'
import { establishPresenter, presentProven } from './evidence/presenter.ts'
import type { TrustStore } from './evidence/trust.ts'
import { type CompiledPolicy, isUnprotected } from './policy/compile.ts'
import { matchRoute } from './policy/match.ts'
import type { Request } from './request.ts'
import { judgeRevocation, type PolicyRevocation } from './revoked.ts'
import type { ReplayStore } from './state/replay.ts'
import type { RevocationFeed } from './state/revocation-feed.ts'
import { readCredential, refuseToken } from './token/credential.ts'
import { type TimeLeft, type TokenIssuer, unlimited, verifyToken } from './token/verify.ts'

export type Policy = CompiledPolicy<TokenIssuer, TrustStore, PolicyRevocation, WorkloadTokens>

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
 * @param time That the answer has, for a stage that asks somebody else.
 */
export async function check(
  request: Request,
  policy: Policy,
  tools: Tools,
  now: number,
  time: TimeLeft = unlimited,
): Promise<Decision> {
  const way = beginWay(request, policy, tools.proofs.nonces, now)

  const route = matchRoute(policy.index, request)
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

  const { authorization } = request
  const credential = require.takesTokens
    ? readCredential(authorization)
    : refuseToken(authorization)
  if (isRefusal(credential)) return deny(way, credential)
  way.credential = credential

  const shown = establishPresenter(request.peer, policy.peer, tools.evidence, now)
  const connection = shown instanceof Promise ? await shown : shown
  if (isRefusal(connection)) return deny(way, connection)
  way.presentation = connection

  const { bindingRules: rules } = require
  const proving = proveWorkload(
    { request, credential, presenter: connection.presenter, rules, tokens: policy.workloads, now },
    require,
  )
  const workload = proving instanceof Promise ? await proving : proving
  if (isRefusal(workload)) return deny(way, workload)
  const presentation = presentProven(connection, workload?.spiffeId)
  const { presenter } = presentation
  way.presentation = presentation

  const verification =
    credential && verifyToken(credential.token, require.issuers, require.rules, now, time)
  const verified = verification instanceof Promise ? await verification : verification
  if (isRefusal(verified)) return deny(way, verified)
  const token = verified?.token
  way.verified = verified
  const { revocation } = policy
  const revoked = judgeRevocation(token, workload, presentation, revocation, tools.revocations, now)
  if (revoked !== undefined) return deny(way, revoked)

  const misdelegated = judgeDelegation(token, presenter, require.delegation)
  if (misdelegated !== undefined) return deny(way, misdelegated)

  const { proofs } = tools
  const input = { token, credential, presenter, workload, request, rules, proofs, now }
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
