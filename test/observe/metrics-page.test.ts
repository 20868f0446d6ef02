import { readFileSync } from 'node:fs'
import test from 'ava'
import { metricsPage } from '../../docs/metrics-page.ts'
import { metricList } from '../../src/observe/metric-list.ts'

test('docs/metrics.md says what the table says (npm run docs)', (t) => {
  t.is(readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8'), metricsPage())
})

test('the page has every metric with every label, and no cell that breaks its table', (t) => {
  for (const [name, { help, labels }] of Object.entries(metricList)) {
    const section = metricsPage().split(`## ${name}\n`)[1]?.split('\n## ')[0] ?? ''
    t.true(section.includes(help), name)
    for (const [label, values] of Object.entries(labels)) {
      t.true(section.includes(`| \`${label}\` | ${values} |`), `${name} ${label}`)
      t.notRegex(values, /[|\n]/, `${name} ${label}`)
    }
  }
})
