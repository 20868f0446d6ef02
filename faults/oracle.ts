/**
 * The oracle: what must come of a request, from the documents alone (policy language, contract §5, RFC 6750, 7519, 7800,
 * 8705, 9449, the WIMSE drafts) and without a line of src/. It judges facts; meshbind has only the bytes.
 */

import type { ProofFacts, RequestFacts, RouteName, TokenFacts } from './facts.ts'

/** What the rig's policy asks of a route, as the oracle was told it. */
export interface RouteRule {
  readonly methods: readonly string[]
  readonly issuers: readonly string[]
  readonly audience: string
  readonly scopes: readonly string[]
  /** SPIFFE IDs begin with one of these; none: anybody may call. */
  readonly callers: readonly string[]
  /** The policy says where the issuer's tokens name their workload: then a renewed certificate is told from theft. */
  readonly identity: boolean
  /** What `htu` and the WPT's `aud` must be. */
  readonly target: string
}

export interface OracleWorld {
  readonly rules: { readonly [route in Exclude<RouteName, 'public' | 'none'>]: RouteRule }
  /** Seconds by which clocks may differ. */
  readonly skewSeconds: number
  readonly maxLifetimeSeconds: number
  readonly proofMaxAgeSeconds: number
  readonly revokedIds: ReadonlySet<string>
  /** Key ids that the issuer publishes. */
  readonly keyIds: ReadonlySet<string>
}

export interface Expectation {
  /** `either`: too near to a limit to say, because the answer comes later than the question. */
  readonly verdict: 'allow' | 'deny' | 'either'
  /** What a refusal may be called. */
  readonly reasons: readonly string[]
}

/** A request that is this near to the end of something may be judged on either side of it. */
const nearSeconds = 2

type Note = (reason: string, ...others: string[]) => void
type End = (until: number, reason: string) => void

/** A request that a rule is held against. */
interface Case {
  readonly facts: RequestFacts
  readonly rule: RouteRule
  readonly world: OracleWorld
  /** Unix seconds. */
  readonly now: number
  readonly note: Note
  /** Something that ends at a time. */
  readonly end: End
}

/** @param now Unix seconds. */
export function expect(facts: RequestFacts, world: OracleWorld, now: number): Expectation {
  if (!facts.canonicalPath) return deny(['path_not_canonical'])
  if (facts.route === 'public') return { verdict: 'allow', reasons: [] }
  if (facts.route === 'none') return deny(['route_unmatched'])
  const rule = world.rules[facts.route]
  if (!rule.methods.includes(facts.method)) return deny(['route_unmatched'])
  const broken: string[] = []
  const unsure: string[] = []
  const note: Note = (...reasons) => broken.push(...reasons)
  const end: End = (until, reason) => {
    if (now > until + world.skewSeconds + nearSeconds) broken.push(reason)
    else if (now > until - nearSeconds) unsure.push(reason)
  }
  judgePresenter(facts, note, (until, reason) => {
    // A certificate's end is not stretched by clockSkew: the document says "inside its validity now".
    if (now > until + 1) broken.push(reason)
    else if (now > until - nearSeconds) unsure.push(reason)
  })
  const judged = { facts, rule, world, now, note, end }
  if (facts.route === 'wimse') judgeWorkload(judged)
  else judgeToken(judged)
  if (broken.length > 0) return deny([...broken, ...unsure])
  return unsure.length > 0
    ? { verdict: 'either', reasons: unsure }
    : { verdict: 'allow', reasons: [] }
}

const deny = (reasons: readonly string[]): Expectation => ({ verdict: 'deny', reasons })
const neitherPresenter: readonly RouteName[] = ['dpop', 'wimse']

function judgePresenter({ presenter, route }: RequestFacts, note: Note, end: End): void {
  if (presenter !== undefined) end(presenter.notAfter, 'presenter_expired')
  else if (!neitherPresenter.includes(route)) note('presenter_missing')
}

function mayCall(spiffeId: string, { callers }: RouteRule): boolean {
  return callers.length === 0 || callers.some((prefix) => spiffeId.startsWith(prefix))
}

function judgeToken(judged: Case): void {
  const { facts, rule, world, now, note, end } = judged
  const { token, credentials, presenter } = facts
  if (credentials === 0 || token === undefined) return note('credential_missing')
  if (credentials === 2) return note('credential_ambiguous', 'credential_malformed')
  judgeText(token, rule, world, note)
  if (token.audience !== rule.audience) note('audience_mismatch')
  if (token.issuedAt > now + world.skewSeconds + nearSeconds) note('token_not_yet_valid')
  if (token.expiresAt - token.issuedAt > world.maxLifetimeSeconds) note('token_lifetime_exceeded')
  end(token.expiresAt, 'token_expired')
  if (world.revokedIds.has(token.id)) note('token_revoked')
  for (const scope of rule.scopes)
    if (!token.scope.split(' ').includes(scope)) note('scope_insufficient')
  if (presenter !== undefined && !mayCall(presenter.spiffeId, rule)) note('caller_refused')
  judgeBinding(facts, token, rule, note)
  if (facts.route === 'dpop') judgeProof(judged, token)
}

function judgeText(token: TokenFacts, rule: RouteRule, world: OracleWorld, note: Note): void {
  if (token.form === 'opaque') {
    if (!token.known) note('token_inactive')
    return
  }
  if (!rule.issuers.includes(token.issuer)) note('issuer_unknown')
  if (token.signed === 'not') note('token_algorithm_refused', 'token_malformed')
  if (token.signed === 'payload' || token.signed === 'signature') note('token_signature_invalid')
  if (token.signed === 'stranger' || !world.keyIds.has(token.keyId))
    note('token_key_unknown', 'token_signature_invalid')
}

/** RFC 8705 §3, RFC 7800 §3: what the token says about its holder, whatever the route lists. */
function judgeBinding(
  { route, presenter }: RequestFacts,
  token: TokenFacts,
  { identity }: RouteRule,
  note: Note,
): void {
  const { bound } = token
  // policy.md, "Rotation": another certificate, and the SPIFFE ID is the token's identity.
  const renewed = identity && token.subject === presenter?.spiffeId
  const another = renewed ? 'binding_rotated' : 'binding_mismatch'
  if (bound.to === 'certificate') {
    if (presenter === undefined) note('presenter_missing')
    else if (bound.thumbprint !== presenter.thumbprint) note(another)
  }
  if (bound.to === 'key' && bound.thumbprint !== presenter?.thumbprint) note(another)
  if (bound.to === 'nothing') {
    if (route !== 'spiffe') note('binding_missing', 'scheme_mismatch')
    else if (!renewed) note('binding_mismatch')
  }
}

/** RFC 9449 §4.3, §7.1, §11.1. */
function judgeProof({ facts, rule, world, now, note, end }: Case, token: TokenFacts): void {
  const { proof, scheme, method, spentBefore } = facts
  if (scheme !== 'DPoP') note('scheme_mismatch')
  if (proof === undefined) return note('proof_missing')
  if (token.bound.to === 'proof' && token.bound.client !== proof.client) note('binding_mismatch')
  if (proof.altered || !proof.ofThisToken || !fits(proof, method, rule)) note('proof_invalid')
  if (proof.issuedAt > now + world.skewSeconds + nearSeconds) note('proof_invalid')
  end(proof.issuedAt + world.proofMaxAgeSeconds, 'proof_invalid')
  if (spentBefore) note('proof_replayed', 'proof_invalid')
}

const fits = (proof: ProofFacts, method: string, rule: RouteRule) =>
  proof.method === method && proof.target === rule.target

/** The WIMSE drafts; policy.md, "Bindings": the WIT's `sub` is the presenter where mTLS shows one. */
function judgeWorkload({ facts, rule, world, now, note, end }: Case): void {
  const { workload, presenter, spentBefore } = facts
  if (workload === undefined) return note('workload_token_missing')
  if (workload.issuedAt > now + world.skewSeconds + nearSeconds)
    note('workload_token_invalid', 'workload_proof_invalid')
  if (!workload.trusted) note('workload_token_invalid')
  end(workload.expiresAt, 'workload_token_invalid')
  if (presenter !== undefined && presenter.spiffeId !== workload.subject)
    note('workload_token_mismatch')
  if (!mayCall(workload.subject, rule)) note('caller_refused')
  const { proof } = workload
  if (proof === undefined) return note('workload_proof_missing')
  if (proof.client !== workload.client || proof.audience !== rule.target || !proof.ofThisToken)
    note('workload_proof_invalid')
  end(proof.expiresAt, 'workload_proof_invalid')
  if (spentBefore) note('workload_proof_replayed', 'workload_proof_invalid')
}
