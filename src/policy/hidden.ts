/** Finds routes that an earlier route hides entirely, so that no operator relies on a rule that can never match. */

import { hostMatches } from './host.ts'
import { comparablePattern } from './path.ts'
import type { RouteDocument } from './schema.ts'

type Match = NonNullable<RouteDocument['match']>

interface Candidate {
  readonly route: RouteDocument
  readonly match: Match
}

/**
 * Each hidden route with the first earlier one that takes everything it could match. Candidates are looked up by a
 * path that they would have to cover, so that ten thousand routes need not be compared each with each.
 */
export function findHidden(
  routes: readonly RouteDocument[],
): ReadonlyMap<RouteDocument, RouteDocument> {
  const byPattern = new Map<string, Candidate[]>()
  const hidden = new Map<RouteDocument, RouteDocument>()
  for (const route of routes) {
    const candidate = { route, match: comparable(route.match ?? {}) }
    const by = wider(candidate.match).flatMap((pattern) => byPattern.get(pattern) ?? [])
    const cover = by.find(({ match }) => covers(match, candidate.match))
    if (cover !== undefined) hidden.set(route, cover.route)
    for (const pattern of candidate.match.paths ?? [everything]) {
      const candidates = byPattern.get(pattern)
      if (candidates === undefined) byPattern.set(pattern, [candidate])
      else candidates.push(candidate)
    }
  }
  return hidden
}

/** Stands for a route without `paths`. */
const everything = ''

function comparable(match: Match): Match {
  return match.paths === undefined ? match : { ...match, paths: match.paths.map(comparablePattern) }
}

/** Every pattern that takes the first path: itself, `/*` at each slash above it, and no path at all. */
function wider({ paths }: Match): string[] {
  const [path] = paths ?? []
  if (path === undefined) return [everything]
  const slashes = [...path].flatMap((char, i) => (char === '/' ? [i] : []))
  return [everything, ...new Set([path, ...slashes.map((i) => `${path.slice(0, i + 1)}*`)])]
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
  if (!narrow.startsWith('*.')) return hostMatches(wide, narrow)
  return wide.startsWith('*.') && narrow.endsWith(wide.slice(1))
}

function coversPath(wide: string, narrow: string): boolean {
  return wide === narrow || (wide.endsWith('/*') && narrow.startsWith(wide.slice(0, -1)))
}
