/** What the schema cannot say: references, contradictions, rules that can never match. Judges every part that is well-formed by itself. */

import { durationGrammar, durationSeconds } from './duration.ts'
import { findHidden } from './hidden.ts'
import { introspectionProblems } from './introspection-meaning.ts'
import { keySourceProblems } from './key-source-meaning.ts'
import { originProblems } from './origins.ts'
import { type Parts, takeApart } from './parts.ts'
import { peerProblems } from './peer-meaning.ts'
import { error, type Unplaced, warning } from './problem.ts'
import { revocationProblems } from './revocation-meaning.ts'
import { routeProblems } from './route-meaning.ts'
import type { IssuerDocument } from './schema.ts'
import { wimseProblems } from './wimse-meaning.ts'

const maxClockSkewSeconds = 300
const maxProofAgeSeconds = 3600
/** A revocation is remembered for longer than any token can live (state/revocation-entry.ts). */
const maxLifetimeSeconds = 30 * 24 * 3600

/** @param value The document as plain data, whatever it is. */
export function findContradictions(value: unknown): Unplaced[] {
  const parts = takeApart(value)
  if (parts === undefined) return []
  return [
    ...peerProblems(parts),
    ...dpopProblems(parts),
    ...wimseProblems(parts),
    ...revocationProblems(parts),
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
    problems.push(...introspectionProblems(base, issuer, issuer.introspection))
  } else if (issuer.keys === undefined) {
    problems.push(
      error(
        base,
        'required key `keys` is missing',
        'Write keys: { url: … }, { file: … } or { discovery: true }; or introspection, for opaque tokens.',
      ),
    )
  }
  if (
    issuer.maxLifetime !== undefined &&
    durationSeconds(issuer.maxLifetime) > maxLifetimeSeconds
  ) {
    const advice = 'A stolen token is good for as long as it lives: minutes are better than days.'
    problems.push(error([...base, 'maxLifetime'], 'must be at most 720h', advice))
  }
  if (issuer.identity !== undefined && Object.keys(issuer.identity).length !== 1) {
    problems.push(error([...base, 'identity'], 'must have exactly one of claim, kubernetes'))
  }
  if (issuer.keys !== undefined)
    problems.push(...keySourceProblems([...base, 'keys'], issuer.keys, issuer.issuer))
  // One server may hand out both kinds of tokens: its signed ones go by its keys, the others it is asked about.
  const twin = [...parts.issuers].find(
    ([other, { issuer: iss, introspection }]) =>
      iss === issuer.issuer &&
      other !== name &&
      (introspection === undefined) === (issuer.introspection === undefined),
  )
  if (twin !== undefined && parts.issuerNames.indexOf(twin[0]) < parts.issuerNames.indexOf(name)) {
    problems.push(
      error(
        [...base, 'issuer'],
        `is the same as that of \`${twin[0]}\``,
        'A token’s `iss` must lead to one set of keys, or to one endpoint: merge the two.',
      ),
    )
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
