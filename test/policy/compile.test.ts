import { createHash } from 'node:crypto'
import test from 'ava'
import {
  type CompiledPolicy,
  compilePolicy,
  type IssuerPlan,
  isUnprotected,
  type Requirement,
} from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'

const corp = { issuer: 'https://idp.example', audiences: ['a', 'b'], keys: { file: 'k' } }

function textOf(spec: object): string {
  return JSON.stringify({
    apiVersion: 'meshbind/v1alpha1',
    kind: 'BindingPolicy',
    metadata: { name: 'shop' },
    spec: { trustDomains: ['mesh.example'], issuers: { corp }, ...spec },
  })
}

function compiled(text: string): CompiledPolicy<IssuerPlan> {
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'))
  return compilePolicy(parsed.policy, text, { issuer: (plan) => plan, trust: () => undefined })
}

const least = { issuers: ['corp'], bindings: ['jwk'] }
const routeWith = (require: object) => ({ name: 'a', require: { ...least, ...require } })

function requirementOf(require: object, spec: object = {}): Requirement<IssuerPlan> {
  const [route] = compiled(textOf({ routes: [routeWith(require)], ...spec })).routes
  if (route === undefined || isUnprotected(route.require)) throw new Error('a protected route')
  return route.require
}

const limitsOf = (require: object, issuers: object = { corp }) =>
  requirementOf(require, { issuers }).rules.perIssuer

test('policy.md Defaults: what is not written is the default', (t) => {
  const policy = compiled(textOf({ routes: [routeWith({})] }))
  const [route] = policy.routes
  t.deepEqual(policy.peer.evidence, ['certificate'])
  t.is(policy.unmatched, undefined)
  t.deepEqual([route?.mode, route?.removeToken, route?.presenterHeader], ['enforce', false, false])
  t.deepEqual(
    [route?.hosts, route?.methods, route?.paths, route?.context],
    [undefined, undefined, undefined, []],
  )
  const { callers, scopes, claims, rules } = requirementOf({})
  t.deepEqual([callers, scopes, claims], [undefined, [], []])
  t.is(rules.clockSkewSeconds, 30)
  t.is(rules.maxAgeSeconds, Number.POSITIVE_INFINITY)
  t.is(rules.perIssuer.get('corp')?.maxLifetimeSeconds, 24 * 3600)
})

test('policy.md Defaults: algorithms and types of an issuer that lists none', (t) => {
  const [plan] = compiled(textOf({ routes: [routeWith({})] })).issuers
  t.deepEqual(plan?.algorithms, ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256', 'RS256'])
  t.deepEqual(plan?.types, ['at+jwt', 'JWT', 'absent'])
  t.is(plan?.identity, undefined)
})

test('policy.md: what is written replaces the default', (t) => {
  const issuers = {
    corp: { ...corp, algorithms: ['ES256'], types: ['at+jwt'], identity: { claim: 'sub' } },
  }
  const spec = { issuers, clockSkew: '1m', peer: { evidence: ['certificate', 'principal'] } }
  const forward = { token: 'remove', presenterHeader: true }
  const policy = compiled(textOf({ ...spec, routes: [{ ...routeWith({}), forward }] }))
  t.deepEqual(policy.peer.evidence, ['certificate', 'principal'])
  t.deepEqual([...policy.peer.trustDomains], ['mesh.example'])
  t.like(policy.issuers[0], {
    algorithms: ['ES256'],
    types: ['at+jwt'],
    identity: { claim: 'sub' },
  })
  t.like(policy.routes[0], { removeToken: true, presenterHeader: true })
  t.is(requirementOf({}, spec).rules.clockSkewSeconds, 60)
  t.is(requirementOf({ maxAge: '5m' }).rules.maxAgeSeconds, 300)
})

test('policy.md: a route takes the issuers that it names and no others, each made once', (t) => {
  const other = { ...corp, issuer: 'https://other.example' }
  const made: string[] = []
  const text = textOf({
    issuers: { corp, other },
    routes: [
      { ...routeWith({ issuers: ['other'] }), match: { paths: ['/a'] } },
      { ...routeWith({ issuers: ['other', 'corp'] }), name: 'b' },
    ],
  })
  const parsed = parsePolicy(text)
  if (!parsed.ok) return t.fail(parsed.problems.map(({ message }) => message).join())
  const policy = compilePolicy(parsed.policy, text, ({ name }) => {
    made.push(name)
    return name
  })
  t.deepEqual(made, ['corp', 'other'])
  const issuersOf = policy.routes.map(({ require }) => isUnprotected(require) || require.issuers)
  t.deepEqual(issuersOf, [['other'], ['other', 'corp']])
  const [first] = policy.routes
  if (first === undefined || isUnprotected(first.require)) return t.fail('a protected route')
  t.deepEqual([...first.require.rules.perIssuer.keys()], ['other'])
})

test('policy.md: a route narrows the audiences of each issuer by itself, and widens none', (t) => {
  const other = { ...corp, issuer: 'https://other.example', audiences: ['b', 'c'] }
  const limits = limitsOf({ issuers: ['corp', 'other'], audiences: ['b', 'c'] }, { corp, other })
  t.deepEqual([...(limits.get('corp')?.audiences ?? [])], ['b'])
  t.deepEqual([...(limits.get('other')?.audiences ?? [])], ['b', 'c'])
  t.deepEqual([...(limitsOf({}).get('corp')?.audiences ?? [])], ['a', 'b'])
})

test('policy.md: the tighter of the issuer’s and the route’s maxLifetime is in force', (t) => {
  const lifetime = (issuer: string | undefined, route: string | undefined) =>
    limitsOf(route === undefined ? {} : { maxLifetime: route }, {
      corp: issuer === undefined ? corp : { ...corp, maxLifetime: issuer },
    }).get('corp')?.maxLifetimeSeconds
  t.is(lifetime('15m', undefined), 900)
  t.is(lifetime('15m', '5m'), 300)
  t.is(lifetime('15m', '1h'), 900)
  t.is(lifetime(undefined, '5m'), 300)
  t.is(lifetime('48h', undefined), 48 * 3600)
})

test('policy.md: a route’s maxLifetime does not widen the default of an issuer that says nothing', (t) => {
  const limits = limitsOf({ maxLifetime: '48h' })
  t.is(limits.get('corp')?.maxLifetimeSeconds, 24 * 3600)
})

test('policy.md: `require: none` and `unmatched: allow` are the only grounds without a check', (t) => {
  const open = { name: 'open', match: { paths: ['/a'] }, require: 'none' }
  const policy = compiled(textOf({ unmatched: 'allow', routes: [open, routeWith({})] }))
  t.deepEqual(
    policy.routes.map(({ require }) => isUnprotected(require)),
    [true, false],
  )
  t.true(policy.unmatched !== undefined && isUnprotected(policy.unmatched))
  t.is(compiled(textOf({ unmatched: 'deny', routes: [open] })).unmatched, undefined)
})

test('policy.md: callers are exact, or whole segments below', (t) => {
  const id = 'spiffe://mesh.example/ns/shop'
  const { callers } = requirementOf({ callers: [`${id}/sa/a`, `${id}/*`] })
  t.deepEqual([...(callers?.exact ?? [])], [`${id}/sa/a`])
  t.deepEqual(callers?.below, [`${id}/`])
})

test('policy.md: values of claims keep their type', (t) => {
  const { claims } = requirementOf({ claims: { a: ['1', 1, true] } })
  t.deepEqual(
    claims.map(([name, values]) => [name, [...values]]),
    [['a', ['1', 1, true]]],
  )
})

test('compile.ts: a policy, its lists, routes and requirements are frozen', (t) => {
  const policy = compiled(textOf({ unmatched: 'allow', routes: [routeWith({ scopes: ['x'] })] }))
  const [route] = policy.routes
  if (route === undefined || isUnprotected(route.require)) return t.fail('a protected route')
  const { require } = route
  const parts = { policy, peer: policy.peer, evidence: policy.peer.evidence, route, require }
  const lists = { issuers: policy.issuers, routes: policy.routes, of: require.issuers }
  const more = { scopes: require.scopes, rules: require.rules, unmatched: policy.unmatched }
  for (const [name, part] of Object.entries({ ...parts, ...lists, ...more }))
    t.true(typeof part === 'object' && Object.isFrozen(part), name)
})

test('policy.md Defaults: the revision covers the policy’s text, to the last byte', (t) => {
  const text = textOf({ routes: [routeWith({})] })
  const { revision } = compiled(text)
  t.is(revision, createHash('sha256').update(text).digest('hex').slice(0, 16))
  t.is(compiled(text).revision, revision)
  const others = [`${text}\n`, `${text} `, `# x\n${text}`, text.replace('"shop"', '"shoq"')]
  const revisions = new Set([text, ...others].map((other) => compiled(other).revision))
  t.is(revisions.size, others.length + 1)
})

test('policy.md: durations are whole seconds, minutes and hours', (t) => {
  const seconds = { '0s': 0, '30s': 30, '10m': 600, '1h': 3600, '90m': 5400 }
  for (const [text, expected] of Object.entries(seconds))
    t.is(requirementOf({ maxAge: text }).rules.maxAgeSeconds, expected, text)
})
