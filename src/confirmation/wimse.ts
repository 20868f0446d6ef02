/** `wimse`: the workload proves itself with its own token (WIT), and a proof of its key for this request (draft-ietf-wimse-wpt-01). */

import { hash } from 'node:crypto'
import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { readTypedJws } from '../token/jws.ts'
import { verifySignature } from '../token/signature.ts'
import type {
  ConfirmationMethod,
  Proof,
  ProvenWorkload,
  WimseRules,
  WorkloadQuestion,
} from './method.ts'
import { normaliseRequestPath, readTarget } from './target.ts'
import type { WorkloadTokenFacts } from './wit.ts'

const maxProofLength = 8 * 1024
const maxTokenIdLength = 256
const maxOtherTokens = 16
const reasons = {
  invalid: 'workload_proof_invalid',
  replayed: 'workload_proof_replayed',
} as const
/** Nobody needs a WIT of more than a day: its key is as good as the workload's identity for that long. */
const maxWorkloadTokenSeconds = 24 * 3600
/** WIT-SVID §3.2: the leeway is at most two minutes, whatever `clockSkew` says. */
const maxLeewaySeconds = 120

/**
 * Proves the workload and no access token that rides along: that one's own `cnf` must be confirmed, or its identity
 * be the workload's (policy.md, Bindings). Not covered: the body, headers that `oth` does not name, and the method.
 */
export const wimse: ConfirmationMethod<'wimse'> = {
  name: 'wimse',
  member: undefined,
  confirm(_value, { token, workload }) {
    if (workload === undefined) return refuse('workload_token_missing')
    if (token.identity === undefined)
      return refuse('binding_missing', 'neither cnf nor an identity that the WIT could confirm')
    return token.identity === workload.spiffeId
      ? undefined
      : refuse('binding_mismatch', 'the token is of another workload than the WIT')
  },
  proveWorkload(question) {
    const { workloadToken, workloadProof } = question.request
    if (workloadToken.kind === 'absent') {
      return workloadProof.kind === 'absent'
        ? undefined
        : refuse('workload_token_missing', 'a WPT without its WIT')
    }
    if (workloadToken.kind === 'ambiguous')
      return refuse('workload_token_invalid', 'more than one Workload-Identity-Token header')
    if (workloadProof.kind === 'absent') return refuse('workload_proof_missing')
    if (workloadProof.kind === 'ambiguous') return invalid('more than one header')
    return judgeWorkload(workloadToken.value, workloadProof.value, question)
  },
}

/** Signatures come last: of the token once for its life, of the proof every time. */
async function judgeWorkload(
  token: string,
  proof: string,
  question: WorkloadQuestion,
): Promise<ProvenWorkload | Refusal> {
  const { presenter, tokens, rules } = question
  if (tokens === undefined || rules.wimse === undefined)
    return refuse('binding_unsupported', 'the policy has no wimse section')
  const facts = await tokens.verify(token)
  if (isRefusal(facts)) return facts
  const untimely = judgeTime(facts, question)
  if (untimely !== undefined) return refuse('workload_token_invalid', untimely)
  if (presenter !== undefined && presenter.spiffeId !== facts.workload)
    return refuse('workload_token_mismatch')
  const judged = await judgeProof(proof, token, facts, rules.wimse, question)
  if (isRefusal(judged)) return judged
  return { spiffeId: facts.workload, issuedAt: facts.issuedAt, proof: judged }
}

function judgeTime(
  { expiresAt, notBefore }: WorkloadTokenFacts,
  { rules, now }: WorkloadQuestion,
): string | undefined {
  const leeway = Math.min(rules.clockSkewSeconds, maxLeewaySeconds)
  if (now >= expiresAt + leeway) return 'expired'
  if (expiresAt > now + maxWorkloadTokenSeconds + leeway) return 'exp is over a day ahead'
  return notBefore !== undefined && notBefore > now + leeway ? 'nbf' : undefined
}

/** wpt-01 §3.3, in the order of cost. */
async function judgeProof(
  text: string,
  token: string,
  facts: WorkloadTokenFacts,
  rules: WimseRules,
  question: WorkloadQuestion,
): Promise<Proof | Refusal> {
  const jws = readTypedJws(text, 'wpt+jwt', maxProofLength)
  if (typeof jws === 'string') return invalid(jws)
  // Letter by letter: EdDSA and Ed25519 are one signature under two names, and a WIT names one of them.
  if (jws.algorithm !== facts.algorithm) return invalid('alg is not cnf.jwk.alg of the WIT')
  const { claims } = jws
  const tokenId = member(claims, 'jti')
  if (typeof tokenId !== 'string' || tokenId === '' || tokenId.length > maxTokenIdLength)
    return invalid('jti')
  if (member(claims, 'wth') !== digest(token)) return invalid('wth')
  const flaw =
    judgeAudience(member(claims, 'aud'), rules, question.request.path) ??
    judgeOtherTokens(claims, question)
  if (flaw !== undefined) return invalid(flaw)
  const proof = judgeAge(claims, rules, question)
  if (typeof proof === 'string') return invalid(proof)
  if (!(await verifySignature(text, facts.key, facts.algorithm))) return invalid('signature')
  return { ...proof, replayKey: replayKey(question.rules.policy, facts.thumbprint, tokenId) }
}

/**
 * The target URI, or a value that the deployment agreed on; either way from the configured list. Host and forwarded
 * headers are the client's choice and have no word in it (wpt-01 §3.1).
 */
function judgeAudience(
  audience: unknown,
  { audiences, origins }: WimseRules,
  requestPath: string,
): string | undefined {
  if (typeof audience !== 'string') return 'aud is not one text'
  if (audiences.has(audience)) return undefined
  const target = readTarget(audience)
  if (target === undefined || !origins.has(target.origin) || !audience.startsWith(target.origin))
    return 'aud is of another service'
  return target.path === normaliseRequestPath(requestPath) ? undefined : 'aud is of another path'
}

/** Every token in the request is covered, and nothing is said to be covered that is not there or not known here. */
function judgeOtherTokens(claims: JsonObject, question: WorkloadQuestion): string | undefined {
  const { request, credential } = question
  if (!covers(claims, 'ath', credential?.token)) return 'ath'
  const { transactionToken } = request
  if (transactionToken.kind === 'ambiguous') return 'more than one Txn-Token header'
  const transaction = transactionToken.kind === 'one' ? transactionToken.value : undefined
  if (!covers(claims, 'tth', transaction)) return 'tth'
  if (!Object.hasOwn(claims, 'oth')) return undefined
  const others = member(claims, 'oth')
  if (!isJsonObject(others)) return 'oth is no object'
  const names = Object.keys(others)
  if (names.length > maxOtherTokens) return 'oth has too many entries'
  const read = new Map([
    ['authorization', request.authorization],
    ['dpop', request.dpop],
    ['txn-token', transactionToken],
  ])
  for (const name of names) {
    const header = read.get(name)
    if (header === undefined) return 'oth names a header that is not known here'
    if (header.kind !== 'one' || member(others, name) !== digest(header.value.trim())) return 'oth'
  }
  return undefined
}

function covers(claims: JsonObject, name: string, token: string | undefined): boolean {
  return token === undefined ? !Object.hasOwn(claims, name) : member(claims, name) === digest(token)
}

/**
 * `exp` is all that a WPT must say of time, so a proof without `iat` could have been made as early as its `exp`
 * allows: for as long, a store that has just begun to remember does not take it.
 */
function judgeAge(
  claims: JsonObject,
  { maxLifetimeSeconds }: WimseRules,
  { rules: { clockSkewSeconds: skew }, now }: WorkloadQuestion,
): Omit<Proof, 'replayKey'> | string {
  const [expiresAt, issuedAt, notBefore] = ['exp', 'iat', 'nbf'].map((name) => member(claims, name))
  if (typeof expiresAt !== 'number') return 'exp'
  if (now >= expiresAt + skew) return 'expired'
  if (expiresAt > now + maxLifetimeSeconds + skew) return 'exp is too far ahead'
  for (const time of [issuedAt, notBefore]) {
    if (time === undefined) continue
    if (typeof time !== 'number' || time > now + skew) return 'iat or nbf'
  }
  const earliest = expiresAt - maxLifetimeSeconds - skew
  return {
    takenFrom: typeof issuedAt === 'number' ? Math.max(earliest, issuedAt - skew) : earliest,
    rememberUntil: expiresAt + 2 * skew,
    reasons,
  }
}

/** By the key, so that nobody can spend another's `jti`. Nested before it is hashed, never joined. */
function replayKey(policy: string, thumbprint: string, tokenId: string): string {
  return digest(JSON.stringify(['wimse', policy, thumbprint, tokenId]))
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url')
}

function invalid(detail: string): Refusal {
  return refuse('workload_proof_invalid', detail)
}
