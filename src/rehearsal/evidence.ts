/** What Envoy tells of a connection, and what the proxies on the way write into XFCC, set as docs/hops.md says they should be. */

import type { PeerClaims } from '../request.ts'
import { list } from '../wire/headers.ts'
import type { Leaf } from './certificates.ts'
import type { ShownEvidence } from './schema.ts'

export interface Connection {
  /** Who asks; undefined for a client without a certificate. */
  readonly client: Leaf | undefined
  /** The proxies between the client and the service's own Envoy, in the order in which the request passes them. */
  readonly via: readonly Leaf[]
  /** SPIFFE ID of the service's own Envoy. */
  readonly destination: string
  /** What that Envoy sends. */
  readonly evidence: readonly ShownEvidence[]
  /** XFCC that the client sent. */
  readonly forged: string | undefined
}

/** Without mTLS Envoy names nobody and takes XFCC off. */
export function showEvidence(connection: Connection): PeerClaims {
  const { client, via, destination, evidence, forged } = connection
  const peer = via.at(-1) ?? client
  const nothing = { certificate: '', principal: '', destination, xfcc: readXfcc([]) }
  if (peer === undefined) return nothing
  // A waypoint replaces what came, and its Envoy names no peer.
  if (evidence.includes('waypoint'))
    return { ...nothing, xfcc: readXfcc([`By=${destination};URI=${peer.spiffeId}`]) }
  const showsXfcc = evidence.includes('xfcc') || evidence.includes('xfcc-cert')
  const elements = showsXfcc ? writeElements(connection) : []
  // The first proxy of the mesh replaces what the client sent (SANITIZE_SET), the others append (APPEND_FORWARD).
  const first = showsXfcc && via.length === 0 && forged !== undefined ? [forged] : []
  return {
    certificate: evidence.includes('certificate') ? peer.envoyText : '',
    principal: peer.spiffeId,
    destination,
    xfcc: readXfcc([...first, ...elements]),
  }
}

/** Each proxy, and at last the service's Envoy, names the one before it; of a client without a certificate none is written. */
function writeElements({ client, via, destination, evidence }: Connection): string[] {
  const passed = client === undefined ? via : [client, ...via]
  return passed.map((seen, i) => {
    const writer = passed[i + 1]?.spiffeId ?? destination
    const cert = evidence.includes('xfcc-cert') ? `Cert="${seen.envoyText}";` : ''
    return `By=${writer};Hash=${seen.hash};${cert}Subject="";URI=${seen.spiffeId}`
  })
}

function readXfcc(elements: readonly string[]): PeerClaims['xfcc'] {
  return elements.length === 0
    ? { kind: 'absent' }
    : list({ joined: [elements.join(',')], raw: [], contradictory: false })
}
