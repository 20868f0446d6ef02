import test from 'ava'
import { drawChart } from '../bench/chart.ts'
import { fillPage, sectionText } from '../bench/report.ts'
import {
  type Comparison,
  compare,
  type MeasuredRow,
  type Section,
  summarise,
  tellSection,
} from '../bench/results.ts'
import { checkComparisons, checkRows } from '../bench/rows.ts'
import { readSample } from '../bench/vegeta.ts'

const row = (id: string, ...rates: readonly number[]): MeasuredRow => ({
  ...{ id, title: id, sent: id },
  samples: rates.map((perSecond) => ({ perSecond })),
})
const rows = [row('a', 90, 50, 60), row('b', 100, 100, 100), row('none', 40, 40, 40)]
const ratio = (target?: Comparison['target']): Comparison => ({
  ...{ title: 'a / b', of: 'a', base: 'b', figure: 'perSecond', charted: true },
  ...(target === undefined ? {} : { target }),
})

test('a ratio is taken in each repetition, and told as median, least and most (docs/performance.md)', (t) => {
  t.deepEqual(compare(ratio(), rows), [
    { ...ratio(), values: [0.9, 0.5, 0.6], median: 0.6, min: 0.5, max: 0.9 },
  ])
  t.deepEqual(summarise([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
})

test('a target is met or missed by so much, whichever side it is on (docs/performance.md)', (t) => {
  const verdict = (bound: 'at least' | 'at most', value: number) =>
    compare(ratio({ bound, value }), rows)[0]?.verdict
  t.deepEqual(verdict('at least', 0.5), { met: true, by: 0.1 })
  t.deepEqual(verdict('at least', 0.85), { met: false, by: 0.25 })
  t.deepEqual(verdict('at most', 0.7), { met: true, by: 0.1 })
  t.deepEqual(verdict('at most', 0.5), { met: false, by: 0.1 })
})

test('what each adds is told over a third row: as a difference, and as a ratio of differences', (t) => {
  const added: Comparison = { title: 'a adds', of: 'a', over: 'none', figure: 'perSecond' }
  t.deepEqual(compare(added, rows)[0]?.values, [50, 10, 20])
  t.deepEqual(compare({ ...added, base: 'b' }, rows)[0]?.values, [0.833333, 0.166667, 0.333333])
})

test('a comparison with a row that was not measured is left out, and told as not measured where it has a target: a peer that was not given', (t) => {
  t.deepEqual(compare({ ...ratio(), base: 'opa' }, rows), [])
  t.deepEqual(compare({ ...ratio(), of: 'opa' }, rows), [])
  const aimed = { ...ratio({ bound: 'at least', value: 8 }), base: 'opa', title: 'a / OPA' }
  const told = tellSection(section.made, rows, [ratio(), { ...ratio(), base: 'opa' }, aimed])
  t.deepEqual(told.unmeasured, [aimed])
  t.regex(sectionText(told), /a \/ OPA +not measured +at least 8\.00/)
  t.deepEqual(compare({ ...ratio(), over: 'opa' }, rows), [])
})

test('THE LIST: each row once, and each comparison between two of them', (t) => {
  const ids = checkRows.map(({ id }) => id)
  t.deepEqual([...new Set(ids)], ids)
  for (const { title, of, base } of checkComparisons)
    t.true(ids.includes(of) && ids.includes(base ?? ''), title)
})

test('the targets are those that were set: a change of the list is a decision', (t) => {
  t.deepEqual(
    checkComparisons.flatMap(({ of, base, figure, target }) =>
      target === undefined ? [] : [[of, base, figure, target.bound, target.value]],
    ),
    [
      ['warm', 'floor', 'perSecond', 'at least', 0.85],
      ['warmAlone', 'floorAlone', 'perSecond', 'at least', 0.8],
      ['hops', 'warm', 'perSecond', 'at least', 0.9],
      ['crowded', 'warm', 'perSecond', 'at least', 0.9],
      ['cold', 'jose', 'perSecond', 'at least', 0.8],
      ['dpop', 'jose', 'perSecond', 'at least', 0.7],
      ['warm', 'floor', 'p99Milliseconds', 'at most', 1.5],
      ['warm', 'opa', 'perSecond', 'at least', 8],
    ],
  )
})

const section: Section = tellSection(
  {
    date: '2026-11-23',
    commit: '0123abc',
    node: '24.0.0',
    machine: { processor: 'A & B', cores: 2, memoryGibibytes: 8, system: 'Linux' },
    ...{ repetitions: 3, notes: ['OPA-Envoy was not measured.'] },
  },
  rows,
  [ratio({ bound: 'at least', value: 0.85 })],
)

test('terminal, page and chart tell the same median, spread, target and verdict', (t) => {
  const begin = '<!-- figures of checks: made from bench/results/latest.json by `make bench` -->'
  const page = `${begin}old<!-- end of the figures of checks -->
<!-- figures of envoy: made from bench/results/latest.json by \`make bench\` -->
<!-- end of the figures of envoy -->
<!-- figures of memory: made from bench/results/latest.json by \`make bench\` -->
<!-- end of the figures of memory -->`
  const filled = fillPage(page, { checks: section })
  t.true(filled.includes('| a / b | 0.60 (0.50–0.90) | at least 0.85 | missed by 0.25 |'), filled)
  t.false(filled.includes('old'))
  t.true(filled.includes('Not measured so far.'))
  t.is(fillPage(filled, { checks: section }), filled)
  t.regex(sectionText(section), /a \/ b +0\.60 \(0\.50–0\.90\) +at least 0\.85 +missed by 0\.25/)
  t.regex(sectionText(section), /OPA-Envoy was not measured\./)
  const chart = drawChart({ checks: section })
  t.true(chart.includes('class="bar missed"') && chart.includes('0.60 (0.50–0.90)'))
  t.throws(() => fillPage(begin, { checks: section }), { message: /have no end/ })
})

/** A line of vegeta's CSV: sent so many milliseconds after the start, answered so many later. */
function line(number: number, sentMs: number, latencyMs: number, status = 200): string {
  const sent = 1_795_000_000_000_000_000n + BigInt(Math.round(sentMs * 1e6))
  const error = status === 200 ? '' : `${status} Forbidden`
  const rest = `0,0,${error},,,${number},POST,https://127.0.0.1/,`
  return `${sent},${status},${Math.round(latencyMs * 1e6)},${rest}`
}

test('a request that was sent late counts from when it was due: no coordinated omission', (t) => {
  // 10 a second; the first second does not count. Half of the rest wait 40 ms for the generator.
  const lines = Array.from({ length: 30 }, (_, n) => {
    const late = n >= 10 && n % 2 === 0 ? 40 : 0
    return line(n, n * 100 + late, n < 10 ? 500 : 2)
  })
  const { p50Milliseconds = 0, p99Milliseconds = 0, lateMilliseconds = 0 } = readSample(lines, 10)
  t.is(Math.round(p99Milliseconds), 42)
  t.is(Math.round(lateMilliseconds), 40)
  t.is(Math.round(p50Milliseconds), 42)
  const onTime = lines.map((_, n) => line(n, n * 100, 2))
  t.is(Math.round(readSample(onTime.toReversed(), 10).p99Milliseconds ?? 0), 2)
})

test('a single refusal ends an attack: its figures would mean nothing', (t) => {
  const lines = [line(0, 0, 2), line(1, 100, 2, 403)]
  t.throws(() => readSample(lines, 10), {
    message: '1 of 2 requests failed, one with 403 Forbidden',
  })
})
