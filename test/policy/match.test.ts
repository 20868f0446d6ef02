import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { compileMatch, matchRoute, type RouteMatch } from '../../src/policy/match.ts'
import { indexRoutes } from '../../src/policy/route-index.ts'
import type { Request } from '../../src/request.ts'
import { bareRequest } from '../support/request.ts'

type Match = Parameters<typeof compileMatch>[0]

interface Asked {
  readonly host: string
  readonly method: string
  readonly path: string
  readonly context?: { readonly [name: string]: string }
}

const asked = { host: 'a.test', method: 'GET', path: '/v1/x' }

function requestOf({ host, method, path, context = {} }: Asked): Request {
  return bareRequest({ method, host, path, context: new Map(Object.entries(context)) })
}

type Named = RouteMatch & { readonly name: string }

function routesOf(matches: readonly Match[]): Named[] {
  return matches.map((match, i) => ({ name: String(i), ...compileMatch(match) }))
}

/** The index of the route that takes the request, the refusal, or `none`. */
function taken(matches: readonly Match[], request: Partial<Asked> = {}): string {
  const route = matchRoute(indexRoutes(routesOf(matches)), requestOf({ ...asked, ...request }))
  if (isRefusal(route)) return route.refused
  return route === undefined ? 'none' : route.name
}

test('policy.md: the first route that matches decides', (t) => {
  t.is(taken([{ paths: ['/v2'] }, { paths: ['/v1/*'] }, {}]), '1')
  t.is(taken([{}, { paths: ['/v1/*'] }]), '0')
  t.is(taken([{ paths: ['/v1/x'] }, { paths: ['/v1/*'] }]), '0')
  t.is(taken([{ paths: ['/v1/*'] }, { paths: ['/v1/x'] }]), '0')
  t.is(taken([{ paths: ['/v2'] }]), 'none')
  t.is(taken([]), 'none')
})

test('policy.md: all that is given must match, and what is not given matches everything', (t) => {
  const all: Match = {
    hosts: ['a.test'],
    methods: ['GET'],
    paths: ['/v1/*'],
    context: { tier: 'high', zone: 'a' },
  }
  const context = { tier: 'high', zone: 'a', more: 'x' }
  t.is(taken([all], { context }), '0')
  t.is(taken([all], { context, host: 'b.test' }), 'none')
  t.is(taken([all], { context, method: 'POST' }), 'none')
  t.is(taken([all], { context, path: '/v2/x' }), 'none')
  t.is(taken([all], { context: { tier: 'high' } }), 'none')
  t.is(taken([all], { context: { tier: 'high', zone: 'A' } }), 'none')
  t.is(taken([{}], { host: 'z', method: 'BREW', path: '/' }), '0')
})

test('policy.md: a path is exact, or a trailing /* takes everything below and nothing beside', (t) => {
  const below: Match = { paths: ['/v1/payments/*'] }
  for (const path of ['/v1/payments/1', '/v1/payments/1/2', '/v1/payments/1?x', '/v1/payments/'])
    t.is(taken([below], { path }), '0', path)
  for (const path of ['/v1/payments', '/v1/paymentsx', '/v1/payment', '/V1/payments/1', '/'])
    t.is(taken([below], { path }), 'none', path)
  t.is(taken([{ paths: ['/v1'] }], { path: '/v1' }), '0')
  for (const path of ['/v1/', '/v1/x', '/v11', '/v'])
    t.is(taken([{ paths: ['/v1'] }], { path }), 'none')
  for (const path of ['/', '/a', '/a/b/']) t.is(taken([{ paths: ['/*'] }], { path }), '0', path)
})

test('policy.md Paths and hosts: a path and its needlessly escaped twin meet the same route', (t) => {
  for (const written of ['/a!', '/a%21'])
    for (const path of ['/a!', '/a%21', '/a%21?q'])
      t.is(taken([{ paths: [written] }], { path }), '0')
  for (const written of ['/caf%C3%A9/*', '/café/*'])
    for (const path of ['/caf%c3%a9/x', '/café/x'])
      t.is(taken([{ paths: [written] }], { path }), '0')
})

test('policy.md Paths and hosts: a path in another spelling is refused before any route is looked at', (t) => {
  const routes: Match[] = [{ paths: ['/public/*'] }, {}]
  for (const path of ['/public/../x', '//x', '/public/%2e', '/x;y', '/x#y'])
    t.is(taken(routes, { path }), 'path_not_canonical', path)
})

test('policy.md Paths and hosts: the rule is in force where a route could serve the host, and only there', (t) => {
  const routes: Match[] = [{ hosts: ['a.test', '*.b.test'], methods: ['PUT'], paths: ['/x'] }]
  for (const host of ['a.test', 'A.test.:80', 'x.b.test'])
    t.is(taken(routes, { host, path: '/../x' }), 'path_not_canonical', host)
  for (const host of ['c.test', 'b.test'])
    t.is(taken(routes, { host, path: '/../x' }), 'none', host)
})

test('policy.md Paths and hosts: a host that is none is request_malformed, whatever the routes', (t) => {
  for (const host of ['', 'u@a.test', 'a.test,b.test', 'a..test', 'a.test/'])
    for (const routes of [[{}], [{ hosts: ['b.test'] }], []])
      t.is(taken(routes, { host }), 'request_malformed', host)
})

test('N245: a method is compared byte for byte', (t) => {
  const routes: Match[] = [{ methods: ['GET', 'POST'] }]
  for (const method of ['GET', 'POST']) t.is(taken(routes, { method }), '0')
  for (const method of ['get', 'GET ', 'Get', 'GETX', 'G', '', 'HEAD', 'ＧＥＴ'])
    t.is(taken(routes, { method }), 'none', method)
})

test('M219: names of the object prototype are no context and match nothing', (t) => {
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    const match = { context: Object.fromEntries([[name, 'x']]) }
    t.is(taken([match]), 'none', name)
    t.is(taken([match], { context: Object.fromEntries([[name, 'x']]) }), '0', name)
  }
})

const hosts = ['a.test', 'b.test', 'x.a.test', 'y.x.a.test', 'test']
const paths = ['/', '/v1', '/v1/', '/v1/x', '/v1/x/y', '/v2', '/v1x']
const someOf = <T>(...items: T[]) => fc.subarray(items, { minLength: 1 })
const optionally = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const anyMatch = fc
  .record({
    hosts: optionally(someOf(...hosts, '*.a.test', '*.test', '*.x.a.test')),
    methods: optionally(someOf('GET', 'POST', 'PUT')),
    paths: optionally(someOf(...paths, '/*', '/v1/*', '/v1/x/*', '/v2/*')),
    context: optionally(fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2'))),
  })
  .map((match) => match as Match)
const anyAsked = fc.record({
  host: fc.constantFrom(...hosts),
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
  path: fc.constantFrom(...paths),
  context: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')),
})

/** The language's words, one by one, with no compilation. */
function naive(match: Match, { host, method, path, context = {} }: Asked): boolean {
  const hostFits = (written: string) =>
    written[0] === '*'
      ? host.length > written.length - 1 && host.slice(-(written.length - 1)) === written.slice(1)
      : written === host
  const pathFits = (written: string) =>
    written.at(-1) === '*' ? path.indexOf(written.slice(0, -1)) === 0 : written === path
  const contextFits = Object.keys(match.context ?? {}).every(
    (name) => context[name] === match.context?.[name],
  )
  return (
    (match.hosts?.some(hostFits) ?? true) &&
    (match.methods?.some((written) => written === method) ?? true) &&
    (match.paths?.some(pathFits) ?? true) &&
    contextFits
  )
}

test('policy.md: matchRoute agrees with a naive reading of the language for any routes and any request', (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(fc.array(anyMatch, { maxLength: 6 }), anyAsked, (matches, request) => {
      const index = matches.findIndex((match) => naive(match, request))
      const expected = index === -1 ? 'none' : String(index)
      seen.add(expected)
      t.is(taken(matches, request), expected)
    }),
    { numRuns: 3000 },
  )
  t.true(seen.has('none') && seen.has('0') && seen.has('1'), [...seen].join())
})
