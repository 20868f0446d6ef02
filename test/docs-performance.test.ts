import { readFileSync } from 'node:fs'
import test from 'ava'
import { drawChart } from '../bench/chart.ts'
import { blocksOf, fillPage, proseOf } from '../bench/report.ts'
import { compare, type Results, type Section } from '../bench/results.ts'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const page = read('docs/performance.md')
const results: Results = JSON.parse(read('bench/results/latest.json'))
const sections = Object.entries(results) as [string, Section][]

test('docs/performance.md and docs/scale.md have the figures of bench/results/latest.json (npm run bench -- --write-docs)', (t) => {
  const scale = read('docs/scale.md')
  t.deepEqual(blocksOf(page), ['checks', 'envoy', 'memory'])
  t.deepEqual(blocksOf(scale), ['rates'])
  for (const text of [page, scale]) t.is(fillPage(text, results), text)
})

test('bench/results/latest.svg is drawn from latest.json (npm run bench -- --write-docs)', (t) => {
  t.is(read('bench/results/latest.svg'), drawChart(results))
})

test('latest.json has checks, the way through Envoy and memory, each with machine, Node, commit and date (docs/performance.md)', (t) => {
  t.deepEqual(Object.keys(results), ['checks', 'envoy', 'memory'])
  const commits = new Set(sections.map(([, { made }]) => made.commit))
  t.is(commits.size, 1, 'all of one commit')
  for (const [name, { made }] of sections) {
    t.regex(made.date, /^\d{4}-\d\d-\d\d$/, name)
    t.regex(made.commit, /^[0-9a-f]{7,}$/, `${name}: of a commit, with nothing changed since`)
    t.regex(made.node, /^\d+\.\d+\.\d+$/, name)
    t.true(made.machine.cores > 0 && made.machine.processor !== '', name)
  }
})

test('every row has as many samples as there were repetitions, and every ratio is that of its samples', (t) => {
  for (const [name, { made, rows, comparisons }] of sections) {
    for (const { id, samples } of rows) t.is(samples.length, made.repetitions, `${name} ${id}`)
    t.true(comparisons.length > 0, name)
    for (const told of comparisons) {
      const { values, median, min, max, verdict, ...comparison } = told
      t.deepEqual(compare(comparison, rows), [told], `${name}: ${told.title}`)
    }
  }
})

test('what is written by hand in docs/performance.md repeats no figure that a run would change', (t) => {
  const prose = proseOf(page)
  t.true(prose.includes('## Method'))
  t.deepEqual(prose.match(/\b\d+\.\d\d\b|\d\s?(?:µs|ms|%|MiB|checks per second)/g), null)
})
