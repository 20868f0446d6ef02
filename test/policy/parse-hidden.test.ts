import test from 'ava'
import fc from 'fast-check'
import { isRefusal } from '../../src/decision/decision.ts'
import { compileMatch, matchRoute } from '../../src/policy/match.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { indexRoutes } from '../../src/policy/route-index.ts'
import { bareRequest } from '../support/request.ts'

type Match = Parameters<typeof compileMatch>[0]

const document = (spec: object) => ({
  apiVersion: 'meshbind/v1alpha1',
  kind: 'BindingPolicy',
  metadata: { name: 'shop' },
  spec: {
    trustDomains: ['mesh.example'],
    issuers: { corp: { issuer: 'https://idp.example', audiences: ['a'], keys: { file: 'k' } } },
    routes: [{ name: 'a', require: 'none' }],
    ...spec,
  },
})

function messagesOf(text: string): string[] {
  const result = parsePolicy(text)
  return result.ok ? [] : result.problems.map(({ message }) => message)
}

/** What is said of two routes in this order. */
function judge(first: Match, second: Match): string[] {
  const routes = [
    { name: 'wide', match: first, require: 'none' },
    { name: 'narrow', match: second, require: 'none' },
  ]
  return messagesOf(JSON.stringify(document({ routes })))
}

const hidden = ['can never match: `wide` above takes everything that it matches']

test('policy.md The policy language: a route that an earlier one hides entirely is an error', (t) => {
  const pairs: readonly (readonly [Match, Match])[] = [
    [{}, {}],
    [{}, { paths: ['/a'] }],
    [{ paths: ['/*'] }, { paths: ['/a', '/b/*'] }],
    [{ paths: ['/a/*'] }, { paths: ['/a/b'] }],
    [{ paths: ['/a/*'] }, { paths: ['/a/*'] }],
    [{ paths: ['/a/*'] }, { paths: ['/a/b/*'], methods: ['GET'] }],
    [{ hosts: ['*.test'] }, { hosts: ['a.test', '*.a.test'] }],
    [{ methods: ['GET', 'PUT'] }, { methods: ['PUT'] }],
    [{ context: { a: '1' } }, { context: { a: '1', b: '2' } }],
  ]
  for (const [wide, narrow] of pairs) t.deepEqual(judge(wide, narrow), hidden, JSON.stringify(wide))
})

test('policy.md The policy language: a route of which a part is left is no error', (t) => {
  const pairs: readonly (readonly [Match, Match])[] = [
    [{ paths: ['/a'] }, {}],
    [{ paths: ['/a/*'] }, { paths: ['/a'] }],
    [{ paths: ['/a/*'] }, { paths: ['/ab'] }],
    [{ paths: ['/a/b'] }, { paths: ['/a/*'] }],
    [{ paths: ['/a/*'] }, { paths: ['/a/b', '/c'] }],
    [{ hosts: ['a.test'] }, { hosts: ['*.test'] }],
    [{ hosts: ['*.a.test'] }, { hosts: ['a.test'] }],
    [{ hosts: ['*.a.test'] }, { hosts: ['*.test'] }],
    [{ methods: ['GET'] }, { methods: ['GET', 'PUT'] }],
    [{ context: { a: '1' } }, { context: { a: '2' } }],
    [{ paths: ['/a'], methods: ['GET'] }, { paths: ['/a'] }],
  ]
  for (const [wide, narrow] of pairs) t.deepEqual(judge(wide, narrow), [], JSON.stringify(wide))
})

test('policy.md The policy language: one host never hides the others below the same name', (t) => {
  t.deepEqual(judge({ hosts: ['any.test'] }, { hosts: ['*.test'] }), [])
})

test('policy.md Paths and hosts: a route hides its twin in another spelling of the same path', (t) => {
  t.deepEqual(judge({ paths: ['/a!'] }, { paths: ['/a%21'] }), hidden)
  t.deepEqual(judge({ paths: ['/café/*'] }, { paths: ['/caf%C3%A9/x'] }), hidden)
})

const someOf = <T>(...items: T[]) => fc.subarray(items, { minLength: 1 })
const hosts = ['a.test', 'any.test', 'x.a.test', 'test', 'any.a.test', 'a.org']
const paths = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/b']
const contexts = [{}, { a: '1' }, { a: '2' }, { a: '1', b: '1' }]
const anyMatch = fc.record(
  {
    hosts: someOf(...hosts, '*.test', '*.a.test'),
    methods: someOf('GET', 'PUT'),
    paths: someOf(...paths, '/*', '/a/*', '/a/b/*'),
    context: fc.constantFrom(...contexts),
  },
  { requiredKeys: [] },
)

/** Every request that could tell two routes apart. */
const requests = hosts.flatMap((host) =>
  ['GET', 'PUT', 'POST'].flatMap((method) =>
    paths.flatMap((path) => contexts.map((context) => ({ host, method, path, context }))),
  ),
)

test('policy.md The policy language: a route that is called hidden takes no request at all', (t) => {
  let found = 0
  fc.assert(
    fc.property(anyMatch, anyMatch, (first, second) => {
      if (judge(first, second).length === 0) return
      found++
      const routes = [first, second].map((match, i) => ({
        name: String(i),
        ...compileMatch(match),
      }))
      for (const { context, ...parts } of requests) {
        const route = matchRoute(indexRoutes(routes), {
          ...bareRequest(parts),
          context: new Map(Object.entries(context)),
        })
        t.false(isRefusal(route))
        const name = isRefusal(route) ? '' : route?.name
        t.not(name, '1', JSON.stringify({ first, second, parts }))
      }
    }),
    { numRuns: 300, examples: [[{ hosts: ['any.test'] }, { hosts: ['*.test'] }]] },
  )
  t.true(found > 0)
})
