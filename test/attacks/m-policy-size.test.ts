/**
 * Attack group M, 218, 226 and 235: the size of a policy and its worst texts. No time is a claim here, for a busy machine
 * has its own; the times are in the log of the tests.
 */

import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { parseDenylist } from '../../src/policy/denylist.ts'
import { readPolicies } from '../../src/policy/manifest.ts'
import { compileMatch, matchRoute } from '../../src/policy/match.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { indexRoutes } from '../../src/policy/route-index.ts'
import type { Request } from '../../src/request.ts'
import { edit } from '../support/policy-text.ts'
import { bareRequest } from '../support/request.ts'
import { basePolicy } from '../support/world.ts'

/** Where the parser of a megabyte must not go on for ever; what each took is in the log of the test. */
const heavy: { readonly [what: string]: () => string } = {
  '!!omap of 5,000 entries': () => `a: !!omap\n${lines(5_000, (i) => ` - k${i}: 1\n`)}`,
  '!!set of 5,000 entries': () => `a: !!set\n${lines(5_000, (i) => `  k${i}:\n`)}`,
  '20,000 uses of one alias': () => `a: &a x\nb: [${'*a,'.repeat(20_000)}]\n`,
  '20,000 anchors on one node': () => `a: ${'&a '.repeat(20_000)}x\n`,
  '5,000 merges of one map': () => `a: &a { b: 1 }\nc:\n${lines(5_000, () => '  <<: *a\n')}`,
  '5,000 documents': () => '---\n'.repeat(5_000),
  'a nest of 20,000': () => '['.repeat(20_000),
}

function lines(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join('')
}

for (const [what, make] of Object.entries(heavy)) {
  test(`M218: ${what}: refused, by the policy, the manifest and the denylist`, (t) => {
    const text = make()
    const began = performance.now()
    t.false(parsePolicy(text).ok)
    t.log(`${text.length} characters: ${Math.round(performance.now() - began)} ms`)
    t.false(parseDenylist(text).ok)
    const [manifest] = readPolicies(`kind: ConfigMap\n${text}`)
    t.false(manifest?.result.ok)
  })
}

test('M226: a text of 100,000 characters in any place of a policy is judged', (t) => {
  const long = (unit: string) => unit.repeat(100_000 / unit.length)
  const places: readonly (readonly [from: string, make: (text: string) => string])[] = [
    ['[mesh.example]', (text) => `[${text}]`],
    ['maxLifetime: 15m', (text) => `maxLifetime: ${text}`],
    ['[/identity]', (text) => `[/${text}]`],
    ['[admin.write]', (text) => `[${text}]`],
    ['name: identity', (text) => `name: ${text}`],
    ['[/any]', (text) => `[/any], hosts: [${text}]`],
    ['spiffe://mesh.example/ns/batch/*', (text) => `spiffe://mesh.example/${text}`],
    ['issuer: https://idp.example', (text) => `issuer: https://${text}`],
  ]
  for (const [from, make] of places)
    for (const unit of ['a', 'a.', '1', 'a/', '%61', '*.', '9s', 'a-'])
      t.false(parsePolicy(edit(basePolicy, from, make(long(unit)))).ok, `${from} ${unit}`)
})

const requestOf = (path: string, host = 'a.test', method = 'GET'): Request =>
  bareRequest({ path, host, method })

test('M235: ten thousand routes load, and each takes its own path; the times are in the log', (t) => {
  const routes = lines(
    10_000,
    (i) => `    - { name: r-${i}, match: { paths: [/p${i}] }, require: none }\n`,
  )
  const text = basePolicy.replace(/ {2}routes:[\s\S]*/, `  routes:\n${routes}`)
  const began = performance.now()
  const result = parsePolicy(text)
  if (!result.ok) return t.fail(result.problems[0]?.message)
  t.log(`parsed ${text.length} characters in ${Math.round(performance.now() - began)} ms`)
  const compiled = result.policy.spec.routes.map(({ name, match = {} }) => ({
    name,
    ...compileMatch(match),
  }))
  const index = indexRoutes(compiled)
  const taken = (path: string) => {
    const route = matchRoute(index, requestOf(path))
    return route === undefined || isRefusal(route) ? undefined : route.name
  }
  for (const i of [0, 5000, 9999]) {
    const from = performance.now()
    for (let n = 0; n < 100; n++) t.is(taken(`/p${i}`), `r-${i}`)
    t.log(`route ${i}: ${Math.round((performance.now() - from) * 10)} µs a match`)
  }
  t.is(taken('/p10000'), undefined)
})
