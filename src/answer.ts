/** The way that a request has come, and the decision at its end: what the client, the upstream and the log are told. */

import type { NonceKeeper } from './confirmation/nonce.ts'
import {
  type Allow,
  bearerOnly,
  type ChallengeContext,
  type Deny,
  type Findings,
  type Grounds,
  type Refusal,
  refuse,
} from './decision/decision.ts'
import type { Presentation } from './evidence/presenter.ts'
import { type CompiledPolicy, isUnprotected, type Route } from './policy/compile.ts'
import type { Requirement } from './policy/requirement.ts'
import type { Request } from './request.ts'
import type { Credential } from './token/credential.ts'
import type { Verification } from './token/verify.ts'

/** The header that names the presenter to the upstream; no client can set it (contract §4). */
export const presenterHeader = 'x-meshbind-presenter'

/** Filled in stage by stage; what is absent was not reached. */
export interface Way {
  readonly request: Request
  readonly policy: CompiledPolicy<unknown, unknown>
  readonly nonces: NonceKeeper
  /** Unix seconds. */
  readonly now: number
  route?: Route<unknown>
  presentation?: Presentation
  credential?: Credential
  verified?: Verification
  method?: string
}

export function deny(way: Way, refusal: Refusal): Deny {
  const { refused, detail } = behindForwarder(way, refusal)
  return {
    verdict: 'deny',
    reason: refused,
    detail,
    challenge: challengeContext(way),
    ...common(way, false),
  }
}

/** What is set is never removed as well: Envoy removes after it sets. */
export function allow(way: Way, grounds: Grounds): Allow {
  const { request, route } = way
  const presenter = way.presentation?.presenter
  const named = route?.presenterHeader === true && presenter !== undefined
  const reserved = request.reservedHeaders.filter((name) => name !== presenterHeader)
  if (!named) reserved.push(presenterHeader)
  if (route?.removeToken === true) reserved.push('authorization', 'dpop')
  return {
    verdict: 'allow',
    grounds,
    setHeaders: named ? [[presenterHeader, presenter.spiffeId]] : [],
    removeHeaders: reserved,
    ...common(way, true),
  }
}

function common(
  way: Way,
  allowed: boolean,
): Pick<Deny, 'mode' | 'enforced' | 'policyRevision' | 'findings' | 'responseHeaders'> {
  return {
    mode: 'enforce',
    enforced: true,
    policyRevision: way.policy.revision,
    findings: findings(way, allowed),
    responseHeaders: responseHeaders(way),
  }
}

/** A presenter is missing behind a forwarder because that one vouched for nobody. */
function behindForwarder({ presentation }: Way, refusal: Refusal): Refusal {
  const forwarded = presentation !== undefined && presentation.forwarders.length > 0
  return refusal.refused === 'presenter_missing' && forwarded
    ? refuse('forward_broken', refusal.detail)
    : refusal
}

/** An unprotected route, and no route at all, are allowed by no method. */
function findings({ route, presentation, verified, method }: Way, allowed: boolean): Findings {
  const found: Findings = {}
  if (route !== undefined) found.route = route.name
  if (presentation?.presenter !== undefined) found.presenter = presentation.presenter
  if (presentation?.peer !== undefined) {
    found.peer = presentation.peer
    found.forwarders = presentation.forwarders
  }
  if (verified !== undefined) {
    found.token = verified.token
    found.cache = verified.cache
  }
  if (method !== undefined || allowed) found.method = method ?? 'none'
  return found
}

/** A fresh nonce on every answer about proofs where they need one (RFC 9449 §8.2): the client always has the next. */
function responseHeaders({ route, credential, nonces, now }: Way): Allow['responseHeaders'] {
  const require = requirementOf(route)
  if (require?.bindingRules.dpop?.nonce !== 'required') return []
  if (!require.schemes.includes('DPoP') && credential?.scheme !== 'DPoP') return []
  const nonce = nonces.issue(now)
  return nonce === undefined ? [] : [['dpop-nonce', nonce]]
}

function challengeContext({ policy, route, credential }: Way): ChallengeContext {
  const require = requirementOf(route)
  const realm = policy.name
  if (require === undefined) return { realm, ...bearerOnly }
  return {
    realm,
    scopes: require.scopes,
    schemes: require.schemes,
    used: credential?.scheme,
    proofAlgorithms: require.bindingRules.dpop?.algorithms ?? [],
  }
}

function requirementOf(route: Way['route']): Requirement<unknown> | undefined {
  return route === undefined || isUnprotected(route.require) ? undefined : route.require
}
