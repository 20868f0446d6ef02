/** What the schema cannot say of an issuer's introspection: who the client is, which files that takes, and its limits. */

import { urlProblem } from '../token/url.ts'
import { durationSeconds } from './duration.ts'
import { defaultAuth } from './introspection-plan.ts'
import { keySourceProblems } from './key-source-meaning.ts'
import type { Parts } from './parts.ts'
import { error, type Unplaced } from './problem.ts'
import type { IntrospectionDocument, IssuerDocument, RequirementDocument } from './schema.ts'

type Place = Unplaced['path']

const maxTimeoutSeconds = 10
const maxCacheSeconds = 300

const filesOf = {
  basic: ['clientSecretFile'],
  post: ['clientSecretFile'],
  private_key_jwt: ['clientKeyFile'],
  mtls: ['clientCertFile', 'clientKeyFile'],
} as const satisfies { readonly [auth in NonNullable<IntrospectionDocument['auth']>]: unknown }
const allFiles = ['clientSecretFile', 'clientKeyFile', 'clientCertFile'] as const

/** @param base Of the issuer. */
export function introspectionProblems(
  base: Place,
  issuer: IssuerDocument,
  introspection: IntrospectionDocument,
): Unplaced[] {
  const at = [...base, 'introspection']
  const { url, timeout, cacheFor, signed } = introspection
  const problem = urlProblem(url)
  return [
    ...aboutSignedTokens(base, issuer),
    ...(problem === undefined ? [] : [error([...at, 'url'], problem)]),
    ...clientProblems(at, introspection),
    ...(timeout !== undefined && !isWithin(timeout, 1, maxTimeoutSeconds)
      ? [
          error(
            [...at, 'timeout'],
            'must be from 1s to 10s',
            'No check waits that long; the call goes on for the next one.',
          ),
        ]
      : []),
    ...(cacheFor !== undefined && !isWithin(cacheFor, 0, maxCacheSeconds)
      ? [
          error(
            [...at, 'cacheFor'],
            'must be at most 5m',
            'A token that the issuer has revoked passes for that long.',
          ),
        ]
      : []),
    ...(signed === undefined
      ? []
      : keySourceProblems([...at, 'signed', 'keys'], signed.keys, issuer.issuer)),
  ]
}

/** What stands beside it would be passed over. */
function aboutSignedTokens(base: Place, { keys, algorithms, types }: IssuerDocument): Unplaced[] {
  const beside = { keys, algorithms, types }
  return Object.entries(beside).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [
          {
            ...error(
              [...base, name],
              `\`${name}\` is about signed tokens, and goes without \`introspection\``,
              'Its signed tokens are asked about as well: remove it.',
            ),
            at: 'key' as const,
          },
        ],
  )
}

function clientProblems(at: Place, introspection: IntrospectionDocument): Unplaced[] {
  const { auth = defaultAuth, url } = introspection
  const wanted: readonly (typeof allFiles)[number][] = filesOf[auth]
  const missing = wanted
    .filter((name) => introspection[name] === undefined)
    .map((name) => error(at, `auth \`${auth}\` needs \`${name}\``))
  const idle = allFiles
    .filter((name) => introspection[name] !== undefined && !wanted.includes(name))
    .map((name) => ({
      ...error(
        [...at, name],
        `is not used with auth \`${auth}\``,
        `It takes ${wanted.join(', ')}.`,
      ),
      at: 'key' as const,
    }))
  const plain = auth === 'mtls' && url.startsWith('http:')
  return [
    ...missing,
    ...idle,
    ...(plain ? [error([...at, 'url'], 'must be https: auth `mtls` shows a certificate')] : []),
  ]
}

function isWithin(duration: string, fromSeconds: number, toSeconds: number): boolean {
  const seconds = durationSeconds(duration)
  return seconds >= fromSeconds && seconds <= toSeconds
}

/** An opaque text does not say whose it is: with two introspectors, one would be shown the other's tokens. */
export function introspectorProblems(
  base: Place,
  { issuers = [] }: RequirementDocument,
  parts: Parts,
): Unplaced[] {
  const places = [...issuers.entries()].filter(
    ([, name]) => parts.issuers.get(name)?.introspection !== undefined,
  )
  const [first, ...others] = places
  return others.map(([i, name]) =>
    error(
      [...base, 'issuers', i],
      `\`${name}\` is a second issuer with introspection, beside \`${first?.[1]}\``,
      'A route takes at most one: divide it by host or path.',
    ),
  )
}
