/** What the schema cannot say of a route's bindings: what each of them needs beside its name. */

import { durationSeconds } from './duration.ts'
import { originProblems, readOrigin } from './origins.ts'
import type { Parts } from './parts.ts'
import { error, type Unplaced, warning } from './problem.ts'
import { longestLifetimeSeconds } from './requirement.ts'
import type { RequirementDocument } from './schema.ts'

type Place = Unplaced['path']

const maxGraceSeconds = 24 * 3600
const maxBackdateSeconds = 3600
const maxUnboundLifetime = '15m'

export function bindingProblems(
  base: Place,
  require: RequirementDocument,
  parts: Parts,
): Unplaced[] {
  return [
    ...require.bindings.flatMap((binding, i) =>
      require.bindings.indexOf(binding) < i
        ? [error([...base, 'bindings', i], `\`${binding}\` is listed twice`)]
        : [],
    ),
    ...evidenceProblems(base, require, parts),
    ...dpopProblems(base, require, parts),
    ...rotationProblems([...base, 'rotation'], require, parts),
    ...unboundProblems([...base, 'unbound'], require, parts),
  ]
}

/** The first evidence that is there decides, and where there is a certificate Envoy names a principal as well. */
function evidenceProblems(base: Place, require: RequirementDocument, parts: Parts): Unplaced[] {
  const [first = 'certificate'] = parts.peer.evidence ?? []
  if (first !== 'principal' && first !== 'waypoint') return []
  const never = require.bindings.filter((binding) => binding === 'x5t#S256' || binding === 'jwk')
  if (never.length === 0) return []
  const what = `${never.join(' and ')} can never be confirmed while \`${first}\` is the first evidence`
  const advice =
    first === 'waypoint'
      ? 'A waypoint shows no certificate: bind to the identity, with `spiffe`, or to a key, with `dpop`.'
      : 'Put certificate first in spec.peer.evidence, and include_peer_certificate: true in the Envoy filter; or list xfcc first.'
  return [error([...base, 'bindings'], what, advice)]
}

function dpopProblems(
  base: Place,
  require: RequirementDocument,
  { spec, dpop }: Parts,
): Unplaced[] {
  const problems: Unplaced[] = []
  const listed = require.bindings.indexOf('dpop')
  if (listed !== -1 && spec['dpop'] === undefined) {
    const advice = 'Write spec.dpop: { origins: [https://api.example] }: what clients see.'
    problems.push(error([...base, 'bindings', listed], '`dpop` needs `spec.dpop`', advice))
  }
  const narrowed = require.dpop?.origins
  if (narrowed === undefined) {
    return listed !== -1 && dpop !== undefined && dpop.origins.length > 1
      ? [
          ...problems,
          warning(
            [...base, 'bindings', listed],
            'a proof for any of the origins in spec.dpop is taken here',
            'Name the ones of this route: dpop: { origins: […] }.',
          ),
        ]
      : problems
  }
  const at = [...base, 'dpop', 'origins']
  problems.push(...originProblems(at, narrowed))
  const known = dpop?.origins.map(readOrigin) ?? []
  for (const [i, text] of narrowed.entries()) {
    const origin = readOrigin(text)
    if (dpop !== undefined && origin !== undefined && !known.includes(origin)) {
      problems.push(error([...at, i], 'is not in spec.dpop.origins: a route narrows them'))
    }
  }
  return spec['dpop'] === undefined
    ? [...problems, error([...base, 'dpop'], 'narrows `spec.dpop`, which is not there')]
    : problems
}

function rotationProblems(at: Place, require: RequirementDocument, parts: Parts): Unplaced[] {
  const { rotation } = require
  if (rotation === undefined) return []
  const problems: Unplaced[] = []
  const evidence = parts.peer.evidence ?? ['certificate']
  if (!require.bindings.includes('x5t#S256')) {
    problems.push(error(at, 'is about `x5t#S256`, which the route does not list'))
  } else if (!evidence.includes('certificate') && !evidence.includes('xfcc')) {
    const advice = 'A certificate tells when it was issued; a principal does not.'
    problems.push(error(at, 'needs evidence `certificate`', advice))
  } else if (!evidence.includes('certificate')) {
    problems.push(
      warning(
        at,
        'has no effect unless XFCC carries `Cert`: a `Hash` does not tell when the certificate was issued',
      ),
    )
  }
  if (durationSeconds(rotation.grace) > maxGraceSeconds) {
    const advice = 'Shorten the lifetime of tokens instead.'
    problems.push(error([...at, 'grace'], 'must be at most 24h', advice))
  }
  if (rotation.backdate !== undefined && durationSeconds(rotation.backdate) > maxBackdateSeconds) {
    const advice =
      'Meshes date certificates back by seconds or minutes; more would make old ones new.'
    problems.push(error([...at, 'backdate'], 'must be at most 1h', advice))
  }
  for (const name of require.issuers ?? []) {
    const issuer = parts.issuers.get(name)
    if (issuer !== undefined && issuer.identity === undefined) {
      const advice = 'Say where its tokens carry the SPIFFE ID: identity: { claim: sub }.'
      problems.push(error(at, `needs the \`identity\` of issuer \`${name}\``, advice))
    }
  }
  return problems
}

/** An unbound token works for whoever holds it: so not for long, and not for everything (policy.md). */
function unboundProblems(at: Place, require: RequirementDocument, parts: Parts): Unplaced[] {
  if (require.unbound === undefined) return []
  const limit = durationSeconds(maxUnboundLifetime)
  const lasting = (require.issuers ?? []).filter((name) => {
    const issuer = parts.issuers.get(name)
    return issuer !== undefined && longestLifetimeSeconds(issuer, require) > limit
  })
  const longer = lasting.map((name) =>
    error(
      at,
      `needs \`maxLifetime\` of at most ${maxUnboundLifetime}, and tokens of issuer \`${name}\` may live longer`,
      `Write maxLifetime: ${maxUnboundLifetime} beside it: whoever copies such a token can use it for that long.`,
    ),
  )
  const narrowed = require.scopes !== undefined || require.callers !== undefined
  return narrowed
    ? longer
    : [
        ...longer,
        error(
          at,
          'needs `scopes` or `callers`',
          'Say what such a token may do, or which workloads may present it.',
        ),
      ]
}
