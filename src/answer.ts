/** The way that a request has come, and the decision at its end: what the client, the upstream and the log are told. */

import type { NonceKeeper } from './confirmation/nonce.ts'
import {
  type Allow,
  bearerOnly,
  type ChallengeContext,
  type Decision,
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

const nothing: readonly never[] = []
const onlyPresenter: readonly string[] = [presenterHeader]
/** Where the headers could not be read: the spellings that some upstreams read as the same name. */
const twins: readonly string[] = [
  'x_meshbind_presenter',
  'x-meshbind_presenter',
  'x_meshbind-presenter',
]
const tokenHeaders: readonly string[] = ['authorization', 'dpop']
const andWorkloadHeaders: readonly string[] = [
  ...tokenHeaders,
  'workload-identity-token',
  'workload-proof-token',
]

/** Filled in stage by stage; what is undefined was not reached. */
export interface Way {
  /** Undefined where Envoy's question could not be read. */
  readonly request: Request | undefined
  readonly policy: CompiledPolicy<unknown, unknown, unknown, unknown>
  readonly nonces: NonceKeeper
  /** Unix seconds. */
  readonly now: number
  route: Route<unknown> | undefined
  presentation: Presentation | undefined
  credential: Credential | undefined
  verified: Verification | undefined
  method: string | undefined
}

/** All its places at once: an object that grows on the way costs twice. */
export function beginWay(
  request: Way['request'],
  policy: Way['policy'],
  nonces: NonceKeeper,
  now: number,
): Way {
  const unreached = undefined
  return {
    request,
    policy,
    nonces,
    now,
    route: unreached,
    presentation: unreached,
    credential: unreached,
    verified: unreached,
    method: unreached,
  }
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
    mode: stance.mode,
    enforced: stance.mode === 'enforce',
    policyRevision: way.policy.revision,
    findings: findings(way, false),
    responseHeaders: responseHeaders(way),
    reason: refused,
    detail,
    challenge: challengeContext(way),
    waived: waiver && { grounds: waiver, removeHeaders: identityHeaders(way, false, false) },
  }
}

/**
 * Audit changes nothing for client and upstream but the identity headers, which are never the client's, and a fresh
 * nonce, without which no client could ever make a proof that is taken.
 */
export function allow(way: Way, grounds: Grounds, stance = stanceOf(way)): Allow {
  const { route, presentation } = way
  const presenter = presentation?.presenter
  const enforced = stance.mode === 'enforce'
  const named = route?.presenterHeader === true && presenter !== undefined
  const cut = route?.removeToken === true
  const sets = enforced && named
  return {
    verdict: 'allow',
    mode: stance.mode,
    enforced,
    policyRevision: way.policy.revision,
    findings: findings(way, true),
    responseHeaders: responseHeaders(way),
    grounds,
    setHeaders: sets ? [[presenterHeader, presenter.spiffeId]] : nothing,
    // What is set is never removed as well: Envoy removes after it sets.
    removeHeaders: identityHeaders(way, sets, enforced && cut),
    withheld:
      stance.mode === 'audit' && (named || cut)
        ? {
            set: named ? [presenterHeader] : nothing,
            remove: cut ? tokenHeadersOf(route) : nothing,
          }
        : undefined,
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
  const way = beginWay(request, policy, nonces, now)
  if (request === undefined) return deny(way, refusal, stanceBeforeRoute(way))
  const route = matchRoute(policy.index, request)
  if (isRefusal(route)) return deny(way, refusal, stanceBeforeRoute(way))
  way.route = route
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

/** Those that no client may set, whatever the mode (contract §4), and with `cut` the token's. */
function identityHeaders({ request, route }: Way, sets: boolean, cut: boolean): readonly string[] {
  const own = sets ? nothing : onlyPresenter
  const sent = request?.reservedHeaders ?? twins
  if (sent.length === 0 && !cut) return own
  const others = sent.filter((name) => name !== presenterHeader)
  return [...others, ...own, ...(cut ? tokenHeadersOf(route) : nothing)]
}

/** What was proof to this service is none of the next one's business. */
function tokenHeadersOf(route: Way['route']): readonly string[] {
  return requirementOf(route)?.bindings.has('wimse') === true ? andWorkloadHeaders : tokenHeaders
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
  const peer = presentation?.peer
  return {
    route: route?.name,
    presenter: presentation?.presenter,
    peer,
    forwarders: peer && presentation?.forwarders,
    token: verified?.token,
    cache: verified?.cache,
    method: method ?? (allowed ? 'none' : undefined),
  }
}

/** A fresh nonce on every answer about proofs where they need one (RFC 9449 §8.2): the client always has the next. */
function responseHeaders({ route, credential, nonces, now }: Way): Allow['responseHeaders'] {
  const require = route?.mode === 'disabled' ? undefined : requirementOf(route)
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
