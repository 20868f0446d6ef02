/** Who presents the token: the peer, or the workload that forwarders vouch for, hop by hop. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import type { PeerClaims } from '../request.ts'
import type { Hop } from './hop.ts'
import {
  type EvidenceReaders,
  establishPeer,
  judgeValidity,
  type Peer,
  type PeerRules,
  type Workload,
} from './peer.ts'
import type { EvidenceSource } from './sources.ts'
import { type SpiffeId, trustDomainOf } from './spiffe-id.ts'
import type { TrustStore } from './trust.ts'

declare const established: unique symbol

/** The workload that presents the token. Only this file makes one. */
export interface Presenter extends Omit<Workload, 'evidence'> {
  readonly [established]: true
  /** `wit`: no connection showed the workload, its own token did. */
  readonly evidence: EvidenceSource | 'wit'
}

/** What the connection shows. */
export interface Presentation {
  /** Undefined where no listed evidence was sent, or where a forwarder vouched for nobody. */
  readonly presenter: Presenter | undefined
  readonly peer: SpiffeId | undefined
  /** The forwarders that relayed the request, the nearest first. */
  readonly forwarders: readonly SpiffeId[]
  /** x5t#S256 of their certificates, as far as they were shown. */
  readonly forwarderThumbprints: readonly string[]
}

export interface PresenterRules extends PeerRules {
  /** By SPIFFE ID: whether the forwarder also calls for itself. */
  readonly forwarders: ReadonlyMap<string, { readonly presents: boolean }>
  readonly maxForwards: number
  /** Where the policy has trust bundles: the peer's chain is verified here too. */
  readonly trust: TrustStore | undefined
}

/**
 * A promise only where a chain has to be verified that has not been seen before.
 *
 * @param now Unix seconds.
 */
export function establishPresenter(
  claims: PeerClaims,
  rules: PresenterRules,
  readers: EvidenceReaders,
  now: number,
): Presentation | Refusal | Promise<Presentation | Refusal> {
  const peer = establishPeer(claims, rules, readers, now)
  if (isRefusal(peer)) return peer
  if (peer === undefined)
    return { presenter: undefined, peer: undefined, forwarders: [], forwarderThumbprints: [] }
  const untrusted = rules.trust && judgeTrust(peer, rules.trust, now)
  if (untrusted instanceof Promise) {
    return untrusted.then((refusal) => refusal ?? follow(peer, rules, now))
  }
  return untrusted ?? follow(peer, rules, now)
}

/**
 * A workload that has proved itself with a token of its own: it presents where no connection shows who does
 * (policy.md, Who is the presenter). Where one does, they have to agree, which is the caller's to judge.
 */
export function presentProven(
  presentation: Presentation,
  spiffeId: SpiffeId | undefined,
): Presentation {
  if (presentation.presenter !== undefined || spiffeId === undefined) return presentation
  const workload = {
    spiffeId,
    x5tS256: undefined,
    certificate: undefined,
    evidence: 'wit',
  } as const
  return { ...presentation, presenter: mint(workload) }
}

/** Only the peer's own chain: a forwarder has verified the certificates of those whom it vouches for. */
function judgeTrust(
  peer: Peer,
  trust: TrustStore,
  now: number,
): Refusal | undefined | Promise<Refusal | undefined> {
  return peer.leaf === undefined
    ? refuse('presenter_invalid', 'trustBundles need the certificate, which was not sent')
    : trust.verify(peer.leaf, peer.chain, now)
}

/**
 * A forwarder's element names the workload that it saw. An element is believed only if it is the next one and its
 * `By` is the forwarder: whatever else stands in the header was written by someone who is none.
 *
 * Envoy writes SANs without escapes, so a certificate can hold pairs, or whole elements after the true one. Therefore an
 * element is not believed if a pair follows its URI, nor if one that stands before it may be the true one: by the same
 * forwarder, or by none that names itself. And a forwarder presents for itself only where nothing stands before its
 * own element (docs/decisions/0005).
 */
function follow(peer: Peer, rules: PresenterRules, now: number): Presentation | Refusal {
  const forwarders: Workload[] = []
  let workload: Workload = peer
  for (let place = -2; ; place--) {
    const { spiffeId } = workload
    const forwarder = rules.forwarders.get(spiffeId)
    if (forwarder === undefined) return presented(peer, forwarders, workload)
    const hop = peer.hops?.at(place)
    if (hop === undefined && forwarder.presents) return presented(peer, forwarders, workload)
    if (isRefusal(hop)) return hop
    forwarders.push(workload)
    if (hop?.by !== spiffeId) return presented(peer, forwarders, undefined)
    if (forwarders.length > rules.maxForwards) return refuse('forward_too_long')
    const next = readWorkload(hop, rules, now)
    if (isRefusal(next)) return next
    if (!hop.certain) {
      return refuse('evidence_conflict', 'XFCC pairs after URI may be part of it: Cert is needed')
    }
    if (peer.hops?.mayImitate(place, spiffeId)) {
      return refuse('evidence_conflict', 'an earlier XFCC element may be the forwarder’s own')
    }
    workload = next
  }
}

function readWorkload(
  { spiffeId, x5tS256, certificate }: Hop,
  rules: PeerRules,
  now: number,
): Workload | Refusal {
  if (spiffeId === undefined) {
    return refuse('presenter_invalid', 'the forwarded URI is not a SPIFFE ID with a path')
  }
  if (!rules.trustDomains.has(trustDomainOf(spiffeId))) return refuse('trust_domain_refused')
  const outdated = certificate && judgeValidity(certificate, now)
  return outdated ?? { spiffeId, x5tS256, certificate, evidence: 'xfcc' }
}

function presented(
  peer: Peer,
  forwarders: readonly Workload[],
  workload: Workload | undefined,
): Presentation {
  return {
    presenter: workload && mint(workload),
    peer: peer.spiffeId,
    forwarders: forwarders.map(({ spiffeId }) => spiffeId),
    forwarderThumbprints: forwarders
      .map(({ x5tS256 }) => x5tS256)
      .filter((thumbprint) => thumbprint !== undefined),
  }
}

function mint({
  spiffeId,
  x5tS256,
  certificate,
  evidence,
}: Omit<Presenter, typeof established>): Presenter {
  return { spiffeId, x5tS256, certificate, evidence } as Presenter
}
