/** What the schema cannot say of one route: its names, places, references, and rules that could never be met. */

import leven from 'leven'
import { hasPath, parseSpiffeId, trustDomainOf } from '../evidence/spiffe-id.ts'
import { bindingProblems } from './binding-meaning.ts'
import { isHostPattern } from './host.ts'
import { introspectorProblems } from './introspection-meaning.ts'
import type { Parts } from './parts.ts'
import { canonicalPath } from './path.ts'
import { error, type Unplaced } from './problem.ts'
import { takesTokens } from './requirement.ts'
import type { RequirementDocument, RouteDocument } from './schema.ts'
import { wimseRouteProblems } from './wimse-meaning.ts'

export function routeProblems(index: number, route: RouteDocument, parts: Parts): Unplaced[] {
  const base = ['spec', 'routes', index]
  return [
    ...((parts.firstIndexes.get(route.name) ?? index) < index
      ? [error([...base, 'name'], `another route is called \`${route.name}\` already`)]
      : []),
    ...(route.match?.hosts ?? []).flatMap((host, i) =>
      isHostPattern(host)
        ? []
        : [
            error(
              [...base, 'match', 'hosts', i],
              'must be a lower-case host, or `*.` and one',
              'Write it without scheme and port: ports are ignored.',
            ),
          ],
    ),
    ...(route.match?.paths ?? []).flatMap((path, i) =>
      pathProblems([...base, 'match', 'paths', i], path),
    ),
    ...(route.require === 'none'
      ? noneProblems(base, route)
      : requirementProblems([...base, 'require'], route.require, parts)),
  ]
}

function noneProblems(base: Unplaced['path'], route: RouteDocument): Unplaced[] {
  return route.forward?.presenterHeader === true
    ? [
        error(
          [...base, 'forward', 'presenterHeader'],
          'needs a presenter, which `require: none` does not look for',
        ),
      ]
    : []
}

function pathProblems(at: Unplaced['path'], path: string): Unplaced[] {
  const plain = path.endsWith('/*') ? path.slice(0, -1) : path
  if (canonicalPath(plain) === undefined || plain.includes('?')) {
    return [
      error(
        at,
        'must be an absolute path in its canonical spelling, without query',
        'No dot or empty segments, no `;`, no needless escapes.',
      ),
    ]
  }
  return canonicalPath(plain)?.includes('*') === true // `%2a` is a `*` too
    ? [
        error(
          at,
          '`*` may only stand at the end, after a slash',
          'Write /v1/* for everything below /v1/.',
        ),
      ]
    : []
}

function requirementProblems(
  base: Unplaced['path'],
  require: RequirementDocument,
  parts: Parts,
): Unplaced[] {
  return [
    ...issuerReferenceProblems(base, require, parts),
    ...introspectorProblems(base, require, parts),
    ...audienceProblems(base, require, parts),
    ...(require.callers ?? []).flatMap((caller, i) =>
      callerProblems([...base, 'callers', i], caller, parts),
    ),
    ...(require.delegation?.actors ?? []).flatMap((actor, i) =>
      callerProblems([...base, 'delegation', 'actors', i], actor, parts),
    ),
    ...bindingProblems(base, require, parts),
    ...wimseRouteProblems(base, require, parts),
  ]
}

function issuerReferenceProblems(
  base: Unplaced['path'],
  require: RequirementDocument,
  parts: Parts,
): Unplaced[] {
  if (require.issuers === undefined && !takesTokens(require)) return []
  if (require.issuers === undefined) {
    const advice = `Name the issuers whose tokens the route takes: ${parts.issuerNames.join(', ')}.`
    return [error(base, 'required key `issuers` is missing', advice)]
  }
  return require.issuers.flatMap((name, i) => {
    const at = [...base, 'issuers', i]
    if (!parts.issuerNames.includes(name)) {
      return [error(at, `there is no issuer \`${name}\``, nearest(name, parts.issuerNames))]
    }
    const issuer = parts.issuers.get(name)
    const lacksIdentity = issuer !== undefined && issuer.identity === undefined
    return require.bindings.includes('spiffe') && lacksIdentity
      ? [
          error(
            at,
            `\`spiffe\` needs the \`identity\` of issuer \`${name}\``,
            'Say where its tokens carry the SPIFFE ID: identity: { claim: sub }.',
          ),
        ]
      : []
  })
}

/** A route narrows the audiences of its issuers; one that leaves an issuer none could never take its tokens. */
function audienceProblems(
  base: Unplaced['path'],
  require: RequirementDocument,
  parts: Parts,
): Unplaced[] {
  const { audiences, issuers = [] } = require
  if (audiences === undefined) return []
  const known = issuers.flatMap((name) => {
    const issuer = parts.issuers.get(name)
    return issuer === undefined ? [] : [{ name, audiences: issuer.audiences }]
  })
  const foreign = audiences.flatMap((audience, i) =>
    known.length > 0 && !known.some((issuer) => issuer.audiences.includes(audience))
      ? [
          error(
            [...base, 'audiences', i],
            'is no audience of the route’s issuers',
            'A route narrows their audiences; it cannot add to them.',
          ),
        ]
      : [],
  )
  const left = known.filter(
    (issuer) => !issuer.audiences.some((audience) => audiences.includes(audience)),
  )
  const never = left.map(({ name }) =>
    error(
      [...base, 'audiences'],
      `holds none of the audiences of issuer \`${name}\`, so its tokens could never pass`,
    ),
  )
  return [...foreign, ...never]
}

function callerProblems(at: Unplaced['path'], caller: string, parts: Parts): Unplaced[] {
  const plain = caller.endsWith('/*') ? caller.slice(0, -2) : caller
  // WITs may name workloads in the scheme `wimse`; a pattern of one scheme never takes an identifier of the other.
  const id = parseSpiffeId(plain.replace(/^wimse:/, 'spiffe:'))
  if (id === undefined || (!caller.endsWith('/*') && !hasPath(id))) {
    return [
      error(at, 'must be a SPIFFE ID with a path, or one that ends in /* for everything below'),
    ]
  }
  const domains = parts.spec['trustDomains']
  return Array.isArray(domains) && !domains.includes(trustDomainOf(id))
    ? [
        error(
          at,
          'is of a trust domain that is not in spec.trustDomains, so it could never call',
          nearest(trustDomainOf(id), domains.map(String)),
        ),
      ]
    : []
}

function nearest(given: string, known: readonly string[]): string {
  const [near] = known
    .filter((name) => leven(given, name) <= 3)
    .sort((a, b) => leven(given, a) - leven(given, b))
  return near === undefined
    ? `There is: ${known.slice(0, 16).join(', ') || 'none'}.`
    : `Did you mean \`${near}\`?`
}
