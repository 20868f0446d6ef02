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

test('docs/spec-map.md: whatever section of the design a comment or a title cites, it says where that is', (t) => {
  const map = readFileSync(new URL('docs/spec-map.md', root), 'utf8')
  const cited = ['src', 'test', 'faults', 'bench'].flatMap((directory) =>
    readdirSync(new URL(`${directory}/`, root), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const text = readFileSync(new URL(`${directory}/${name}`, root), 'utf8')
        return text.match(/\b(?:contract|architecture) §\d+/gi) ?? []
      }),
  )
  t.true(cited.length > 100)
  for (const section of new Set(cited.map((each) => each.toLowerCase())))
    t.true(map.includes(`| ${section},`), section)
})
