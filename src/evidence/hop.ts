/** What the elements of an XFCC header say of the workloads they name; whether to believe it is judged in peer.ts and presenter.ts. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { type CacheState, createTextCache, wholeText } from '../text-cache.ts'
import { type CertificateFacts, type CertificateReader, decodeChain } from './certificate.ts'
import { type SpiffeId, workloadId } from './spiffe-id.ts'
import { parseXfcc, type XfccElement } from './xfcc.ts'

/** One element, its parts consistent with each other. */
export interface Hop {
  /** The proxy that wrote it, as it calls itself. */
  readonly by: string | undefined
  /** The one URI SAN of the client that the proxy saw, or undefined where it saw none. */
  readonly uri: string | undefined
  /** `uri`, where it is a SPIFFE ID with a path. */
  readonly spiffeId: SpiffeId | undefined
  /** The thumbprint of the client's certificate, as RFC 8705 §3.1 writes it. */
  readonly x5tS256: string | undefined
  readonly certificate: CertificateFacts | undefined
  /** The certificates of `Chain` in DER, unverified. */
  readonly chain: readonly Buffer[]
  /** Nothing but `By` and `URI`: the form of an Istio waypoint. */
  readonly bare: boolean
  /** Whether `URI` is for certain the client's one URI SAN: see xfcc.ts; a `Cert` that has the `Hash` shows it as well. */
  readonly certain: boolean
}

export interface Hops {
  readonly length: number
  /** How many URI and DNS SANs there are in all. */
  readonly names: number
  /** An element by its place: -1 is the one that the nearest proxy wrote. Undefined where there is none. */
  at(place: number): Hop | Refusal | undefined
  /**
   * Whether an element before that place may be the true one, of which the one at that place is an imitation: it is by
   * the same proxy, or by none that names itself with a workload's SPIFFE ID (docs/decisions/0005).
   */
  mayImitate(place: number, by: string | undefined): boolean
}

export interface XfccReader {
  /** `presenter_invalid` where any part of the header is malformed. */
  read(text: string): Hops | Refusal
  /** Of good ones. */
  readonly cache: CacheState
}

const maxBytes = 32 * 1024 * 1024
const maxBadBytes = 1024 * 1024
const overheadBytes = 2 * 1024
/** What an element and each of its names cost beside their text, which is kept twice; a chain is kept decoded too. */
const bytesPerElement = 1024
const bytesPerName = 64
const copiesOfText = 4

/** Keeps what was read by the header's text, good and bad apart. An element is judged when it is first asked for. */
export function createXfccReader(certificates: CertificateReader): XfccReader {
  const bytesOf = (text: string) => copiesOfText * text.length + overheadBytes
  const good = createTextCache<Hops>(
    maxBytes,
    (text, { length, names }) => bytesOf(text) + bytesPerElement * length + bytesPerName * names,
    wholeText,
  )
  const bad = createTextCache<Refusal>(maxBadBytes, bytesOf, wholeText)
  return {
    cache: good,
    read(text) {
      const known = good.get(text) ?? bad.get(text)
      if (known !== undefined) return known
      const elements = parseXfcc(text)
      if (elements === undefined) {
        const refusal = refuse('presenter_invalid', 'x-forwarded-client-cert is malformed')
        bad.set(text, refusal)
        return refusal
      }
      const hops = createHops(elements, certificates)
      good.set(text, hops)
      return hops
    },
  }
}

function createHops(elements: readonly XfccElement[], certificates: CertificateReader): Hops {
  const read: (Hop | Refusal)[] = []
  return {
    length: elements.length,
    names: elements.reduce((sum, { uris, dnsNames }) => sum + uris.length + dnsNames.length, 0),
    at(place) {
      const index = elements.length + place
      const element = elements[index]
      if (element === undefined) return undefined
      const hop = read[index] ?? readHop(element, certificates)
      read[index] = hop
      return hop
    },
    mayImitate: (place, by) =>
      elements
        .slice(0, place)
        .some((earlier) => earlier.by === by || workloadId(earlier.by) === undefined),
  }
}

const lowerHexSha256 = /^[0-9a-f]{64}$/
/** What Envoy's formatter prints for a value that is not there. */
const absent = ['', '-']

function readHop(element: XfccElement, certificates: CertificateReader): Hop | Refusal {
  const [uri, ...others] = element.uris
  if (others.length > 0) return invalid('more than one URI in an XFCC element (X509-SVID §2)')
  const { hash } = element
  if (hash !== undefined && !lowerHexSha256.test(hash)) {
    return invalid('the XFCC Hash is not a SHA-256 in lower-case hex')
  }
  const x5tS256 = hash === undefined ? undefined : Buffer.from(hash, 'hex').toString('base64url')
  const certificate = element.cert === undefined ? undefined : certificates.read(element.cert)
  if (isRefusal(certificate)) return certificate
  if (certificate !== undefined && x5tS256 !== undefined && certificate.x5tS256 !== x5tS256) {
    return refuse('evidence_conflict', 'XFCC Hash is not that of XFCC Cert')
  }
  if (certificate !== undefined && uri !== undefined && certificate.spiffeId !== uri) {
    return refuse('evidence_conflict', 'XFCC URI is not that of XFCC Cert')
  }
  const chain = element.chain === undefined ? [] : decodeChain(element.chain)
  if (chain === undefined) return invalid('the XFCC Chain is not percent-encoded PEM')
  return Object.freeze({
    by: element.by,
    uri: uri === undefined || absent.includes(uri) ? undefined : uri,
    spiffeId: workloadId(uri),
    x5tS256: x5tS256 ?? certificate?.x5tS256,
    certificate,
    chain,
    bare: isBare(element),
    certain: element.selfContained || (certificate !== undefined && x5tS256 !== undefined),
  })
}

function isBare({ by, uris, dnsNames, selfContained: _, ...others }: XfccElement): boolean {
  const rest = Object.values(others).filter((value) => value !== undefined)
  return by !== undefined && uris.length === 1 && dnsNames.length === 0 && rest.length === 0
}

function invalid(detail: string): Refusal {
  return refuse('presenter_invalid', detail)
}
