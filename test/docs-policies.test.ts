/** Every whole policy that the pages show can be used as it stands there. */

import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { readPolicies } from '../src/policy/manifest.ts'

const root = new URL('../', import.meta.url)
const pages = [
  'README.md',
  ...readdirSync(new URL('docs', root))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

const policiesOf = (page: string): readonly string[] =>
  [...readFileSync(new URL(page, root), 'utf8').matchAll(/^```yaml\n(.*?)^```$/gms)]
    .map(([, block = '']) => block)
    .filter((block) => /^kind: BindingPolicy$/m.test(block) && /^ {2}routes:$/m.test(block))

for (const page of pages.filter((name) => policiesOf(name).length > 0)) {
  test(`${page}: the policies that it shows are valid, without a warning`, (t) => {
    for (const text of policiesOf(page)) {
      const [found, ...others] = readPolicies(text)
      t.is(others.length, 0)
      if (found === undefined || !found.result.ok) return t.fail(JSON.stringify(found?.result))
      t.deepEqual(found.result.warnings, [])
    }
    return undefined
  })
}

test('most kinds of tokens have a page with a whole policy', (t) => {
  t.true(pages.filter((name) => policiesOf(name).length > 0).length >= 8)
})
