/** What the schema cannot say of `spec.wimse`, and of routes that take WITs: whose keys, and what needs a token beside them. */

import { durationSeconds } from './duration.ts'
import { keySourceProblems } from './key-source-meaning.ts'
import type { Parts } from './parts.ts'
import { error, type Unplaced } from './problem.ts'
import { takesTokens } from './requirement.ts'
import type { RequirementDocument } from './schema.ts'

const base = ['spec', 'wimse']
const maxProofLifetimeSeconds = 600

export function wimseProblems({ wimse, spec }: Parts): Unplaced[] {
  if (wimse === undefined) return []
  const domains = spec['trustDomains']
  const anchors = Object.entries(wimse.trustAnchors).flatMap(([domain, { keys }]) => {
    const at = [...base, 'trustAnchors', domain]
    const unlisted = Array.isArray(domains) && !domains.includes(domain)
    const advice = 'Add it there, or remove it here: its workloads are nobody to this policy.'
    return [
      ...(unlisted
        ? [{ ...error(at, 'is not in spec.trustDomains', advice), at: 'key' as const }]
        : []),
      ...keySourceProblems([...at, 'keys'], keys, undefined),
    ]
  })
  const none =
    Object.keys(wimse.trustAnchors).length === 0
      ? [error([...base, 'trustAnchors'], 'must name at least one trust domain')]
      : []
  const { maxLifetime } = wimse
  const tooLong =
    maxLifetime !== undefined && durationSeconds(maxLifetime) > maxProofLifetimeSeconds
      ? [
          error(
            [...base, 'maxLifetime'],
            'must be at most 10m',
            'A WPT is made for one request: seconds are enough.',
          ),
        ]
      : []
  return [...none, ...anchors, ...tooLong]
}

/** What is said of tokens has no meaning where none is taken, and would only look like a rule. */
const aboutTokens = [
  'audiences',
  'scopes',
  'claims',
  'maxLifetime',
  'maxAge',
  'unbound',
  'delegation',
] as const

export function wimseRouteProblems(
  at: Unplaced['path'],
  require: RequirementDocument,
  { spec }: Parts,
): Unplaced[] {
  const listed = require.bindings.indexOf('wimse')
  if (listed === -1) return []
  const needless = takesTokens(require)
    ? []
    : aboutTokens.filter((name) => require[name] !== undefined)
  return [
    ...(spec['wimse'] === undefined
      ? [
          error(
            [...at, 'bindings', listed],
            '`wimse` needs `spec.wimse`',
            'Write spec.wimse with audiences and trustAnchors: who signs the WITs, and what their proofs are made for.',
          ),
        ]
      : []),
    ...needless.map((name) => ({
      ...error(
        [...at, name],
        'is about access tokens, and the route takes none',
        'Name the `issuers` whose tokens it takes beside the WIT, or remove this.',
      ),
      at: 'key' as const,
    })),
  ]
}
