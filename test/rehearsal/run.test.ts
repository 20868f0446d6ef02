import { readFile } from 'node:fs/promises'
import test from 'ava'
import { findGaps } from '../../src/rehearsal/coverage.ts'
import { failures, policyText, rehearse, testText } from './rehearse.ts'

const example = (name: string) =>
  readFile(new URL(`../../examples/shop/${name}`, import.meta.url), 'utf8')
const [shopPolicy, shopTest] = await Promise.all([
  example('policy.yaml'),
  example('shop.test.yaml'),
])

const peers = `
peers:
  orders: { spiffeId: spiffe://mesh.example/ns/shop/sa/orders }
  thief: { spiffeId: spiffe://mesh.example/ns/web/sa/blog }
tokens:
  t: { issuer: corp, bind: { x5t#S256: orders } }
`
const owner = 'owner | allow | peer: orders, token: t'
const thief = 'thief | { deny: binding_mismatch } | peer: thief, token: t'
const bindings = 'bindings: ["x5t#S256"]'

test('examples/shop passes, on every route, whenever it is run', async (t) => {
  for (const _ of [1, 2]) {
    const result = await rehearse(shopPolicy, shopTest)
    t.deepEqual(failures(result), [])
    t.deepEqual(findGaps([result]), [])
    t.is(result.tests.length, shopTest.split('name: ').length - 1)
  }
})

test('each test of examples/shop can fail: the opposite is never what came', async (t) => {
  const opposite = shopTest
    .replaceAll('expect: allow', 'expect: { deny: internal_error }')
    .replaceAll(/expect: \{ deny: (?!internal_error)\w+ \}/g, 'expect: allow')
    .replace('peer: orders, token: orders }\n', 'peer: orders, token: orders, expect: allow }\n')
  const { tests } = await rehearse(shopPolicy, opposite)
  t.deepEqual(
    tests.filter(({ passed }) => passed).map(({ name }) => name),
    [],
  )
})

test('each test is named with the line on which it begins', async (t) => {
  const { tests } = await rehearse(shopPolicy, shopTest)
  const lines = shopTest.split('\n')
  for (const { name, line } of tests) t.true(lines[line - 1]?.includes(`name: ${name}`), name)
})

test('policy.md, Modes: in audit the decision counts, and that it is not enforced is told', async (t) => {
  const result = await rehearse(policyText(bindings, 'mode: audit'), testText(peers, owner, thief))
  t.deepEqual(failures(result), [])
  t.deepEqual(
    result.tests.map(({ got }) => got.mode),
    ['audit', 'audit'],
  )
})

test('policy.md, Modes: a disabled route allows all, so a test that expects a denial fails', async (t) => {
  const policy = policyText(bindings, 'mode: disabled')
  const result = await rehearse(policy, testText(peers, owner, thief))
  t.deepEqual(failures(result), ['thief: allow'])
  t.is(result.tests[1]?.got.mode, 'disabled')
})

test('a policy inside a ConfigMap manifest is tested as it is', async (t) => {
  const policy = policyText(bindings)
  const manifest = `apiVersion: v1
kind: ConfigMap
metadata: { name: meshbind }
data:
  policy.yaml: |
${policy.replace(/^(?=.)/gm, '    ')}`
  const result = await rehearse(manifest, testText(peers, owner, thief))
  t.deepEqual(failures(result), [])
})

test('a route that only some context takes is reached with that context', async (t) => {
  const policy = policyText(bindings).replace(
    'name: all,',
    'name: all, match: { context: { tier: high } },',
  )
  const request = (context: string) =>
    `peer: orders, token: t, request: { method: GET, host: a, path: /${context} }`
  const result = await rehearse(
    policy,
    testText(
      peers,
      `with | allow | ${request(', context: { tier: high }')}`,
      `without | { deny: route_unmatched } | ${request('')}`,
    ),
  )
  t.deepEqual(failures(result), [])
})

const routes = (...lines: readonly string[]) =>
  policyText(bindings).replace(
    / {4}- \{ name: all.*/,
    lines.map((line) => `    - ${line}`).join('\n'),
  )
const protectedRoute = (name: string) =>
  `{ name: ${name}, match: { paths: [/${name}] }, require: { issuers: [corp], ${bindings} } }`
const at = (path: string, by: string) =>
  `peer: ${by}, token: t, request: { method: GET, host: a, path: /${path} }`

test('coverage: a route that no test reaches, that only denies, that only allows', async (t) => {
  const policy = routes(
    '{ name: public, match: { paths: [/public] }, require: none }',
    ...['both', 'allows', 'denies', 'untouched'].map(protectedRoute),
  )
  const tests = [
    `a | allow | ${at('public', 'thief')}`,
    `b | allow | ${at('both', 'orders')}`,
    `c | deny | ${at('both', 'thief')}`,
    `d | allow | ${at('allows', 'orders')}`,
    `e | deny | ${at('denies', 'thief')}`,
  ]
  const result = await rehearse(policy, testText(peers, ...tests))
  t.deepEqual(
    findGaps([result]).map(({ route, kind }) => `${route} ${kind}`),
    ['allows never_denied', 'denies never_allowed', 'untouched untouched'],
  )
})

test('coverage: the files that test one policy are taken together', async (t) => {
  const policy = routes(protectedRoute('one'), protectedRoute('two'))
  const first = await rehearse(policy, testText(peers, `a | allow | ${at('one', 'orders')}`))
  const second = await rehearse(
    policy,
    testText(
      peers,
      `a | deny | ${at('one', 'thief')}`,
      `b | allow | ${at('two', 'orders')}`,
      `c | deny | ${at('two', 'thief')}`,
    ),
  )
  t.deepEqual(
    findGaps([first]).map(({ route, kind }) => `${route} ${kind}`),
    ['one never_denied', 'two untouched'],
  )
  t.deepEqual(findGaps([first, second]), [])
})

test('coverage: a disabled route has no denial to show', async (t) => {
  const result = await rehearse(policyText(bindings, 'mode: disabled'), testText(peers, owner))
  t.deepEqual(findGaps([result]), [])
})
