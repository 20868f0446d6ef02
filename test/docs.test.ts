import { existsSync, readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { generatedPages } from '../docs/pages.ts'

for (const [path, text] of generatedPages()) {
  test(`${path} says what the code says (npm run docs)`, (t) => {
    t.is(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'), text)
  })
}

const root = new URL('../', import.meta.url)
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(new URL('docs/', root), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

for (const page of pages) {
  test(`${page}: every relative link leads somewhere`, (t) => {
    const text = readFileSync(new URL(page, root), 'utf8')
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, link]) => link ?? '')
    for (const link of links.filter((target) => !/^[a-z]+:/.test(target))) {
      t.true(existsSync(new URL(link, new URL(page, root))), link)
    }
    t.pass()
  })
}
