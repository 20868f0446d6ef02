/** The peer: the workload at the other end of the mTLS connection that Envoy terminated, established from listed evidence. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { PeerClaims } from '../request.ts'
import type { CertificateFacts, CertificateReader } from './certificate.ts'
import type { Hop, Hops, XfccReader } from './hop.ts'
import type { EvidenceSource } from './sources.ts'
import { type SpiffeId, trustDomainOf, workloadId } from './spiffe-id.ts'

/** A workload as evidence shows it. */
export interface Workload {
  readonly spiffeId: SpiffeId
  /** RFC 8705 §3.1, from the certificate or from the XFCC `Hash`, which is the same digest in hex. */
  readonly x5tS256: string | undefined
  /** Set where the whole certificate was shown; `jwk`, rotation and trust bundles cannot do without. */
  readonly certificate: CertificateFacts | undefined
  readonly evidence: EvidenceSource
}

export interface Peer extends Workload {
  /** The XFCC header, where it is listed and was sent; its last element is the peer's own. */
  readonly hops: Hops | undefined
  /** The certificate that was shown, whichever evidence counts, for a chain to be verified from it. */
  readonly leaf: CertificateFacts | undefined
  /** Intermediate certificates that came with it, unverified. */
  readonly chain: readonly Buffer[]
}

export interface PeerRules {
  /** In the operator's order of preference. */
  readonly evidence: readonly EvidenceSource[]
  readonly trustDomains: ReadonlySet<string>
}

export interface EvidenceReaders {
  readonly certificates: CertificateReader
  readonly xfcc: XfccReader
}

/**
 * The peer, undefined where no listed evidence was sent, or a refusal. Evidence that is there but invalid is never
 * passed over. Certificate and principal are always compared; XFCC is read only where it is listed, and then its last
 * element must agree with both: a client may have written what stands before it, and, where Envoy merely forwards the
 * header, all of it.
 *
 * Not checked here: the chain (trust.ts). Where XFCC shows no `Cert`, the certificate's validity is not known.
 *
 * @param now Unix seconds.
 */
export function establishPeer(
  claims: PeerClaims,
  rules: PeerRules,
  readers: EvidenceReaders,
  now: number,
): Peer | undefined | Refusal {
  const { principal } = claims
  const certificate =
    claims.certificate === '' ? undefined : readers.certificates.read(claims.certificate)
  if (isRefusal(certificate)) return certificate
  if (certificate !== undefined && principal !== '' && principal !== certificate.spiffeId) {
    return refuse('evidence_conflict', 'principal is not the SPIFFE ID of the certificate')
  }
  const hops = rules.evidence.some(readsXfcc) ? readHops(claims, readers.xfcc) : undefined
  if (isRefusal(hops)) return hops
  if (rules.evidence.includes('waypoint')) return fromWaypoint(claims, hops, rules)
  const hop = hops?.at(-1)
  if (isRefusal(hop)) return hop
  const conflict = hop && contradiction(hop, claims, certificate)
  if (conflict !== undefined) return conflict
  // Without the certificate itself, a second SAN of the peer could have written the last element, with another Hash.
  if (certificate === undefined && hop !== undefined && hops?.mayImitate(-1, hop.by)) {
    return refuse('evidence_conflict', 'an earlier XFCC element may be this Envoy’s own')
  }

  const shown = certificate ?? hop?.certificate
  if (shown !== undefined && !rules.trustDomains.has(shown.trustDomain))
    return refuse('trust_domain_refused')
  const outdated = shown && judgeValidity(shown, now)
  if (outdated !== undefined) return outdated
  const source = rules.evidence.find((listed) => isThere(listed, principal, certificate, hop))
  if (source === undefined) return undefined
  const spiffeId = certificate?.spiffeId ?? workloadId(principal)
  if (spiffeId === undefined) return invalid('the peer has no SPIFFE ID with a path')
  if (!rules.trustDomains.has(trustDomainOf(spiffeId))) return refuse('trust_domain_refused')
  // The principal gives an identity and never a certificate.
  const byName = source === 'principal'
  return {
    spiffeId,
    x5tS256: byName ? undefined : (certificate?.x5tS256 ?? hop?.x5tS256),
    certificate: byName ? undefined : shown,
    evidence: source,
    hops,
    leaf: shown,
    chain: hop?.chain ?? [],
  }
}

export function judgeValidity(certificate: CertificateFacts, now: number): Refusal | undefined {
  if (now > certificate.notAfter) return refuse('presenter_expired', 'past notAfter')
  if (now < certificate.notBefore) return refuse('presenter_expired', 'before notBefore')
  return undefined
}

function readsXfcc(source: EvidenceSource): boolean {
  return source === 'xfcc' || source === 'waypoint'
}

function readHops({ xfcc }: PeerClaims, reader: XfccReader): Hops | undefined | Refusal {
  if (xfcc.kind === 'absent') return undefined
  if (xfcc.kind === 'one') return reader.read(xfcc.value)
  return refuse('evidence_conflict', 'two readings of x-forwarded-client-cert')
}

/**
 * Without a principal the header cannot be Envoy's own word about this connection: Envoy writes it for a client with a
 * certificate alone, whose URI SAN is the principal, and otherwise takes it off or passes a client's through.
 */
function contradiction(
  hop: Hop,
  { principal, destination }: PeerClaims,
  certificate: CertificateFacts | undefined,
): Refusal | undefined {
  if (principal === '') return refuse('evidence_conflict', 'XFCC without a principal')
  if (hop.uri === undefined) return invalid('the last XFCC element has no URI')
  if (hop.uri !== principal) return refuse('evidence_conflict', 'XFCC URI is not the principal')
  if (hop.by !== undefined && destination !== '' && hop.by !== destination) {
    return refuse('evidence_conflict', 'XFCC By is not the identity of this Envoy')
  }
  if (
    certificate !== undefined &&
    hop.x5tS256 !== undefined &&
    hop.x5tS256 !== certificate.x5tS256
  ) {
    return refuse('evidence_conflict', 'XFCC Hash is not that of the certificate')
  }
  return undefined
}

function isThere(
  source: EvidenceSource,
  principal: string,
  certificate: CertificateFacts | undefined,
  hop: Hop | undefined,
): boolean {
  if (source === 'certificate') return certificate !== undefined
  return source === 'principal' ? principal !== '' : hop !== undefined
}

/** The single `By=…;URI=…` that an Istio waypoint writes in place of what came (istio/istio, waypoint XFCC filter). */
function fromWaypoint(
  claims: PeerClaims,
  hops: Hops | undefined,
  rules: PeerRules,
): Peer | undefined | Refusal {
  if (claims.principal !== '' || claims.certificate !== '') {
    return refuse('evidence_conflict', 'a waypoint’s Envoy names no principal')
  }
  const hop = hops?.at(-1)
  if (hop === undefined || isRefusal(hop)) return hop
  if (hops?.length !== 1 || !hop.bare) return invalid('not the single element of a waypoint')
  if (claims.destination !== '' && hop.by !== claims.destination) {
    return refuse('evidence_conflict', 'XFCC By is not the identity of this Envoy')
  }
  if (hop.uri === undefined) return undefined
  const { spiffeId } = hop
  if (spiffeId === undefined) return invalid('the XFCC URI is not a SPIFFE ID with a path')
  if (!rules.trustDomains.has(trustDomainOf(spiffeId))) return refuse('trust_domain_refused')
  const shown = { spiffeId, x5tS256: undefined, certificate: undefined }
  return { ...shown, evidence: 'waypoint', hops, leaf: undefined, chain: [] }
}

function invalid(detail: string): Refusal {
  return refuse('presenter_invalid', detail)
}
