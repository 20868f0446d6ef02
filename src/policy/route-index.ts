/**
 * Routes by host and path, so that finding the first that matches costs as much among ten thousand as among ten: a few
 * look-ups for each host pattern that could take the host, and each path prefix that could take the path.
 */

import type { Matcher, RouteMatch } from './match.ts'

export interface RouteIndex<R extends RouteMatch> {
  /** In the policy's order, which decides. */
  readonly routes: readonly R[]
  /** Where the routes stand that a host's name leads to; a host in no list is served by those of any host alone. */
  readonly hosts: ReadonlyMap<string, PathIndex>
  /** By what follows the `*` of a pattern: `.example.com`. */
  readonly domains: ReadonlyMap<string, PathIndex>
  readonly anyHost: PathIndex
  readonly servesAnyHost: boolean
}

/** Places in the policy's order, by what a route says of the path. */
export interface PathIndex {
  readonly exact: ReadonlyMap<string, readonly number[]>
  /** Each ends in a slash. */
  readonly prefixes: ReadonlyMap<string, readonly number[]>
  readonly anyPath: readonly number[]
  /** Slashes in the longest prefix: a path of thousands of segments is not cut thousands of times. */
  readonly deepest: number
}

export function indexRoutes<R extends RouteMatch>(routes: readonly R[]): RouteIndex<R> {
  const hosts = new Map<string, Draft>()
  const domains = new Map<string, Draft>()
  const anyHost = createDraft()
  for (const [place, { hosts: wanted, paths }] of routes.entries()) {
    if (wanted === undefined) note(anyHost, place, paths)
    else {
      for (const host of wanted.exact) note(inner(hosts, host, createDraft), place, paths)
      for (const pattern of wanted.open)
        note(inner(domains, pattern.slice(1), createDraft), place, paths)
    }
  }
  return Object.freeze({ routes, hosts, domains, anyHost, servesAnyHost: !isEmpty(anyHost) })
}

/** Whether any route takes the host, whatever its other conditions. */
export function servesHost(index: RouteIndex<RouteMatch>, host: string): boolean {
  return index.servesAnyHost || index.hosts.has(host) || hasDomain(index.domains, host)
}

function hasDomain(domains: RouteIndex<RouteMatch>['domains'], host: string): boolean {
  if (domains.size === 0) return false
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1))
    if (domains.has(host.slice(dot))) return true
  return false
}

/**
 * The first route in the policy's order that takes host and path, and of which the rest holds.
 *
 * @param holds Whether its other conditions do.
 */
export function findFirst<R extends RouteMatch>(
  { routes, hosts, domains, anyHost }: RouteIndex<R>,
  host: string,
  path: string,
  holds: (route: R) => boolean,
): R | undefined {
  let first = firstIn(anyHost, path, routes, holds, routes.length)
  const exact = hosts.get(host)
  if (exact !== undefined) first = firstIn(exact, path, routes, holds, first)
  if (domains.size > 0) {
    for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) {
      const domain = domains.get(host.slice(dot))
      if (domain !== undefined) first = firstIn(domain, path, routes, holds, first)
    }
  }
  return routes[first]
}

/** The lowest place below `limit`, or `limit`. */
function firstIn<R>(
  { exact, prefixes, anyPath, deepest }: PathIndex,
  path: string,
  routes: readonly R[],
  holds: (route: R) => boolean,
  limit: number,
): number {
  let first = firstOf(anyPath, routes, holds, limit)
  first = firstOf(exact.get(path), routes, holds, first)
  let slash = path.indexOf('/')
  for (let depth = 0; depth < deepest && slash !== -1; depth++) {
    first = firstOf(prefixes.get(path.slice(0, slash + 1)), routes, holds, first)
    slash = path.indexOf('/', slash + 1)
  }
  return first
}

/** Places are in order, so the first that holds is the lowest. */
function firstOf<R>(
  places: readonly number[] | undefined,
  routes: readonly R[],
  holds: (route: R) => boolean,
  limit: number,
): number {
  if (places === undefined) return limit
  for (const place of places) {
    if (place >= limit) return limit
    if (holds(routes[place] as R)) return place
  }
  return limit
}

interface Draft {
  readonly exact: Map<string, number[]>
  readonly prefixes: Map<string, number[]>
  readonly anyPath: number[]
  deepest: number
}

function createDraft(): Draft {
  return { exact: new Map(), prefixes: new Map(), anyPath: [], deepest: 0 }
}

function note(draft: Draft, place: number, paths: Matcher | undefined): void {
  if (paths === undefined) draft.anyPath.push(place)
  else {
    for (const path of paths.exact) inner(draft.exact, path, createList).push(place)
    for (const prefix of paths.open) {
      inner(draft.prefixes, prefix, createList).push(place)
      draft.deepest = Math.max(draft.deepest, prefix.split('/').length - 1)
    }
  }
}

const createList = (): number[] => []

function isEmpty({ exact, prefixes, anyPath }: PathIndex): boolean {
  return anyPath.length === 0 && exact.size === 0 && prefixes.size === 0
}

function inner<Value>(map: Map<string, Value>, key: string, create: () => Value): Value {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = create()
  map.set(key, made)
  return made
}
