import { readFileSync } from 'node:fs'
import test from 'ava'
import { generatedPages } from '../docs/pages.ts'

for (const [path, text] of generatedPages()) {
  test(`${path} says what the code says (npm run docs)`, (t) => {
    t.is(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'), text)
  })
}
