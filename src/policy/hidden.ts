/** Finds routes that an earlier route hides entirely, so that no operator relies on a rule that can never match. */

import { hostMatches } from './host.ts'
import type { RouteDocument } from './schema.ts'

type Match = NonNullable<RouteDocument['match']>

/** The first earlier route that takes everything the route could match, or undefined. */
export function hiddenBy(
  route: RouteDocument,
  earlier: readonly RouteDocument[],
): RouteDocument | undefined {
  return earlier.find((other) => covers(other.match ?? {}, route.match ?? {}))
}

function covers(wide: Match, narrow: Match): boolean {
  return (
    coversList(wide.hosts, narrow.hosts, coversHost) &&
    coversList(wide.methods, narrow.methods, (a, b) => a === b) &&
    coversList(wide.paths, narrow.paths, coversPath) &&
    Object.entries(wide.context ?? {}).every(([key, value]) => narrow.context?.[key] === value)
  )
}

/** An absent list matches everything. */
function coversList(
  wide: readonly string[] | undefined,
  narrow: readonly string[] | undefined,
  coversItem: (wide: string, narrow: string) => boolean,
): boolean {
  if (wide === undefined) return true
  return narrow?.every((item) => wide.some((candidate) => coversItem(candidate, item))) ?? false
}

function coversHost(wide: string, narrow: string): boolean {
  return wide === narrow || hostMatches(wide, narrow.replace(/^\*/, 'any'))
}

function coversPath(wide: string, narrow: string): boolean {
  return wide === narrow || (wide.endsWith('/*') && narrow.startsWith(wide.slice(0, -1)))
}
