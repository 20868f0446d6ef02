/**
 * Attack group M, 216, 217, 219-228, 233 and 234: what a policy's text can do. A text is refused, or read as it was meant.
 *
 * Held elsewhere, in test/policy/parse-yaml.test.ts: 216 empty, 217 every byte of one policy, 218 alias bombs,
 * 219 `__proto__` and merge keys, 220, 222, 223, 224, 225; in parse.test.ts: 221; in match.test.ts and path.test.ts:
 * 227; in cli/policy-validate-limits.test.ts: 218, a megabyte of anything (more of 218, 226 and 235 in m-policy-size.test.ts); in n-paths.test.ts: 234. Of 229-232 see
 * m-reload.test.ts and m-reload-serve.test.ts.
 */

import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { parseDenylist } from '../../src/policy/denylist.ts'
import { readPolicies } from '../../src/policy/manifest.ts'
import { compileMatch, matchRoute } from '../../src/policy/match.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { indexRoutes } from '../../src/policy/route-index.ts'
import type { Request } from '../../src/request.ts'
import { edit, problemsOf } from '../support/policy-text.ts'
import { bareRequest } from '../support/request.ts'
import { basePolicy, createWorld, ordersId } from '../support/world.ts'

/** A policy in the form that people write: one thing a line, so that every line break is a place to be cut off at. */
const realistic = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata:
  name: shop
spec:
  trustDomains:
    - mesh.example
  issuers:
    corp:
      issuer: https://idp.example
      audiences:
        - https://payments.mesh.example
      keys:
        file: jwks.json
      identity:
        claim: sub
  routes:
    - name: payments
      match:
        paths:
          - /v1/payments
          - /v1/payments/*
      require:
        issuers:
          - corp
        bindings:
          - x5t#S256
        callers:
          - spiffe://mesh.example/ns/shop/sa/orders
        scopes:
          - payments.write
        maxAge: 5m
  unmatched: deny
  revocation:
    denylist:
      file: revoked.yaml
`

test('M217: a policy of one thing a line, cut off at any byte, never throws, and its routes come in order', (t) => {
  const bytes = Buffer.from(realistic)
  const looser: number[] = []
  for (let end = 0; end < bytes.length; end++) {
    const result = parsePolicy(bytes.subarray(0, end).toString())
    if (result.ok) looser.push(end)
    else t.true(result.problems.length > 0, `at byte ${end}`)
  }
  // What is still valid may ask for less: callers, scopes and the denylist stand behind what makes it valid. Nothing in
  // the text can tell. What protects: kubelet swaps whole files, and a content is taken only when two readings agree
  // (file-watch.ts); a file that stays half-written is in force as it is.
  t.true(looser.every((end) => end > realistic.indexOf('x5t#S256')))
  t.is(looser.at(0), realistic.indexOf('x5t#S256') + 'x5t#S256'.length)
})

test('M217: a manifest, a denylist and JSON, cut off at any byte, never throw, and no half of an entry is taken', (t) => {
  const manifest = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: m }\ndata:\n  policy.yaml: |\n${realistic.replaceAll(/^/gm, '    ')}`
  for (let end = 0; end < manifest.length; end++)
    t.true(readPolicies(manifest.slice(0, end)).length <= 1, `at byte ${end}`)
  const json = JSON.stringify([
    { issuer: 'https://idp.example', jti: 'a' },
    { presenter: ordersId },
  ])
  for (let end = 0; end < json.length; end++) t.false(parseDenylist(json.slice(0, end)).ok)
  const denylist = '- { issuer: https://idp.example, jti: a }\n- { presenter: spiffe://a/b }\n'
  for (let end = 0; end < denylist.length; end++) {
    const result = parseDenylist(denylist.slice(0, end))
    if (result.ok) t.true(denylist.slice(0, end).trimEnd().endsWith('}'), `at byte ${end}`)
  }
})

/** `(a+)+$` for 28 characters took 9.2 s elsewhere: here a pattern is a text, and grammars read each character once. */
test('M226: what would be a slow pattern is an ordinary text in every place that takes one', (t) => {
  const slow = `/${'a'.repeat(28)}!`
  const pattern = edit(basePolicy, '[/identity]', '["/(a+)+$", "/(a|a)+/*"]')
  const result = parsePolicy(pattern)
  if (!result.ok) return t.fail(result.problems.map(({ message }) => message).join())
  const routes = result.policy.spec.routes.map((route) => ({
    ...route,
    ...compileMatch(route.match ?? {}),
  }))
  t.is(nameOf(matchRoute(indexRoutes(routes), requestOf(slow))), undefined)
  t.is(nameOf(matchRoute(indexRoutes(routes), requestOf('/(a+)+$'))), 'identity')
})

const requestOf = (path: string, host = 'a.test', method = 'GET'): Request =>
  bareRequest({ path, host, method })

function nameOf(route: ReturnType<typeof matchRoute<Named>>): string | undefined {
  return route === undefined || isRefusal(route) ? undefined : route.name
}
type Named = ReturnType<typeof compileMatch> & { readonly name: string }

test('M227: a rule takes the whole of a value, never a part in its middle', async (t) => {
  const world = await createWorld()
  const good = { scope: 'admin.write', tenant: 'acme' }
  const reasonOf = async (claims: object, path = '/admin') =>
    (await world.ask({ path, token: await world.token({ ...good, ...claims }) })).reason
  t.is(await reasonOf({}), '')
  for (const path of ['/administrator', '/x/admin', '/admin2', '/Admin'])
    t.is(await reasonOf({}, path), 'route_unmatched', path)
  for (const scope of ['admin.write2', 'xadmin.write', 'admin', 'admin.writeadmin.write'])
    t.is(await reasonOf({ scope }), 'scope_insufficient', scope)
  for (const tenant of ['acme2', 'xacme', 'acm', 'ACME', ['acme', 'x'].join()])
    t.is(await reasonOf({ tenant }), 'claim_refused', tenant)
  const audience = 'https://payments.mesh.example'
  for (const aud of [`${audience}/`, audience.slice(0, -1), `x${audience}`])
    t.is(await reasonOf({ aud }), 'audience_mismatch', aud)
})

test('M228: an empty list, an empty map and an empty value mean nothing, and so they are refused', (t) => {
  const empties: readonly (readonly [from: string, to: string])[] = [
    ['trustDomains: [mesh.example]', 'trustDomains: []'],
    ['audiences: [https://payments.mesh.example]', 'audiences: []'],
    ['audiences: [https://payments.mesh.example]', 'audiences: [""]'],
    ['evidence: [certificate, principal]', 'evidence: []'],
    ['{ issuers: [corp], bindings: [spiffe] }', '{ issuers: [], bindings: [spiffe] }'],
    ['{ issuers: [corp], bindings: [spiffe] }', '{ bindings: [spiffe] }'],
    ['bindings: [spiffe]', 'bindings: []'],
    ['bindings: [spiffe]', 'bindings:'],
    ['scopes: [admin.write]', 'scopes: []'],
    ['scopes: [admin.write]', 'scopes: [""]'],
    ['scopes: [admin.write]', 'scopes:'],
    ['claims: { tenant: [acme] }', 'claims: { tenant: [] }'],
    ['claims: { tenant: [acme] }', 'claims:'],
    ['[/identity]', '[]'],
    ['[/identity]', '[""]'],
    ['match: { paths: [/identity] }', 'match:'],
    ['keys: { file: jwks.json }', 'keys: {}'],
    ['keys: { file: jwks.json }', 'keys: { file: "" }'],
    ['identity: { claim: sub }', 'identity: {}'],
  ]
  t.deepEqual(problemsOf(basePolicy), [])
  for (const [from, to] of empties)
    t.true(
      problemsOf(edit(basePolicy, from, to)).some((line) => !line.includes('warning')),
      to,
    )
  t.false(parsePolicy(basePolicy.replace(/ {2}routes:[\s\S]*/, '  routes: []\n')).ok)
})

test('M228: an empty issuers map is refused as soon as a route asks for a token', (t) => {
  t.false(
    parsePolicy(basePolicy.replace(/issuers:\n[\s\S]*? {2}routes:/, 'issuers: {}\n  routes:')).ok,
  )
})

/** The catalogue's "deny wins" is not the language: the first that matches decides, and nothing can hide in silence. */
test('M233: of overlapping routes the first decides, in any order, and one that is hidden is refused', async (t) => {
  const open = '    - { name: open, match: { paths: [/v1/*] }, require: none }\n'
  const shut =
    '    - { name: shut, match: { paths: [/v1/x] }, require: { issuers: [corp], bindings: [jwk] } }\n'
  const base = basePolicy.replace(/ {2}routes:[\s\S]*/, '  routes:\n')
  const world = await createWorld({ policy: base + shut + open })
  t.is((await world.ask({ path: '/v1/x' })).reason, 'credential_missing')
  t.true((await world.ask({ path: '/v1/y' })).allowed)
  const [problem = '', ...more] = problemsOf(base + open + shut)
  t.regex(problem, /can never match: `open` above takes everything/)
  t.deepEqual(more, [])
})

test('M234: an open path opens itself alone', async (t) => {
  const world = await createWorld()
  const reasons = {
    '/public/x': '',
    '/public/../admin': 'path_not_canonical',
    '/public/%2e%2e/admin': 'path_not_canonical',
    '/public//admin': 'path_not_canonical',
    '/public': 'route_unmatched',
    '/publicx': 'route_unmatched',
    '/publicx/y': 'route_unmatched',
    '/healthz/../admin': 'path_not_canonical',
    '/healthzx': 'route_unmatched',
    '/admin?/public/': 'credential_missing',
    '/admin?x=/../public/x': 'credential_missing',
    '/admin#/public/x': 'path_not_canonical',
  }
  for (const [path, reason] of Object.entries(reasons))
    t.is((await world.ask({ path })).reason, reason, path)
})
