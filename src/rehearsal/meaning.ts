/** What the form of a policy test cannot say: names that lead nowhere, times that are none, parts that contradict each other. */

import { error, type Unplaced } from '../policy/problem.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { TestCase, TestDocument } from './schema.ts'
import { suggestName } from './suggest.ts'
import { timeSeconds } from './time.ts'

type Path = Unplaced['path']

/** The names that each kind of reference may use. */
interface Known {
  readonly peer: readonly string[]
  readonly key: readonly string[]
  readonly token: readonly string[]
  readonly wit: readonly string[]
}

export function findTestProblems(document: TestDocument): Unplaced[] {
  const { peers = {}, keys = {}, tokens = {}, wits = {}, tests } = document
  const known: Known = {
    peer: Object.keys(peers),
    key: Object.keys(keys),
    token: Object.keys(tokens),
    wit: Object.keys(wits),
  }
  return [
    ...timeProblems(['now'], document.now),
    ...Object.entries(peers).flatMap(([name, { notBefore, notAfter, keyOf }]) => {
      const base = ['peers', name]
      return [
        ...timeProblems([...base, 'notBefore'], notBefore),
        ...timeProblems([...base, 'notAfter'], notAfter),
        ...referenceProblems([...base, 'keyOf'], 'peer', keyOf, known),
        ...(keyOf !== undefined && peers[keyOf]?.keyOf !== undefined
          ? [error([...base, 'keyOf'], 'names a peer that has another’s key itself')]
          : []),
      ]
    }),
    ...Object.entries(tokens).flatMap(([name, { bind = {}, issuedAt, expiresAt }]) => {
      const base = ['tokens', name]
      return [
        ...referenceProblems([...base, 'bind', 'x5t#S256'], 'peer', bind['x5t#S256'], known),
        ...referenceProblems([...base, 'bind', 'jwk'], 'peer', bind.jwk, known),
        ...referenceProblems([...base, 'bind', 'dpop'], 'key', bind.dpop, known),
        ...timeProblems([...base, 'issuedAt'], issuedAt),
        ...timeProblems([...base, 'expiresAt'], expiresAt),
      ]
    }),
    ...Object.entries(wits).flatMap(([name, { key, expiresAt }]) => [
      ...referenceProblems(['wits', name, 'key'], 'key', key, known),
      ...timeProblems(['wits', name, 'expiresAt'], expiresAt),
    ]),
    ...tests.flatMap((test, index) => caseProblems(['tests', index], test, tests, known)),
  ]
}

/** @param issuers Those of the policy, by name. */
export function findUnknownIssuers(
  { tokens = {} }: TestDocument,
  issuers: readonly string[],
): Unplaced[] {
  return Object.entries(tokens).flatMap(([name, { issuer }]) =>
    issuers.includes(issuer)
      ? []
      : [
          error(
            ['tokens', name, 'issuer'],
            `the policy has no issuer \`${issuer}\``,
            suggestName(issuer, issuers),
          ),
        ],
  )
}

/** @param issuers Those of the policy. An opaque token has no header: what a test writes there would change nothing. */
export function findIdleHeaders(
  { tokens = {} }: TestDocument,
  issuers: PolicyDocument['spec']['issuers'],
): Unplaced[] {
  return Object.entries(tokens).flatMap(([name, { issuer, header }]) =>
    header !== undefined && issuers[issuer]?.introspection !== undefined
      ? [
          error(
            ['tokens', name, 'header'],
            `is of signed tokens, and those of \`${issuer}\` are opaque (introspection)`,
          ),
        ]
      : [],
  )
}

function caseProblems(
  base: Path,
  test: TestCase,
  tests: readonly TestCase[],
  known: Known,
): Unplaced[] {
  const { peer, via, token, scheme, proof, wit, wpt, request } = test
  const { headers = {} } = request
  const { authorization, dpop } = headers
  const proofKey = typeof proof === 'string' ? proof : proof?.key
  return [
    ...(tests.find(({ name }) => name === test.name) === test
      ? []
      : [error([...base, 'name'], 'another test has this name already')]),
    ...referenceProblems([...base, 'peer'], 'peer', peer, known),
    ...(typeof via === 'string'
      ? referenceProblems([...base, 'via'], 'peer', via, known)
      : (via ?? []).flatMap((name, i) =>
          referenceProblems([...base, 'via', i], 'peer', name, known),
        )),
    ...referenceProblems([...base, 'token'], 'token', token, known),
    ...referenceProblems([...base, 'proof'], 'key', proofKey, known),
    ...referenceProblems([...base, 'wit'], 'wit', wit, known),
    ...referenceProblems([...base, 'wpt', 'key'], 'key', keyOf(wpt), known),
    ...(wit !== undefined && headers['workload-identity-token'] !== undefined
      ? [
          error(
            [...base, 'wit'],
            'goes without the header `workload-identity-token`, which it fills',
          ),
        ]
      : []),
    ...(wit !== undefined && wpt !== 'none' && headers['workload-proof-token'] !== undefined
      ? [
          error(
            [...base, 'wit'],
            'goes without the header `workload-proof-token`, which it fills, or with `wpt: none`',
          ),
        ]
      : []),
    ...(wit === undefined && wpt !== undefined ? [error([...base, 'wpt'], 'goes with `wit`')] : []),
    ...(token !== undefined && authorization !== undefined
      ? [error([...base, 'token'], 'goes without the header `authorization`, which it fills')]
      : []),
    ...(token === undefined && scheme !== undefined
      ? [error([...base, 'scheme'], 'goes with `token`')]
      : []),
    ...(proof !== undefined && dpop !== undefined
      ? [error([...base, 'proof'], 'goes without the header `dpop`, which it fills')]
      : []),
  ]
}

function keyOf(wpt: TestCase['wpt']): string | undefined {
  return typeof wpt === 'object' ? wpt.key : undefined
}

function referenceProblems(
  path: Path,
  kind: keyof Known,
  name: string | undefined,
  known: Known,
): Unplaced[] {
  if (name === undefined || known[kind].includes(name)) return []
  return [error(path, `there is no ${kind} \`${name}\``, suggestName(name, known[kind]))]
}

function timeProblems(path: Path, text: string | undefined): Unplaced[] {
  // Whatever `now` is: a relative time is always one.
  if (text === undefined || !Number.isNaN(timeSeconds(text, 0))) return []
  return [error(path, 'is no day of the calendar, or no time of day')]
}
