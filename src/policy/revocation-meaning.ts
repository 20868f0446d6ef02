/** What the schema cannot say of `spec.revocation`: its durations, hosts, and who may speak for whom. */

import { durationSeconds } from './duration.ts'
import { isHostPattern } from './host.ts'
import { keySourceProblems } from './key-source-meaning.ts'
import type { Parts } from './parts.ts'
import { error, type Unplaced } from './problem.ts'

const maxStaleLimitSeconds = 24 * 3600
const base = ['spec', 'revocation']

export function revocationProblems({ revocation, issuers, issuerNames }: Parts): Unplaced[] {
  if (revocation === undefined) return []
  const { denylist, statusList, events } = revocation
  const problems: Unplaced[] = []
  if (denylist === undefined && statusList === undefined && events === undefined)
    problems.push(error(base, 'must have at least one of denylist, statusList, events'))
  if (statusList !== undefined) {
    const at = [...base, 'statusList']
    for (const [i, host] of statusList.hosts.entries()) {
      if (!isHostPattern(host) || host.startsWith('*'))
        problems.push(error([...at, 'hosts', i], 'must be one lower-case host, without port'))
    }
    if (statusList.maxStale && durationSeconds(statusList.maxStale) > maxStaleLimitSeconds)
      problems.push(error([...at, 'maxStale'], 'must be at most 24h'))
    if (statusList.keys !== undefined)
      problems.push(...keySourceProblems([...at, 'keys'], statusList.keys, undefined))
  }
  for (const [name, stream] of Object.entries(events ?? {})) {
    const at = [...base, 'events', name]
    problems.push(...keySourceProblems([...at, 'keys'], stream.keys, stream.issuer))
    const known = [...issuers.values()].some(({ issuer }) => issuer === stream.issuer)
    if (!known && !issuerNames.includes(name)) {
      const advice =
        'Name the stream as the issuer whose tokens it may revoke, or give its transmitter the `issuer` of one.'
      problems.push({
        ...error(at, `\`${name}\` can revoke no issuer’s tokens`, advice),
        at: 'key',
      })
    }
  }
  return problems
}
