/** A DPoP proof, judged: RFC 9449 §4.3, item by item. Whether it was used before is asked last of all, elsewhere. */

import { hash } from 'node:crypto'
import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { SingleHeader } from '../request.ts'
import { type JsonObject, member } from '../strict-json.ts'
import { decodeObject, splitJws } from '../token/jws.ts'
import { verifySignature } from '../token/signature.ts'
import type { ConfirmationInput, DpopRules, Proof } from './method.ts'
import type { ProofHeader } from './proof-keys.ts'
import { normaliseRequestPath, readTarget } from './target.ts'

const maxProofLength = 8 * 1024
const maxTokenIdLength = 256
const reasons = { invalid: 'proof_invalid', replayed: 'proof_replayed' } as const

interface ReadProof {
  readonly text: string
  readonly encodedHeader: string
  readonly header: ProofHeader
  readonly claims: JsonObject
}

/**
 * The cheap checks come first and the signature last, so that a thief of a token cannot buy verifications with junk.
 *
 * @param boundTo The token's `cnf.jkt`.
 */
export async function judgeProof(
  boundTo: unknown,
  input: ConfirmationInput,
): Promise<Proof | Refusal> {
  const rules = input.rules.dpop
  if (rules === undefined) return refuse('binding_unsupported', 'the policy has no dpop section')
  const proof = readProof(input.request.dpop, input)
  if (isRefusal(proof)) return proof
  const { header, claims } = proof
  const { clockSkewSeconds } = input.rules
  if (!rules.algorithms.includes(header.algorithm)) return invalid('alg is not taken here') // 5
  if (member(claims, 'htm') !== input.request.method) return invalid('htm') // 8
  const issuedAt = member(claims, 'iat')
  const tokenId = member(claims, 'jti')
  if (typeof tokenId !== 'string' || tokenId === '' || tokenId.length > maxTokenIdLength)
    return invalid('jti') // 3
  if (typeof issuedAt !== 'number') return invalid('iat') // 3
  const refusal =
    judgeTarget(claims, input, rules) ?? // 9
    judgeAge(claims, issuedAt, input, rules) ?? // 11
    judgeAccessToken(claims, input) ?? // 12
    judgeNonce(claims, input, rules) // 10
  if (refusal !== undefined) return refusal
  if (header.thumbprint !== boundTo) return refuse('binding_mismatch', 'proof by another key') // 12
  if (!(await verifies(proof))) return invalid('signature') // 6
  input.proofs.keys.keep(proof.encodedHeader, header)
  return {
    replayKey: replayKey(input.rules.policy, header.thumbprint, tokenId),
    takenFrom: issuedAt - clockSkewSeconds,
    rememberUntil: issuedAt + rules.maxAgeSeconds + 2 * clockSkewSeconds,
    reasons,
  }
}

/** Items 1, 2, 4, 5 and 7, and the claims as an object. */
function readProof(proof: SingleHeader, { proofs }: ConfirmationInput): ReadProof | Refusal {
  if (proof.kind === 'absent') return refuse('proof_missing')
  if (proof.kind === 'ambiguous') return invalid('more than one DPoP header')
  const parts = splitJws(proof.value, maxProofLength)
  if (typeof parts === 'string') return invalid(parts)
  const header = proofs.keys.read(parts.header)
  if (typeof header === 'string') return invalid(header)
  const claims = decodeObject(parts.payload)
  if (claims === undefined) return invalid('payload is not strict base64url JSON')
  return { text: proof.value, encodedHeader: parts.header, header, claims }
}

/** The authority is the route's, never that of a Host or forwarded header: those are the client's choice. */
function judgeTarget(
  claims: JsonObject,
  { request }: ConfirmationInput,
  { origins }: DpopRules,
): Refusal | undefined {
  const htu = member(claims, 'htu')
  const target = typeof htu === 'string' ? readTarget(htu) : undefined
  if (target === undefined) return invalid('htu is no absolute http URI')
  if (!origins.has(target.origin)) return invalid('htu is of another origin')
  return target.path === normaliseRequestPath(request.path)
    ? undefined
    : invalid('htu is of another path')
}

function judgeAge(
  claims: JsonObject,
  issuedAt: number,
  input: ConfirmationInput,
  rules: DpopRules,
): Refusal | undefined {
  const {
    rules: { clockSkewSeconds },
    now,
  } = input
  const flaw = ageFlaw(issuedAt, input, rules)
  if (flaw !== undefined) return invalid(`iat ${flaw}`)
  for (const name of ['exp', 'nbf']) {
    const time = member(claims, name)
    if (time === undefined) continue
    if (typeof time !== 'number') return invalid(name)
    const outside = name === 'exp' ? now >= time + clockSkewSeconds : now < time - clockSkewSeconds
    if (outside) return invalid(`outside ${name}`)
  }
  return undefined
}

/** Proofs and nonces are taken for the same time. */
function ageFlaw(
  issuedAt: number,
  { rules: { clockSkewSeconds }, now }: ConfirmationInput,
  { maxAgeSeconds }: DpopRules,
): string | undefined {
  if (issuedAt > now + clockSkewSeconds) return 'is in the future'
  return now > issuedAt + maxAgeSeconds + clockSkewSeconds ? 'is too old' : undefined
}

function judgeAccessToken(
  claims: JsonObject,
  { credential }: ConfirmationInput,
): Refusal | undefined {
  const expected = hash('sha256', credential.token, 'base64url')
  return member(claims, 'ath') === expected ? undefined : invalid('ath')
}

/** `optional` asks for none, but one that is there must be ours; where nonces are disabled the claim is not read. */
function judgeNonce(
  claims: JsonObject,
  input: ConfirmationInput,
  rules: DpopRules,
): Refusal | undefined {
  const { nonces } = input.proofs
  const nonce = member(claims, 'nonce')
  const { nonce: mode } = rules
  if (mode === 'disabled' || (mode === 'optional' && nonce === undefined)) return undefined
  if (!nonces.hasKey()) return refuse('state_unavailable', 'the nonce key is not known yet')
  const issuedAt = typeof nonce === 'string' ? nonces.issuedAt(nonce) : undefined
  if (issuedAt !== undefined && ageFlaw(issuedAt, input, rules) === undefined) return undefined
  return mode === 'required'
    ? refuse('proof_nonce_required')
    : invalid('nonce is stale or not ours')
}

async function verifies({ text, header }: ReadProof): Promise<boolean> {
  try {
    return await verifySignature(text, await header.key(), header.algorithm)
  } catch {
    return false // its key is none
  }
}

/**
 * RFC 9449 §11.1 remembers `jti` per target; here it is per key, whatever the target, so that nobody can spend
 * another's `jti` and no second spelling of a target is a second chance. Nested before it is hashed, never joined.
 */
function replayKey(policy: string, thumbprint: string, tokenId: string): string {
  return hash('sha256', JSON.stringify(['dpop', policy, thumbprint, tokenId]), 'base64url')
}

function invalid(detail: string): Refusal {
  return refuse('proof_invalid', detail)
}
