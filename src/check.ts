/**
 * THE STORY. Envoy asks about a request; meshbind establishes which workload presents the token, verifies the token,
 * and allows only if the token is bound to that workload.
 */

import { judgeAccess } from './access.ts'
import { confirm } from './confirmation/confirm.ts'
import {
  type Allow,
  type Decision,
  type Findings,
  type Grounds,
  isRefusal,
  type Refusal,
  refuse,
} from './decision/decision.ts'
import type { CertificateReader } from './evidence/certificate.ts'
import { establishPresenter, type Presenter } from './evidence/presenter.ts'
import { type CompiledPolicy, isUnprotected, type Route } from './policy/compile.ts'
import { matchRoute } from './policy/match.ts'
import type { Request } from './request.ts'
import { readCredential } from './token/credential.ts'
import { type TokenIssuer, verifyToken } from './token/verify.ts'

export type Policy = CompiledPolicy<TokenIssuer>

/** The header that names the presenter to the upstream; no client can set it (contract §4). */
export const presenterHeader = 'x-meshbind-presenter'

/**
 * Every stage hands a proven value on or refuses; the first refusal is the decision. Pure but for the caches of
 * verified facts: the same request, policy and time give the same decision.
 *
 * @param now Unix seconds.
 */
export async function check(
  request: Request,
  policy: Policy,
  certificates: CertificateReader,
  now: number,
): Promise<Decision> {
  const found: Findings = {}
  const deny = (refusal: Refusal, route?: Route<TokenIssuer>) =>
    denial(refusal, policy, found, route)
  const allow = (grounds: Grounds, route?: Route<TokenIssuer>, presenter?: Presenter) =>
    allowance(grounds, policy, found, request, route, presenter)

  const route = matchRoute(policy.routes, request)
  if (isRefusal(route)) return deny(route)
  if (route === undefined)
    return policy.unmatched === undefined
      ? deny(refuse('route_unmatched'))
      : allow(policy.unmatched)
  found.route = route.name
  if (isUnprotected(route.require)) return allow(route.require, route)

  const presenter = establishPresenter(request.peer, policy.peer, certificates, now)
  if (isRefusal(presenter)) return deny(presenter, route)
  if (presenter !== undefined) found.presenter = presenter

  const credential = readCredential(request.authorization)
  if (isRefusal(credential)) return deny(credential, route)
  const { issuers, rules } = route.require
  const verification = verifyToken(credential.token, issuers, rules, now)
  // A token that has been seen before is judged without giving way to another check.
  const verified = verification instanceof Promise ? await verification : verification
  if (isRefusal(verified)) return deny(verified, route)
  found.token = verified.token
  found.cache = verified.cache

  const confirmed = confirm(verified.token, presenter, credential.scheme, route.require.bindings)
  if (isRefusal(confirmed)) return deny(confirmed, route)
  found.method = confirmed.method

  const refusal = judgeAccess(verified.token, presenter, route.require)
  return refusal === undefined ? allow(confirmed, route, presenter) : deny(refusal, route)
}

function denial(
  refusal: Refusal,
  policy: Policy,
  findings: Findings,
  route: Route<TokenIssuer> | undefined,
): Decision {
  const scopes = route === undefined || isUnprotected(route.require) ? [] : route.require.scopes
  return {
    verdict: 'deny',
    reason: refusal.refused,
    detail: refusal.detail,
    challenge: { realm: policy.name, scopes },
    mode: 'enforce',
    enforced: true,
    policyRevision: policy.revision,
    findings,
  }
}

/** What is set is never removed as well: Envoy removes after it sets. */
function allowance(
  grounds: Grounds,
  policy: Policy,
  findings: Findings,
  request: Request,
  route: Route<TokenIssuer> | undefined,
  presenter: Presenter | undefined,
): Allow {
  if (findings.method === undefined) findings.method = 'none'
  const named = route?.presenterHeader === true && presenter !== undefined
  const reserved = request.reservedHeaders.filter((name) => name !== presenterHeader)
  if (!named) reserved.push(presenterHeader)
  if (route?.removeToken === true) reserved.push('authorization', 'dpop')
  return {
    verdict: 'allow',
    grounds,
    setHeaders: named ? [[presenterHeader, presenter.spiffeId]] : [],
    removeHeaders: reserved,
    mode: 'enforce',
    enforced: true,
    policyRevision: policy.revision,
    findings,
  }
}
