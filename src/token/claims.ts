/** The registered claims that are judged: read once into facts, compared with the clock on every request (RFC 7519 §4.1). */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'

/** Where an issuer's tokens carry the workload's SPIFFE ID: a claim, or Kubernetes ServiceAccount claims. */
export type IdentitySource = { readonly claim: string } | { readonly kubernetes: string }

/** What a token says, typed and bounded: true of its text for ever. All times are Unix seconds. */
export interface TokenClaims {
  readonly subject: string
  readonly audiences: readonly string[]
  /** `exp`, or `warnafter` of a ServiceAccount token where that comes first. */
  readonly expiresAt: number
  readonly issuedAt: number
  readonly notBefore: number | undefined
  readonly tokenId: string | undefined
  /** `scope` split at single spaces (RFC 6749 §3.3); empty if it is absent or of another form. */
  readonly scopes: ReadonlySet<string>
  /** `cnf` as it came (RFC 7800 §3.1); confirmation/ judges it. */
  readonly confirmation: unknown
  /** The text that claims to be the workload's SPIFFE ID; equality with a presenter's parsed ID makes it one. */
  readonly identity: string | undefined
  /** `sub` of each actor, the current one first, then those before it (RFC 8693 §4.1); undefined without `act`. */
  readonly actors: readonly [current: string, ...before: string[]] | undefined
  /** All of it, for the claims that a route requires. */
  readonly all: JsonObject
}

export interface TimeRules {
  readonly clockSkewSeconds: number
  readonly maxAgeSeconds: number
}

const maxTextLength = 2048
const maxAudiences = 64

export function readClaims(
  claims: JsonObject,
  identity: IdentitySource | undefined,
): TokenClaims | Refusal {
  const subject = text(claims, 'sub')
  if (subject === undefined) return invalid('sub')
  const audiences = readAudiences(member(claims, 'aud'))
  if (audiences === undefined) return invalid('aud')
  const expiresAt = time(claims, 'exp')
  if (typeof expiresAt !== 'number') return invalid('exp')
  const issuedAt = time(claims, 'iat')
  if (typeof issuedAt !== 'number') return invalid('iat')
  const notBefore = time(claims, 'nbf')
  if (notBefore === null) return invalid('nbf')
  if (issuedAt > expiresAt || (notBefore ?? 0) > expiresAt) return invalid('iat or nbf after exp')
  const tokenId = text(claims, 'jti')
  if (Object.hasOwn(claims, 'jti') && tokenId === undefined) return invalid('jti')
  const actors = readActors(claims)
  if (actors === 'invalid') return invalid('act')
  const account = readServiceAccount(claims, subject, issuedAt, identity)
  if (isRefusal(account)) return account
  return {
    subject,
    audiences,
    expiresAt: Math.min(expiresAt, account?.staleAfter ?? expiresAt),
    issuedAt,
    notBefore,
    tokenId,
    scopes: readScopes(member(claims, 'scope')),
    confirmation: member(claims, 'cnf'),
    identity: actors === undefined ? readIdentity(claims, identity, account) : idOf(actors[0]),
    actors,
    all: claims,
  }
}

/**
 * What time does to a token, judged on every request. A token without `exp` or `iat` does not get here: without
 * `iat` its lifetime could not be known.
 *
 * @param now Unix seconds.
 */
export function judgeTime(
  claims: TokenClaims,
  rules: TimeRules,
  maxLifetimeSeconds: number,
  now: number,
): Refusal | undefined {
  const skew = rules.clockSkewSeconds
  if (now >= claims.expiresAt + skew) return refuse('token_expired')
  if (claims.notBefore !== undefined && claims.notBefore > now + skew) {
    return refuse('token_not_yet_valid', 'nbf')
  }
  if (claims.issuedAt > now + skew) return refuse('token_not_yet_valid', 'iat')
  if (claims.expiresAt - claims.issuedAt > maxLifetimeSeconds)
    return refuse('token_lifetime_exceeded')
  if (now - claims.issuedAt > rules.maxAgeSeconds + skew) return refuse('token_too_old')
  return undefined
}

/** RFC 7519 §4.1.3: one string or an array of them. */
function readAudiences(value: unknown): readonly string[] | undefined {
  const list = Array.isArray(value) ? value : [value]
  return list.length > 0 && list.length <= maxAudiences && list.every(isText) ? list : undefined
}

/** RFC 6749 §3.3: scope-token *( SP scope-token ). Another form grants nothing rather than something guessed. */
const scopeGrammar = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/

function readScopes(value: unknown): ReadonlySet<string> {
  return new Set(typeof value === 'string' && scopeGrammar.test(value) ? value.split(' ') : [])
}

function readIdentity(
  claims: JsonObject,
  source: IdentitySource | undefined,
  account: ServiceAccount | undefined,
): string | undefined {
  return source !== undefined && 'claim' in source
    ? idOf(member(claims, source.claim))
    : account?.identity
}

function idOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^(?:spiffe|wimse):\/\//.test(value) ? value : undefined
}

/**
 * RFC 8693 §4.1: the outermost `act` is the current actor, each one inside it came before. Whose token it then is at
 * this hop, its current actor says, never the top-level claims. The others are information only. Strict JSON bounds
 * how deep they go.
 */
function readActors(claims: JsonObject): TokenClaims['actors'] | 'invalid' {
  if (!Object.hasOwn(claims, 'act')) return undefined
  const actors: string[] = []
  for (let holder = claims; Object.hasOwn(holder, 'act'); ) {
    const actor = member(holder, 'act')
    const sub = isJsonObject(actor) ? text(actor, 'sub') : undefined
    if (!isJsonObject(actor) || sub === undefined) return 'invalid'
    actors.push(sub)
    holder = actor
  }
  const [current, ...before] = actors
  return current === undefined ? 'invalid' : [current, ...before]
}

/** What the `kubernetes.io` claims of a ServiceAccount token say (kubernetes/pkg/serviceaccount/claims.go). */
interface ServiceAccount {
  /** In Istio's form, `spiffe://<td>/ns/<ns>/sa/<sa>`. */
  readonly identity: string
  /** Unix seconds. */
  readonly staleAfter: number | undefined
}

/** What Kubernetes takes as a name; a slash in one would spell the SPIFFE ID of another account. */
const nameGrammar = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/

/**
 * `sub` and `kubernetes.io` must tell the same story. Where they do not, the token is refused: without an identity it
 * would look like one that nobody could bind yet (policy.md, *A token that cannot be bound yet*).
 *
 * Tokens that kubelet injects for the API server live a year, so that old clients go on. `warnafter` is the end that
 * was asked for; past it the API server counts them as stale.
 */
function readServiceAccount(
  claims: JsonObject,
  subject: string,
  issuedAt: number,
  source: IdentitySource | undefined,
): ServiceAccount | undefined | Refusal {
  if (source === undefined || 'claim' in source) return undefined
  if (!Object.hasOwn(claims, 'kubernetes.io')) return undefined
  const kubernetes = member(claims, 'kubernetes.io')
  if (!isJsonObject(kubernetes)) return invalid('kubernetes.io')
  const account = member(kubernetes, 'serviceaccount')
  const namespace = nameIn(kubernetes, 'namespace')
  const name = isJsonObject(account) ? nameIn(account, 'name') : undefined
  if (namespace === undefined || name === undefined) return invalid('kubernetes.io')
  if (subject !== `system:serviceaccount:${namespace}:${name}`) return invalid('kubernetes.io')
  const staleAfter = time(kubernetes, 'warnafter')
  if (staleAfter === null || (staleAfter ?? issuedAt) < issuedAt) return invalid('warnafter')
  return { identity: `spiffe://${source.kubernetes}/ns/${namespace}/sa/${name}`, staleAfter }
}

function nameIn(object: JsonObject, name: string): string | undefined {
  const value = text(object, name)
  return value !== undefined && nameGrammar.test(value) ? value : undefined
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= maxTextLength
}

function text(object: JsonObject, name: string): string | undefined {
  const value = member(object, name)
  return isText(value) ? value : undefined
}

/** Strict JSON has made every number a safe integer already; null is anything else than a positive one. */
function time(object: JsonObject, name: string): number | null | undefined {
  const value = member(object, name)
  if (value === undefined) return undefined
  return typeof value === 'number' && value > 0 ? value : null
}

function invalid(detail: string): Refusal {
  return refuse('claim_invalid', detail)
}
