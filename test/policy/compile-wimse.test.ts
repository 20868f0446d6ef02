/** spec.wimse, compiled: what is not written is the default (policy.md, wimse). */

import test from 'ava'
import { type CompiledPolicy, compilePolicy, isUnprotected } from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import type { Requirement } from '../../src/policy/requirement.ts'

const corp = {
  issuer: 'https://idp.example',
  audiences: ['a'],
  keys: { file: 'k' },
  identity: { claim: 'sub' },
}
const trustAnchors = { 'mesh.example': { keys: { file: 'w.json' } } }
const wimse = { audiences: ['https://a.example', 'urn:shop'], trustAnchors }

type Compiled = CompiledPolicy<unknown, unknown, unknown, unknown>

/** @param section `none`: the policy has no such section. */
function compiled(require: object, section: object | 'none' = wimse): Compiled {
  const text = JSON.stringify({
    apiVersion: 'meshbind/v1alpha1',
    kind: 'BindingPolicy',
    metadata: { name: 'shop' },
    spec: {
      trustDomains: ['mesh.example', 'other.example'],
      issuers: { corp },
      dpop: { origins: ['https://a.example'] },
      ...(section === 'none' ? {} : { wimse: section }),
      routes: [{ name: 'a', require }],
    },
  })
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'))
  return compilePolicy(parsed.policy, text, {
    issuer: (plan) => plan,
    trust: (files) => files,
    workloads: (anchors) => anchors,
    revocation: (document) => document,
  })
}

function requirementOf(require: object, section?: object): Requirement<unknown> {
  const [route] = compiled(require, section).routes
  if (route === undefined || isUnprotected(route.require)) throw new Error('a protected route')
  return route.require
}

const least = { bindings: ['wimse'] }
const withTokens = { ...least, issuers: ['corp'] }

test('policy.md wimse: a WPT lives two minutes at most unless the policy says otherwise', (t) => {
  const lifetimeOf = (maxLifetime?: string) =>
    requirementOf(least, { ...wimse, maxLifetime }).bindingRules.wimse?.maxLifetimeSeconds
  t.is(lifetimeOf(), 120)
  t.is(lifetimeOf('30s'), 30)
  t.is(lifetimeOf('10m'), 600)
})

test('policy.md wimse: audiences are exact; those that are an origin, in one spelling, take the targets below them', (t) => {
  const audiences = [
    ...['https://A.example:443', 'https://b.example:8443/', 'http://c.example', 'urn:shop'],
    ...['https://d.example/v1', 'https://e.example?x', 'e.example', 'https://u@f.example'],
  ]
  const rules = requirementOf(least, { ...wimse, audiences }).bindingRules.wimse
  t.deepEqual(rules?.audiences, new Set(audiences))
  const origins = ['https://a.example', 'https://b.example:8443', 'http://c.example']
  t.deepEqual(rules?.origins, new Set(origins))
})

test('policy.md wimse: a route takes tokens where it names issuers, and no token where wimse is all', (t) => {
  const takes = (require: object) => requirementOf(require).takesTokens
  t.false(takes(least))
  t.true(takes(withTokens))
  t.true(takes({ ...withTokens, bindings: ['wimse', 'jwk'] }))
  t.true(takes({ ...withTokens, bindings: ['jwk'] }))
  t.deepEqual(requirementOf(least).issuers, [])
})

test('contract §5 Challenges: WIMSE has no scheme of its own: Bearer, and DPoP only where dpop is listed', (t) => {
  t.deepEqual(requirementOf(least).schemes, ['Bearer'])
  t.deepEqual(requirementOf(withTokens).schemes, ['Bearer'])
  t.deepEqual(requirementOf({ ...withTokens, bindings: ['wimse', 'dpop'] }).schemes, [
    'Bearer',
    'DPoP',
  ])
})

test('policy.md wimse: the section is in force for every route, and without it there is nobody who could verify a WIT', (t) => {
  const require = { issuers: ['corp'], bindings: ['jwk'] }
  t.truthy(requirementOf(require).bindingRules.wimse)
  t.is(compiled(require, 'none').workloads, undefined)
  t.deepEqual(compiled(require).workloads, {
    'mesh.example': { ...trustAnchors['mesh.example'], schemes: ['spiffe'] },
  })
})

test('compile.ts: what a route asks of workloads is frozen', (t) => {
  const { bindingRules } = requirementOf(least)
  t.true(Object.isFrozen(bindingRules) && Object.isFrozen(bindingRules.wimse))
})
