/** One decision → one JSON line (contract §6). Never a token, proof, secret, cookie, query or header value. */

import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import type { Decision } from '../decision/decision.ts'
import { remoteParentOf } from './traceparent.ts'

/** The part of a request that may be told. */
export interface LoggedRequest {
  readonly id: string
  readonly method: string
  readonly host: string
  readonly path: string
  readonly traceparent: string
}

export interface LoggedDecision {
  readonly id: string
  readonly decision: Decision
  readonly request: LoggedRequest | undefined
  /** Unix milliseconds. */
  readonly time: number
  readonly durationMicroseconds: number
  /** `traceparent` of Envoy's own call, where it traces. */
  callTraceparent?(): string | undefined
}

export type DecisionLogMode =
  | { readonly kind: 'all' | 'deny' | 'off' }
  /** Every deny, and one allow in `every`. */
  | { readonly kind: 'sample'; readonly every: number }

const version = 1
const maxTextLength = 512
const replica = hostname()
/** What JSON leaves as it is though a terminal obeys it (DEL, C1) or a reader ends the line there (U+2028, U+2029). */
const breaking = /[\u007f-\u009f\u2028\u2029]/g

/** Whether a decision is written; `count` is how many allows have come before it. */
export function isLogged(mode: DecisionLogMode, decision: Decision, count: number): boolean {
  if (mode.kind === 'off') return false
  if (decision.verdict === 'deny' || mode.kind === 'all') return true
  return mode.kind === 'sample' && count % mode.every === 0
}

/** The line without its newline. Every text is bounded; JSON escapes what could break a line. */
export function decisionLine(logged: LoggedDecision): string {
  const { id, decision, request, time, durationMicroseconds } = logged
  const { findings } = decision
  const denied = decision.verdict === 'deny'
  const line = JSON.stringify({
    v: version,
    time: new Date(time).toISOString(),
    type: 'decision',
    decision_id: id,
    decision: decision.verdict,
    enforced: decision.enforced,
    mode: decision.mode,
    reason: denied ? decision.reason : null,
    detail: denied && decision.detail !== '' ? decision.detail : null,
    route: findings.route ?? null,
    policy_revision: decision.policyRevision,
    request: request === undefined ? null : describeRequest(request),
    presenter: describePresenter(findings.presenter),
    peer: findings.peer ?? null,
    forwards: findings.forwarders ?? [],
    actors: findings.token?.actors?.map(bounded) ?? [],
    token: describeToken(findings.token),
    method: findings.method ?? null,
    withheld: denied ? null : (decision.withheld ?? null),
    cache: findings.cache ?? null,
    duration_us: durationMicroseconds,
    trace_id: remoteParentOf(logged)?.traceId ?? null,
    replica,
  })
  return line.replace(breaking, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function describeRequest({ id, method, host, path }: LoggedRequest): object {
  return {
    id: bounded(id),
    method: bounded(method),
    host: bounded(host),
    path: loggedPath(path),
  }
}

function describePresenter(presenter: Decision['findings']['presenter']): object | null {
  if (presenter === undefined) return null
  const { spiffeId, x5tS256, evidence } = presenter
  return { spiffe_id: spiffeId, x5t_s256: x5tS256 ?? null, evidence }
}

/** `jti` is hashed: whoever reads the log can compare tokens, and cannot use what was read. */
function describeToken(token: Decision['findings']['token']): object | null {
  if (token === undefined) return null
  const { confirmation } = token
  const members =
    typeof confirmation === 'object' && confirmation !== null ? Object.keys(confirmation) : []
  return {
    issuer: token.issuer,
    subject: bounded(token.subject),
    jti_hash: token.tokenId === undefined ? null : hash(token.tokenId),
    kid: token.keyId === undefined ? null : bounded(token.keyId),
    confirmation: members.slice(0, 8).map(bounded),
    expires_at: token.expiresAt,
    issued_at: token.issuedAt,
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

function bounded(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`
}

/** Without query and fragment. */
export function loggedPath(path: string): string {
  return bounded(path.replace(/[?#].*$/s, ''))
}
