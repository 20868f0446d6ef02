import { createHash } from 'node:crypto'
import test from 'ava'
import {
  type CompiledPolicy,
  compilePolicy,
  type IssuerPlan,
  isUnprotected,
} from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import type { Requirement } from '../../src/policy/requirement.ts'

const corp = { issuer: 'https://idp.example', audiences: ['a', 'b'], keys: { file: 'k' } }

function textOf(spec: object): string {
  return JSON.stringify({
    apiVersion: 'meshbind/v1alpha1',
    kind: 'BindingPolicy',
    metadata: { name: 'shop' },
    spec: { trustDomains: ['mesh.example'], issuers: { corp }, ...spec },
  })
}

type Bundles = ReadonlyMap<string, string>

function compiled(text: string): CompiledPolicy<IssuerPlan, Bundles, unknown, unknown> {
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'))
  return compilePolicy(parsed.policy, text, {
    issuer: (plan) => plan,
    trust: (files) => files,
    workloads: (anchors) => anchors,
    revocation: (document) => document,
  })
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
  t.deepEqual([...policy.peer.forwarders], [])
  t.deepEqual([policy.peer.maxForwards, policy.peer.trust], [1, undefined])
  const { callers, scopes, claims, rules, schemes, bindingRules } = requirementOf({})
  t.deepEqual([callers, scopes, claims, schemes], [undefined, [], [], ['Bearer']])
  t.deepEqual(bindingRules, {
    policy: 'shop',
    clockSkewSeconds: 30,
    rotation: undefined,
    dpop: undefined,
    wimse: undefined,
  })
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
  const policy = compilePolicy(parsed.policy, text, {
    issuer({ name }) {
      made.push(name)
      return name
    },
    trust: () => t.fail('the policy has no bundles'),
    workloads: () => t.fail('the policy has no wimse section'),
    revocation: () => undefined,
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

const dpop = { origins: ['https://a.example', 'https://b.example:8443'] }
const rulesOf = (require: object, spec: object = {}) => requirementOf(require, spec).bindingRules

test('policy.md dpop: what is not written is the default', (t) => {
  t.deepEqual(rulesOf({}, { dpop }).dpop, {
    origins: new Set(dpop.origins),
    maxAgeSeconds: 60,
    nonce: 'disabled',
    algorithms: ['ES256', 'EdDSA', 'Ed25519'],
  })
})

test('policy.md dpop: what is written replaces the default', (t) => {
  const written = { ...dpop, maxAge: '10s', nonce: 'required', algorithms: ['PS256'] }
  t.like(rulesOf({}, { dpop: written, clockSkew: '5s' }), {
    clockSkewSeconds: 5,
    dpop: { maxAgeSeconds: 10, nonce: 'required', algorithms: ['PS256'] },
  })
})

test('policy.md dpop: the section is in force for every route, for a jkt is confirmed listed or not', (t) => {
  t.truthy(rulesOf({ bindings: ['jwk'] }, { dpop }).dpop)
  t.is(rulesOf({ bindings: ['jwk'] }).dpop, undefined)
})

test('policy.md dpop: a route narrows the origins, which have one spelling', (t) => {
  const narrowed = { dpop: { origins: ['HTTPS://A.example:443/'] } }
  t.deepEqual(rulesOf(narrowed, { dpop }).dpop?.origins, new Set(['https://a.example']))
  const spelled = { origins: ['https://A.EXAMPLE:443', 'https://b.example:8443/'] }
  t.deepEqual(rulesOf({}, { dpop: spelled }).dpop?.origins, new Set(dpop.origins))
})

test('contract §5 Challenges: DPoP where the route takes only dpop, Bearer where not, else both', (t) => {
  const schemesOf = (...bindings: string[]) => {
    const issuers = { corp: { ...corp, identity: { claim: 'sub' } } }
    return requirementOf({ bindings, dpop: { origins: ['https://a.example'] } }, { dpop, issuers })
      .schemes
  }
  t.deepEqual(schemesOf('dpop'), ['DPoP'])
  t.deepEqual(schemesOf('jwk'), ['Bearer'])
  t.deepEqual(schemesOf('x5t#S256', 'jwk', 'spiffe'), ['Bearer'])
  for (const other of ['x5t#S256', 'jwk', 'spiffe']) {
    t.deepEqual(schemesOf('dpop', other), ['Bearer', 'DPoP'])
    t.deepEqual(schemesOf(other, 'dpop'), ['Bearer', 'DPoP'])
  }
})

test('policy.md Rotation: the grace as written, the backdate 2m unless written', (t) => {
  const issuers = { corp: { ...corp, identity: { claim: 'sub' } } }
  const rotationOf = (rotation: object) =>
    rulesOf({ bindings: ['x5t#S256'], rotation }, { issuers }).rotation
  t.deepEqual(rotationOf({ grace: '10m' }), { graceSeconds: 600, backdateSeconds: 120 })
  t.deepEqual(rotationOf({ grace: '1h', backdate: '0s' }), {
    graceSeconds: 3600,
    backdateSeconds: 0,
  })
})

test('policy.md peer: forwarders by SPIFFE ID, with whether they present for themselves', (t) => {
  const id = 'spiffe://mesh.example/ns/istio-system/sa'
  const forwarders = [`${id}/a`, { id: `${id}/b` }, { id: `${id}/c`, presents: true }]
  const more = [{ id: `${id}/d`, presents: false }]
  const peer = { evidence: ['xfcc'], maxForwards: 3, forwarders: [...forwarders, ...more] }
  const { peer: made } = compiled(textOf({ peer, routes: [routeWith({})] }))
  t.deepEqual(
    [...made.forwarders].map(([name, { presents }]) => [name.slice(-1), presents]),
    [
      ['a', false],
      ['b', false],
      ['c', true],
      ['d', false],
    ],
  )
  t.deepEqual([made.maxForwards, made.evidence], [3, ['xfcc']])
})

test('policy.md peer: trust bundles by trust domain are handed to whoever reads files', (t) => {
  const trustDomains = ['mesh.example', 'b.example']
  const trustBundles = { 'mesh.example': { file: 'a.pem' }, 'b.example': { file: 'b.pem' } }
  const spec = { trustDomains, peer: { trustBundles }, routes: [routeWith({})] }
  t.deepEqual(
    compiled(textOf(spec)).peer.trust,
    new Map([
      ['mesh.example', 'a.pem'],
      ['b.example', 'b.pem'],
    ]),
  )
})

test('compile.ts: what a route asks of bindings is frozen', (t) => {
  const { bindingRules, schemes } = requirementOf({}, { dpop })
  const parts = { bindingRules, schemes, dpop: bindingRules.dpop }
  const lists = { algorithms: bindingRules.dpop?.algorithms }
  for (const [name, part] of Object.entries({ ...parts, ...lists })) {
    t.true(typeof part === 'object' && Object.isFrozen(part), name)
  }
})

test('policy.md: durations are whole seconds, minutes and hours', (t) => {
  const seconds = { '0s': 0, '30s': 30, '10m': 600, '1h': 3600, '90m': 5400 }
  for (const [text, expected] of Object.entries(seconds))
    t.is(requirementOf({ maxAge: text }).rules.maxAgeSeconds, expected, text)
})
