/** What the schema cannot say: references, contradictions, rules that can never match. Judges every part that is well-formed by itself. */

import leven from 'leven'
import { parseSpiffeId, trustDomainOf } from '../evidence/spiffe-id.ts'
import { urlProblem } from '../token/url.ts'
import { durationGrammar, durationSeconds } from './duration.ts'
import { hiddenBy } from './hidden.ts'
import { isHostPattern } from './host.ts'
import { notYetInPeer, notYetInRoute, notYetInSpec } from './not-yet.ts'
import { canonicalPath } from './path.ts'
import { error, type Unplaced, warning } from './problem.ts'
import {
  type IssuerDocument,
  issuerSchema,
  type KeySourceDocument,
  type PeerDocument,
  peerSchema,
  type RequirementDocument,
  type RouteDocument,
  routeSchema,
} from './schema.ts'

/** The well-formed parts of a document that may be broken elsewhere. */
interface Parts {
  readonly spec: { readonly [name: string]: unknown }
  readonly peer: PeerDocument
  readonly issuerNames: readonly string[]
  readonly issuers: ReadonlyMap<string, IssuerDocument>
  readonly routes: readonly { readonly index: number; readonly route: RouteDocument }[]
}

const maxClockSkewSeconds = 300

/** @param value The document as plain data, whatever it is. */
export function findContradictions(value: unknown): Unplaced[] {
  const parts = takeApart(value)
  if (parts === undefined) return []
  return [
    ...notYetInSpec(parts.spec),
    ...notYetInPeer(parts.peer),
    ...clockSkewProblems(parts.spec['clockSkew']),
    ...[...parts.issuers].flatMap(([name, issuer]) => issuerProblems(name, issuer, parts)),
    ...parts.routes.flatMap(({ index, route }) => routeProblems(index, route, parts)),
    ...hiddenRoutes(parts),
    ...unmatchedProblems(parts),
  ]
}

function takeApart(value: unknown): Parts | undefined {
  const spec = isObject(value) ? value['spec'] : undefined
  if (!isObject(spec)) return undefined
  const issuers = isObject(spec['issuers']) ? spec['issuers'] : {}
  const routes: unknown[] = Array.isArray(spec['routes']) ? spec['routes'] : []
  return {
    spec,
    peer: peerSchema.safeParse(spec['peer'] ?? {}).data ?? {},
    issuerNames: Object.keys(issuers),
    issuers: new Map(
      Object.entries(issuers).flatMap(([name, issuer]) => {
        const parsed = issuerSchema.safeParse(issuer)
        return parsed.success ? [[name, parsed.data]] : []
      }),
    ),
    routes: routes.flatMap((route, index) => {
      const parsed = routeSchema.safeParse(route)
      return parsed.success ? [{ index, route: parsed.data }] : []
    }),
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function clockSkewProblems(value: unknown): Unplaced[] {
  const tooLong =
    typeof value === 'string' &&
    durationGrammar.test(value) &&
    durationSeconds(value) > maxClockSkewSeconds
  return tooLong
    ? [
        error(
          ['spec', 'clockSkew'],
          'must be at most 5m',
          'Fix the clocks instead: skew prolongs every token.',
        ),
      ]
    : []
}

function issuerProblems(name: string, issuer: IssuerDocument, parts: Parts): Unplaced[] {
  const base = ['spec', 'issuers', name]
  const problems: Unplaced[] = []
  if (issuer.introspection !== undefined) {
    problems.push({
      ...error(
        [...base, 'introspection'],
        '`introspection` is not in this version',
        'Opaque tokens come with a later release.',
      ),
      at: 'key',
    })
  } else if (issuer.keys === undefined) {
    problems.push(
      error(
        base,
        'required key `keys` is missing',
        'Write keys: { url: … }, { file: … } or { discovery: true }.',
      ),
    )
  }
  if (issuer.keys !== undefined)
    problems.push(...keySourceProblems([...base, 'keys'], issuer.keys, issuer.issuer))
  const twin = [...parts.issuers].find(
    ([other, { issuer: iss }]) => iss === issuer.issuer && other !== name,
  )
  if (twin !== undefined && parts.issuerNames.indexOf(twin[0]) < parts.issuerNames.indexOf(name)) {
    problems.push(
      error(
        [...base, 'issuer'],
        `is the same as that of \`${twin[0]}\``,
        'A token’s `iss` must lead to one set of keys: merge the two.',
      ),
    )
  }
  return problems
}

function keySourceProblems(
  base: Unplaced['path'],
  keys: KeySourceDocument,
  issuer: string,
): Unplaced[] {
  const given = ['file', 'url', 'discovery'].filter((name) => Object.hasOwn(keys, name))
  if (given.length !== 1) return [error(base, 'must have exactly one of file, url, discovery')]
  const problems: Unplaced[] = []
  const url = keys.url ?? (keys.discovery === true ? issuer : undefined)
  const problem = url === undefined ? undefined : urlProblem(url)
  if (problem !== undefined && keys.discovery === true) {
    problems.push(error([...base, 'discovery'], `cannot be used: the issuer ${problem}`))
  } else if (problem !== undefined) {
    problems.push(error([...base, 'url'], problem))
  }
  if (keys.caFile !== undefined && keys.file !== undefined) {
    problems.push(error([...base, 'caFile'], 'goes with url or discovery, not with file'))
  }
  return problems
}

function routeProblems(index: number, route: RouteDocument, parts: Parts): Unplaced[] {
  const base = ['spec', 'routes', index]
  const firstOfName = parts.routes.find(({ route: other }) => other.name === route.name)
  return [
    ...notYetInRoute(index, route),
    ...(firstOfName !== undefined && firstOfName.index < index
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
  return plain.includes('*')
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
  const problems: Unplaced[] = []
  const names = require.issuers ?? []
  if (names.length === 0) {
    problems.push(
      error(
        base,
        'required key `issuers` is missing',
        `Name the issuers whose tokens the route takes: ${parts.issuerNames.join(', ')}.`,
      ),
    )
  }
  for (const [i, name] of names.entries()) {
    if (!parts.issuerNames.includes(name)) {
      problems.push(
        error(
          [...base, 'issuers', i],
          `there is no issuer \`${name}\``,
          nearest(name, parts.issuerNames),
        ),
      )
    }
  }
  const issuers = names.flatMap((name) => parts.issuers.get(name) ?? [])
  for (const [i, name] of names.entries()) {
    const issuer = parts.issuers.get(name)
    if (
      require.bindings.includes('spiffe') &&
      issuer !== undefined &&
      issuer.identity === undefined
    ) {
      problems.push(
        error(
          [...base, 'issuers', i],
          `\`spiffe\` needs the \`identity\` of issuer \`${name}\``,
          'Say where its tokens carry the SPIFFE ID: identity: { claim: sub }.',
        ),
      )
    }
    if (
      require.audiences !== undefined &&
      issuer !== undefined &&
      !issuer.audiences.some((a) => require.audiences?.includes(a))
    ) {
      problems.push(
        error(
          [...base, 'audiences'],
          `holds none of the audiences of issuer \`${name}\`, so its tokens could never pass`,
        ),
      )
    }
  }
  for (const [i, audience] of (require.audiences ?? []).entries()) {
    if (issuers.length > 0 && !issuers.some((issuer) => issuer.audiences.includes(audience))) {
      problems.push(
        error(
          [...base, 'audiences', i],
          'is no audience of the route’s issuers',
          'A route narrows their audiences; it cannot add to them.',
        ),
      )
    }
  }
  for (const [i, caller] of (require.callers ?? []).entries())
    problems.push(...callerProblems([...base, 'callers', i], caller, parts))
  const evidence = parts.peer.evidence ?? ['certificate']
  const needsCertificate = require.bindings.filter(
    (binding) => binding === 'x5t#S256' || binding === 'jwk',
  )
  if (
    needsCertificate.length > 0 &&
    !evidence.some((source) => source === 'certificate' || source === 'xfcc')
  ) {
    problems.push(
      error(
        [...base, 'bindings'],
        `${needsCertificate.join(' and ')} can never be confirmed without certificate evidence`,
        'Add certificate to spec.peer.evidence, and include_peer_certificate: true to the Envoy filter.',
      ),
    )
  }
  return problems
}

function callerProblems(at: Unplaced['path'], caller: string, parts: Parts): Unplaced[] {
  const id = parseSpiffeId(caller.endsWith('/*') ? caller.slice(0, -2) : caller)
  if (id === undefined)
    return [error(at, 'must be a SPIFFE ID, or one that ends in /* for everything below')]
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

function hiddenRoutes(parts: Parts): Unplaced[] {
  return parts.routes.flatMap(({ index, route }, position) => {
    const by = hiddenBy(
      route,
      parts.routes.slice(0, position).map((earlier) => earlier.route),
    )
    return by === undefined
      ? []
      : [
          error(
            ['spec', 'routes', index, 'name'],
            `can never match: \`${by.name}\` above takes everything that it matches`,
            'Move it up, or remove it.',
          ),
        ]
  })
}

function unmatchedProblems(parts: Parts): Unplaced[] {
  const limited = parts.routes.some(({ route }) => route.match?.hosts !== undefined)
  return parts.spec['unmatched'] === 'allow' && limited
    ? [
        warning(
          ['spec', 'unmatched'],
          'the client chooses the Host header: another host than the routes name is allowed without a check',
          'Write `unmatched: deny`, or let Envoy route by host before it asks.',
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
