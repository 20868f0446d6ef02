/** docs/reliability.md is made from results, and says what they say. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import { type Published, pageFile, publishedFile, reliabilityPage } from '../../faults/report.ts'
import { scenarios } from '../../faults/scenarios/index.ts'

const published = JSON.parse(readFileSync(publishedFile, 'utf8')) as Published

test('docs/reliability.md says what faults/results/published.json says', (t) => {
  t.is(readFileSync(pageFile, 'utf8'), reliabilityPage(published))
})

test('make faults: each of F1 to F20 has a scenario', (t) => {
  const covered = new Set(scenarios.flatMap(({ covers }) => covers))
  for (let n = 1; n <= 20; n++) t.true(covered.has(`F${n}`), `F${n}`)
})

test('a result that missed a criterion is shown as missed, with what was seen', (t) => {
  const [first] = published.results
  t.truthy(first)
  if (first === undefined) return
  const missed = { claim: 'no false allow, in any phase', ok: false, got: '3 of 10 hostile' }
  const page = reliabilityPage({
    ...published,
    results: [{ ...first, ok: false, criteria: [missed] }],
  })
  t.true(page.includes('**missed**'))
  t.true(page.includes(`- \`${first.scenario}\`: ${missed.claim}. Seen: ${missed.got}.`))
})

test('no two scenarios have one name: results are resumed by it', (t) => {
  const names = scenarios.map(({ name }) => name)
  t.is(new Set(names).size, names.length)
})
