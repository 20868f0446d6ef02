/** Who presents the token: the peer of the mTLS connection that Envoy terminated, established from listed evidence. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { PeerClaims } from '../request.ts'
import type { CertificateFacts, CertificateReader } from './certificate.ts'
import { hasPath, parseSpiffeId, type SpiffeId, trustDomainOf } from './spiffe-id.ts'

export type EvidenceSource = 'certificate' | 'principal'

declare const established: unique symbol

/** The workload that presents the token. Only `establishPresenter` makes one. */
export interface Presenter {
  readonly [established]: true
  readonly spiffeId: SpiffeId
  /** Set when the evidence was a certificate; `x5t#S256` and `jwk` cannot do without. */
  readonly certificate: CertificateFacts | undefined
  readonly evidence: EvidenceSource
}

export interface PeerRules {
  /** In the operator's order of preference. */
  readonly evidence: readonly EvidenceSource[]
  readonly trustDomains: ReadonlySet<string>
}

/**
 * The presenter, undefined where no listed evidence was sent, or a refusal: evidence that is there but invalid is
 * never passed over, and a certificate that is there is always compared with the principal, listed or not.
 *
 * Not checked here: the chain. Envoy verified it, unless its listener says ACCEPT_UNTRUSTED (SECURITY.md).
 *
 * @param now Unix seconds.
 */
export function establishPresenter(
  claims: PeerClaims,
  rules: PeerRules,
  certificates: CertificateReader,
  now: number,
): Presenter | undefined | Refusal {
  const certificate = claims.certificate === '' ? undefined : certificates.read(claims.certificate)
  if (isRefusal(certificate)) return certificate
  if (certificate !== undefined) {
    const refusal = judgeCertificate(certificate, claims.principal, rules, now)
    if (refusal !== undefined) return refusal
  }
  for (const source of rules.evidence) {
    if (source === 'certificate' && certificate !== undefined) {
      return mint(certificate.spiffeId, certificate, source)
    }
    if (source === 'principal' && claims.principal !== '')
      return fromPrincipal(claims.principal, rules)
  }
  return undefined
}

function judgeCertificate(
  certificate: CertificateFacts,
  principal: string,
  rules: PeerRules,
  now: number,
): Refusal | undefined {
  if (principal !== '' && principal !== certificate.spiffeId) {
    return refuse('evidence_conflict', 'principal is not the SPIFFE ID of the certificate')
  }
  if (!rules.trustDomains.has(certificate.trustDomain)) return refuse('trust_domain_refused')
  if (now > certificate.notAfter) return refuse('presenter_expired', 'past notAfter')
  if (now < certificate.notBefore) return refuse('presenter_expired', 'before notBefore')
  return undefined
}

/**
 * Envoy fills the principal from the first URI SAN, else a DNS SAN, else the subject, so its text may be anything
 * that the workload's certificate says: only a whole, valid SPIFFE ID is believed.
 */
function fromPrincipal(principal: string, rules: PeerRules): Presenter | Refusal {
  const spiffeId = parseSpiffeId(principal)
  if (spiffeId === undefined || !hasPath(spiffeId)) {
    return refuse('presenter_invalid', 'the principal is not a SPIFFE ID with a path')
  }
  if (!rules.trustDomains.has(trustDomainOf(spiffeId))) return refuse('trust_domain_refused')
  return mint(spiffeId, undefined, 'principal')
}

function mint(
  spiffeId: SpiffeId,
  certificate: CertificateFacts | undefined,
  evidence: EvidenceSource,
): Presenter {
  return { spiffeId, certificate, evidence } as Presenter
}
