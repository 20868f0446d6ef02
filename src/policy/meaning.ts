/** What the schema cannot say: references, contradictions, rules that can never match. Judges every part that is well-formed by itself. */

import { urlProblem } from '../token/url.ts'
import { durationGrammar, durationSeconds } from './duration.ts'
import { findHidden } from './hidden.ts'
import { notYetInSpec } from './not-yet.ts'
import { originProblems } from './origins.ts'
import { type Parts, takeApart } from './parts.ts'
import { peerProblems } from './peer-meaning.ts'
import { error, type Unplaced, warning } from './problem.ts'
import { routeProblems } from './route-meaning.ts'
import type { IssuerDocument, KeySourceDocument } from './schema.ts'

const maxClockSkewSeconds = 300
const maxProofAgeSeconds = 3600

/** @param value The document as plain data, whatever it is. */
export function findContradictions(value: unknown): Unplaced[] {
  const parts = takeApart(value)
  if (parts === undefined) return []
  return [
    ...notYetInSpec(parts.spec),
    ...peerProblems(parts),
    ...dpopProblems(parts),
    ...clockSkewProblems(parts.spec['clockSkew']),
    ...[...parts.issuers].flatMap(([name, issuer]) => issuerProblems(name, issuer, parts)),
    ...parts.routes.flatMap(({ index, route }) => routeProblems(index, route, parts)),
    ...hiddenRoutes(parts),
    ...unmatchedProblems(parts),
  ]
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
  if (issuer.identity !== undefined && Object.keys(issuer.identity).length !== 1) {
    problems.push(error([...base, 'identity'], 'must have exactly one of claim, kubernetes'))
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
  const query =
    keys.discovery === true && issuer.includes('?') ? 'must be without query' : undefined
  const problem = url === undefined ? undefined : (urlProblem(url) ?? query)
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

function dpopProblems({ dpop }: Parts): Unplaced[] {
  if (dpop === undefined) return []
  const base = ['spec', 'dpop']
  const age = dpop.maxAge
  return [
    ...originProblems([...base, 'origins'], dpop.origins),
    ...(age !== undefined && durationSeconds(age) > maxProofAgeSeconds
      ? [
          error(
            [...base, 'maxAge'],
            'must be at most 1h',
            'A proof is made for one request: RFC 9449 §11.1 speaks of seconds to minutes.',
          ),
        ]
      : []),
  ]
}

function hiddenRoutes(parts: Parts): Unplaced[] {
  const hidden = findHidden(parts.routes.map(({ route }) => route))
  return parts.routes.flatMap(({ index, route }) => {
    const by = hidden.get(route)
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
