/** A workload identity token (WIT), verified: draft-ietf-wimse-workload-creds-02 §3, and SPIFFE WIT-SVID where `sub` is a SPIFFE ID. */

import type { KeyObject } from 'node:crypto'
import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import {
  parseWorkloadIdentifier,
  type SpiffeId,
  type WorkloadIdentifier,
  type WorkloadIdScheme,
} from '../evidence/spiffe-id.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { type CacheState, createSharedWork, createTextCache, signature } from '../text-cache.ts'
import { type Algorithm, algorithms, fitsAlgorithm } from '../token/algorithms.ts'
import { readTypedJws, type UnverifiedJws } from '../token/jws.ts'
import { isSignatureKey, type VerificationKey } from '../token/key-set.ts'
import { findKey, type KeySource } from '../token/key-source.ts'
import { importPublicKey, verifySignature } from '../token/signature.ts'
import { type PublicKey, readPublicKey, thumbprint } from './public-key.ts'

/** What a WIT says, under a signature that was verified: true of its text until its key goes. Times are Unix seconds. */
export interface WorkloadTokenFacts {
  readonly workload: SpiffeId
  readonly expiresAt: number
  readonly notBefore: number | undefined
  readonly issuedAt: number | undefined
  /** `cnf.jwk`: the key of the workload, which signs its proofs with this algorithm and no other. */
  readonly key: KeyObject
  readonly algorithm: Algorithm
  /** RFC 7638, of `key`. */
  readonly thumbprint: string
}

/** Who may sign the WITs of one trust domain. */
export interface TrustAnchor {
  readonly keys: Pick<KeySource, 'find' | 'isCurrent'>
  /** Identifiers of another scheme are another namespace, which these keys have no word in. */
  readonly schemes: ReadonlySet<WorkloadIdScheme>
}

export interface WorkloadTokens {
  /** The facts of a text; a promise only where it has not been seen before. Time is judged by the caller. */
  verify(text: string): WorkloadTokenFacts | Refusal | Promise<WorkloadTokenFacts | Refusal>
  readonly cache: CacheState
}

interface Known {
  readonly facts: WorkloadTokenFacts
  readonly signedBy: VerificationKey
  readonly anchor: TrustAnchor
}

const maxLength = 8 * 1024
const maxTextLength = 2048
const maxCacheBytes = 16 * 1024 * 1024
const overheadBytes = 4 * 1024
/** WIT-SVID §3.1: the algorithms of JWT-SVID §2.1, for the token and for the key in it. */
const svidAlgorithms: readonly Algorithm[] = algorithms.filter((name) => !name.startsWith('Ed'))

/** @param anchors By trust domain: nobody else's keys are ever asked (workload-creds §3.2). */
export function createWorkloadTokens(anchors: ReadonlyMap<string, TrustAnchor>): WorkloadTokens {
  const known = createTextCache<Known>(
    maxCacheBytes,
    (text) => 2 * text.length + overheadBytes,
    signature,
  )
  const underWay = createSharedWork<WorkloadTokenFacts | Refusal>()

  async function verifyOnce(text: string): Promise<WorkloadTokenFacts | Refusal> {
    const jws = readTypedJws(text, 'wit+jwt', maxLength)
    if (typeof jws === 'string') return invalid(jws)
    const wit = readWit(jws)
    if (typeof wit === 'string') return invalid(wit)
    const { subject } = wit
    const anchor = anchors.get(subject.trustDomain)
    if (anchor === undefined) return invalid('there are no trust anchors for the domain of sub')
    if (!anchor.schemes.has(subject.scheme))
      return invalid(`the trust anchors are not for identifiers of the scheme ${subject.scheme}`)
    const signedBy = findKey(anchor.keys, jws.keyId, jws.algorithm)
    if (isRefusal(signedBy)) {
      return signedBy.refused === 'keys_unavailable' ? signedBy : invalid('the key is not known')
    }
    if (!(await verifySignature(text, signedBy.key, signedBy.algorithm)))
      return invalid('signature')
    // The key may have been withdrawn while the signature was checked.
    if (!anchor.keys.isCurrent(signedBy)) return invalid('the key is not known')
    const facts = await factsOf(wit)
    if (!isRefusal(facts)) known.set(text, { facts, signedBy, anchor })
    return facts
  }

  return {
    cache: known,
    verify(text) {
      const found = known.get(text)
      if (found?.anchor.keys.isCurrent(found.signedBy)) return found.facts
      return underWay.take(text, () => verifyOnce(text))
    },
  }
}

/** What a WIT says, in form as the drafts have it. Whether it is signed, and still good, is another matter. */
export interface WitClaims extends Omit<WorkloadTokenFacts, 'workload' | 'key' | 'thumbprint'> {
  readonly subject: WorkloadIdentifier
  readonly publicKey: PublicKey
}

/**
 * The claims, or what is wrong with them in fixed words. `iat` and `jti` bound no validity (WIT-SVID §3.2); `iss` names
 * nobody who is asked here.
 */
export function readWit({ algorithm, keyId, claims }: UnverifiedJws): WitClaims | string {
  const sub = member(claims, 'sub')
  const subject = typeof sub === 'string' ? parseWorkloadIdentifier(sub) : undefined
  if (subject === undefined) return 'sub is no workload identifier'
  if (taken(algorithm, subject) === undefined) return 'alg is not taken here'
  if (subject.scheme === 'spiffe' && keyId === undefined) return 'no kid'
  const expiresAt = member(claims, 'exp')
  if (typeof expiresAt !== 'number' || expiresAt <= 0) return 'exp'
  const notBefore = member(claims, 'nbf')
  if (notBefore !== undefined && typeof notBefore !== 'number') return 'nbf'
  const issuedAt = member(claims, 'iat')
  if (issuedAt !== undefined && typeof issuedAt !== 'number') return 'iat'
  if (!isTextOrAbsent(claims, 'iss')) return 'iss'
  if (!isTextOrAbsent(claims, 'jti')) return 'jti'
  // A WIT is for every service that the workload calls: one for a single audience is another kind of token.
  if (subject.scheme === 'spiffe' && Object.hasOwn(claims, 'aud')) return 'aud'
  const proving = readProvingKey(claims, subject)
  if (typeof proving === 'string') return proving
  return { subject, expiresAt, notBefore, issuedAt, ...proving }
}

/** `cnf.jwk` with its `alg`, both of which a WIT must have (workload-creds §3.1). */
function readProvingKey(
  claims: JsonObject,
  subject: WorkloadIdentifier,
): Pick<WitClaims, 'publicKey' | 'algorithm'> | string {
  const cnf = member(claims, 'cnf')
  const jwk = isJsonObject(cnf) ? member(cnf, 'jwk') : undefined
  const publicKey = readPublicKey(jwk)
  if (publicKey === undefined || !isJsonObject(jwk) || !isSignatureKey(jwk))
    return 'cnf.jwk is no public key for signatures'
  const algorithm = taken(member(jwk, 'alg'), subject)
  if (algorithm === undefined) return 'cnf.jwk.alg is absent or not taken here'
  return fitsAlgorithm(jwk, algorithm)
    ? { publicKey, algorithm }
    : 'cnf.jwk.alg does not go with its key'
}

async function factsOf({
  subject,
  publicKey,
  algorithm,
  ...times
}: WitClaims): Promise<WorkloadTokenFacts | Refusal> {
  try {
    const key = await importPublicKey(Object.fromEntries(publicKey), algorithm)
    const facts = { key, algorithm, thumbprint: thumbprint(publicKey) }
    return Object.freeze({ workload: subject.id, ...times, ...facts })
  } catch {
    return invalid('cnf.jwk is not on its curve')
  }
}

function taken(algorithm: unknown, { scheme }: WorkloadIdentifier): Algorithm | undefined {
  const list = scheme === 'spiffe' ? svidAlgorithms : algorithms
  return list.find((name) => name === algorithm)
}

function isTextOrAbsent(claims: JsonObject, name: string): boolean {
  const value = member(claims, name)
  return (
    value === undefined ||
    (typeof value === 'string' && value.length > 0 && value.length <= maxTextLength)
  )
}

function invalid(detail: string): Refusal {
  return refuse('workload_token_invalid', detail)
}
