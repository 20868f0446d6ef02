/** The way that a request has come, and the decision at its end: what the client, the upstream and the log are told. */

import type { NonceKeeper } from './confirmation/nonce.ts'
import {
  type Allow,
  bearerOnly,
  type ChallengeContext,
  type Decision,
  type Deny,
  type Findings,
  type Grounds,
  isRefusal,
  type Refusal,
  refuse,
} from './decision/decision.ts'
import type { Presentation } from './evidence/presenter.ts'
import { type CompiledPolicy, isUnprotected, type Route, type Stance } from './policy/compile.ts'
import { matchRoute, modeBeforeRoute } from './policy/match.ts'
import type { Requirement } from './policy/requirement.ts'
import type { Request } from './request.ts'
import type { Credential } from './token/credential.ts'
import type { Verification } from './token/verify.ts'

/** The header that names the presenter to the upstream; no client can set it (contract §4). */
export const presenterHeader = 'x-meshbind-presenter'

/** Filled in stage by stage; what is absent was not reached. */
export interface Way {
  /** Undefined where Envoy's question could not be read. */
  readonly request: Request | undefined
  readonly policy: CompiledPolicy<unknown, unknown, unknown>
  readonly nonces: NonceKeeper
  /** Unix seconds. */
  readonly now: number
  route?: Route<unknown>
  presentation?: Presentation
  credential?: Credential
  verified?: Verification
  method?: string
}

/**
 * The refusal as the mode of the route has it (policy.md, Modes): enforced, only recorded, or not even that.
 *
 * @param stance Given where the request was refused before its route was known.
 */
export function deny(way: Way, refusal: Refusal, stance = stanceOf(way)): Decision {
  const { waiver } = stance
  if (stance.mode === 'disabled') return allow(way, stance.waiver, stance)
  const { refused, detail } = behindForwarder(way, refusal)
  return {
    verdict: 'deny',
    reason: refused,
    detail,
    challenge: challengeContext(way),
    waived: waiver && { grounds: waiver, removeHeaders: identityHeaders(way) },
    ...common(way, false, stance),
  }
}

/** Audit changes nothing that the client or the upstream could notice, but for the identity headers, which are never the client's. */
export function allow(way: Way, grounds: Grounds, stance = stanceOf(way)): Allow {
  const { route } = way
  const presenter = way.presentation?.presenter
  const named = route?.presenterHeader === true && presenter !== undefined
  const set: [string, string][] = named ? [[presenterHeader, presenter.spiffeId]] : []
  const remove = route?.removeToken === true ? ['authorization', 'dpop'] : []
  const base = { verdict: 'allow', grounds, ...common(way, true, stance) } as const
  if (stance.mode === 'enforce') {
    // What is set is never removed as well: Envoy removes after it sets.
    const identity = identityHeaders(way).filter((name) => !named || name !== presenterHeader)
    return {
      ...base,
      setHeaders: set,
      removeHeaders: [...identity, ...remove],
      withheld: undefined,
    }
  }
  const changes = stance.mode === 'audit' && set.length + remove.length > 0
  return {
    ...base,
    setHeaders: [],
    removeHeaders: identityHeaders(way),
    withheld: changes ? { set: set.map(([name]) => name), remove } : undefined,
  }
}

/**
 * A refusal by something else than the check: the question could not be read, the check took too long, or failed. It is
 * enforced unless the policy says otherwise for everything that the request could have been.
 */
export function giveUp(
  policy: Way['policy'],
  nonces: NonceKeeper,
  refusal: Refusal,
  request: Request | undefined,
  now: number,
): Decision {
  const way: Way = { request, policy, nonces, now }
  if (request === undefined) return deny(way, refusal, stanceBeforeRoute(way))
  const route = matchRoute(policy.routes, request)
  if (isRefusal(route)) return deny(way, refusal, stanceBeforeRoute(way))
  if (route !== undefined) way.route = route
  return deny(way, refusal)
}

/** Of a request that no route is known for. */
export function stanceBeforeRoute({ policy, request }: Way): Stance {
  const { routes, unmatchedMode, stances } = policy
  return stances[modeBeforeRoute(routes, unmatchedMode, request?.host)]
}

function stanceOf({ route, policy }: Way): Stance {
  return route ?? policy.stances[policy.unmatchedMode]
}

/** No client may set them, whatever the mode (contract §4). */
function identityHeaders({ request }: Way): string[] {
  const others = request?.reservedHeaders.filter((name) => name !== presenterHeader) ?? []
  return [...others, presenterHeader]
}

function common(
  way: Way,
  allowed: boolean,
  { mode }: Stance,
): Pick<Deny, 'mode' | 'enforced' | 'policyRevision' | 'findings' | 'responseHeaders'> {
  return {
    mode,
    enforced: mode === 'enforce',
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
