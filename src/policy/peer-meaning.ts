/** What the schema cannot say of `spec.peer`: which evidence goes with which, and who may forward. */

import { hasPath, parseSpiffeId, trustDomainOf } from '../evidence/spiffe-id.ts'
import type { Parts } from './parts.ts'
import { error, type Unplaced, warning } from './problem.ts'

const base = ['spec', 'peer']

export function peerProblems(parts: Parts): Unplaced[] {
  return [...evidenceProblems(parts), ...forwarderProblems(parts), ...bundleProblems(parts)]
}

function evidenceProblems({ peer }: Parts): Unplaced[] {
  const evidence = peer.evidence ?? []
  const problems = evidence.flatMap((source, i) =>
    evidence.indexOf(source) < i
      ? [error([...base, 'evidence', i], `\`${source}\` is listed twice`)]
      : [],
  )
  return evidence.includes('waypoint') && evidence.length > 1
    ? [
        ...problems,
        error(
          [...base, 'evidence'],
          '`waypoint` stands alone',
          'A waypoint’s Envoy names neither certificate nor principal. Serve sidecars and waypoints with policies of their own.',
        ),
      ]
    : problems
}

function forwarderProblems({ peer, spec }: Parts): Unplaced[] {
  const { forwarders, maxForwards, evidence = [] } = peer
  const problems: Unplaced[] = []
  if (forwarders !== undefined && !evidence.includes('xfcc')) {
    problems.push({
      ...error(
        [...base, 'forwarders'],
        'needs `xfcc` in spec.peer.evidence',
        'A forwarder names the workload that it saw in x-forwarded-client-cert.',
      ),
      at: 'key',
    })
  }
  if (maxForwards !== undefined && forwarders === undefined) {
    problems.push({ ...error([...base, 'maxForwards'], 'goes with `forwarders`'), at: 'key' })
  }
  for (const [i, entry] of (forwarders ?? []).entries()) {
    if (typeof entry === 'string' || entry.presents !== true) continue
    problems.push(
      warning(
        [...base, 'forwarders', i, 'presents'],
        'lets every client that shows no certificate to this forwarder pass as the forwarder itself',
        'Leave it out unless the forwarder makes calls of its own, and then demand client certificates of all others.',
      ),
    )
  }
  const domains = spec['trustDomains']
  const ids = (forwarders ?? []).map((entry) => (typeof entry === 'string' ? entry : entry.id))
  for (const [i, text] of ids.entries()) {
    const at = [...base, 'forwarders', i]
    const id = parseSpiffeId(text)
    if (id === undefined || !hasPath(id)) {
      problems.push(error(at, 'must be a SPIFFE ID with a path: one workload, no pattern'))
    } else if (Array.isArray(domains) && !domains.includes(trustDomainOf(id))) {
      problems.push(error(at, 'is of a trust domain that is not in spec.trustDomains'))
    } else if (ids.indexOf(text) < i) {
      problems.push(error(at, 'is listed twice'))
    }
  }
  return problems
}

/** Bundles for some domains only would leave the others to Envoy alone, which is what bundles are to end. */
function bundleProblems({ peer, spec }: Parts): Unplaced[] {
  const bundles = peer.trustBundles
  const domains = spec['trustDomains']
  if (bundles === undefined || !Array.isArray(domains)) return []
  const at = [...base, 'trustBundles']
  const evidence = peer.evidence ?? ['certificate']
  const shown = evidence.includes('certificate') || evidence.includes('xfcc')
  return [
    ...(shown
      ? []
      : [
          error(
            at,
            'needs the certificate: list `certificate`, or `xfcc` with `Cert`, in spec.peer.evidence',
          ),
        ]),
    ...Object.keys(bundles).flatMap((domain) =>
      domains.includes(domain)
        ? []
        : [error([...at, domain], 'is not in spec.trustDomains, so it is never used')],
    ),
    ...domains.flatMap((domain) =>
      typeof domain !== 'string' || Object.hasOwn(bundles, domain)
        ? []
        : [
            error(
              at,
              `has no bundle for \`${domain}\``,
              'Every trust domain needs one: peers without a bundle could not be verified here.',
            ),
          ],
    ),
  ]
}
