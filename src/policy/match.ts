/** Which route takes a request: the first that matches decides. Paths are judged before any route is looked at. */

import { type Mode, modes, type Refusal, refuse } from '../decision/decision.ts'
import type { Request } from '../request.ts'
import { canonicalHost, hostMatches } from './host.ts'
import { canonicalPath, comparablePattern } from './path.ts'
import { findFirst, type RouteIndex, servesHost } from './route-index.ts'
import type { RouteDocument } from './schema.ts'

/** A route's `match`, compiled. An absent part matches everything. */
export interface RouteMatch {
  readonly hosts: Matcher | undefined
  readonly methods: ReadonlySet<string> | undefined
  readonly paths: Matcher | undefined
  readonly context: readonly (readonly [name: string, value: string])[]
}

export interface Matcher {
  readonly exact: ReadonlySet<string>
  readonly open: readonly string[]
}

/** @returns undefined where no route matches. */
export function matchRoute<R extends RouteMatch>(
  index: RouteIndex<R>,
  request: Request,
): R | undefined | Refusal {
  const host = canonicalHost(request.host)
  if (host === undefined) return refuse('request_malformed', 'host')
  // What comes of it depends on the modes of the routes that could serve the host: see `modeBeforeRoute`.
  if (!servesHost(index, host)) return undefined
  const path = canonicalPath(request.path)
  if (path === undefined) return refuse('path_not_canonical')
  return findFirst(index, host, path, ({ methods, context }) => {
    if (methods !== undefined && !methods.has(request.method)) return false
    return context.every(([name, value]) => request.context.get(name) === value)
  })
}

/**
 * The mode of what is refused before a route is known: enforce if a route that could serve the host enforces, or if
 * what no route matches is enforced, for another spelling of such a path would pass otherwise (policy.md, Modes).
 *
 * @param host As the client wrote it; undefined where the question could not be read: any route could have served it.
 */
export function modeBeforeRoute(
  routes: readonly (RouteMatch & { readonly mode: Mode })[],
  ofUnmatched: Mode,
  host: string | undefined,
): Mode {
  const canonical = host === undefined ? undefined : canonicalHost(host)
  const serving = routes.filter((route) => canonical === undefined || takesHost(route, canonical))
  const found = new Set([ofUnmatched, ...serving.map(({ mode }) => mode)])
  return modes.find((mode) => found.has(mode)) ?? 'enforce'
}

export function compileMatch(match: NonNullable<RouteDocument['match']>): RouteMatch {
  return {
    hosts: match.hosts && split(match.hosts, (host) => host.startsWith('*.')),
    methods: match.methods && new Set(match.methods),
    paths: match.paths && compilePaths(match.paths),
    context: Object.entries(match.context ?? {}),
  }
}

/** Paths compare decoded, as `canonicalPath` gives them: `/v1/*` is kept as the prefix `/v1/`. */
function compilePaths(paths: readonly string[]): Matcher {
  // What is open is decided on the text as written: a `*` that only decoding brings is a character like others.
  const { exact, open } = split(paths, (path) => path.endsWith('/*'))
  return {
    exact: new Set([...exact].map(comparablePattern)),
    open: open.map((path) => comparablePattern(path).slice(0, -1)),
  }
}

function split(items: readonly string[], isOpen: (item: string) => boolean): Matcher {
  return { exact: new Set(items.filter((item) => !isOpen(item))), open: items.filter(isOpen) }
}

function takesHost({ hosts }: RouteMatch, host: string): boolean {
  return (
    hosts === undefined ||
    hosts.exact.has(host) ||
    hosts.open.some((pattern) => hostMatches(pattern, host))
  )
}
