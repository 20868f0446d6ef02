/** Which routes of a policy the tests have been on, and whether they saw each of them both allow and deny. */

import type { Policy } from '../check.ts'
import { isUnprotected } from '../policy/compile.ts'
import type { FileResult, Gap, RouteCoverage, TestResult } from './result.ts'

export function coverRoutes(policy: Policy, tests: readonly TestResult[]): RouteCoverage[] {
  return policy.routes.map(({ name, mode, require }) => {
    const verdicts = tests.filter(({ got }) => got.route === name).map(({ got }) => got.verdict)
    return {
      name,
      mode,
      unprotected: isUnprotected(require),
      allowed: verdicts.filter((verdict) => verdict === 'allow').length,
      denied: verdicts.filter((verdict) => verdict === 'deny').length,
    }
  })
}

/** Over all files that test one policy, in the order of its routes. */
export function findGaps(results: readonly FileResult[]): Gap[] {
  const byPolicy = Map.groupBy(results, ({ policyFile }) => policyFile)
  return [...byPolicy].flatMap(([policyFile, files]) =>
    [
      ...Map.groupBy(
        files.flatMap(({ routes }) => routes),
        ({ name }) => name,
      ),
    ].flatMap(([route, covered]) => {
      const kind = gapOf(covered)
      return kind === undefined ? [] : [{ policyFile, route, kind }]
    }),
  )
}

/** What is allowed on purpose, or not looked at, has no denial to show. */
function gapOf(covered: readonly RouteCoverage[]): Gap['kind'] | undefined {
  const allowed = covered.some((route) => route.allowed > 0)
  const denied = covered.some((route) => route.denied > 0)
  const mayDeny = covered.some((route) => !route.unprotected && route.mode !== 'disabled')
  if (!allowed && !denied) return 'untouched'
  if (!allowed) return 'never_allowed'
  return denied || !mayDeny ? undefined : 'never_denied'
}
