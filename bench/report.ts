/** The tables of a section, for a terminal and for docs/performance.md, made from the same data. */

import {
  type Comparison,
  type FigureName,
  figures,
  type MeasuredRow,
  type Results,
  type Section,
  type Summary,
  sectionNames,
  summarise,
  type Told,
} from './results.ts'

interface Table {
  readonly header: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function numberText(value: number, digits: number): string {
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}

/** One repetition has no spread. */
export function spreadText({ median, min, max }: Summary, digits: number): string {
  const [middle, least, most] = [median, min, max].map((value) => numberText(value, digits))
  if (min === max) return `${middle}`
  return `${middle} (${least}${min < 0 ? ' to ' : '–'}${most})`
}

/** The figures that any sample of the section has, in the order of the list. */
function figuresOf({ rows }: Section): FigureName[] {
  return (Object.keys(figures) as FigureName[]).filter((name) =>
    rows.some(({ samples }) => samples.some((sample) => sample[name] !== undefined)),
  )
}

function cell({ samples }: MeasuredRow, name: FigureName): string {
  const values = samples.flatMap((sample) => sample[name] ?? [])
  return values.length === 0 ? '' : spreadText(summarise(values), figures[name].digits)
}

function rowTable(section: Section): Table {
  const names = figuresOf(section)
  return {
    header: ['', ...names.map((name) => figures[name].title)],
    rows: section.rows.map((row) => [row.title, ...names.map((name) => cell(row, name))]),
  }
}

function comparisonTable({ comparisons, unmeasured }: Section): Table {
  return {
    header: ['compared', '', 'target', ''],
    rows: [
      ...comparisons.map((told) => [
        told.title,
        spreadText(told, 2),
        targetText(told),
        verdictText(told),
      ]),
      ...unmeasured.map((each) => [each.title, 'not measured', targetText(each), '']),
    ],
  }
}

function targetText({ target }: Comparison): string {
  return target === undefined ? '' : `${target.bound} ${numberText(target.value, 2)}`
}

function verdictText({ verdict }: Told): string {
  if (verdict === undefined) return ''
  return `${verdict.met ? 'met' : 'missed'} by ${numberText(verdict.by, 2)}`
}

function sentTable({ rows }: Section): Table {
  return { header: ['', 'what is sent'], rows: rows.map(({ title, sent }) => [title, sent]) }
}

function madeText({ made }: Section): string {
  const { processor, cores, memoryGibibytes, system } = made.machine
  const times =
    made.repetitions === 1
      ? 'One repetition.'
      : `Median (min–max) of ${made.repetitions} repetitions.`
  return [
    `${made.date}, commit ${made.commit}, Node ${made.node}, ${cores} × ${processor}, ${memoryGibibytes} GiB, ${system}.`,
    times,
    ...made.notes,
  ].join(' ')
}

/** For a terminal. */
export function sectionText(section: Section): string {
  const tables = [rowTable(section), comparisonTable(section)].map(plainTable)
  return [madeText(section), ...tables].join('\n\n')
}

function plainTable({ header, rows }: Table): string {
  const lines = [header, ...rows]
  const widths = header.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  return lines
    .map((line) => `  ${line.map((text, i) => text.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd())
    .join('\n')
}

function markdownTable({ header, rows }: Table): string {
  const line = (texts: readonly string[]) =>
    `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(header), `|${header.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

/** What is made from results: a section's figures, and the rates alone, for those who count replicas. */
const blocks: { readonly [name: string]: (results: Results) => string } = {
  ...Object.fromEntries(
    sectionNames.map((name) => [name, (results: Results) => figuresText(results[name])]),
  ),
  rates: ({ checks }) => ratesText(checks),
}

const marks = (name: string) => [
  `<!-- figures of ${name}: made from bench/results/latest.json by \`make bench\` -->`,
  `<!-- end of the figures of ${name} -->`,
]

/** The names of the blocks that a page has. */
export function blocksOf(page: string): readonly string[] {
  return Object.keys(blocks).filter((name) => page.includes(marks(name)[0] ?? ''))
}

/** The page with its figures in place; what stands outside the marks is left as it is. */
export function fillPage(page: string, results: Results): string {
  return blocksOf(page).reduce((text, name) => {
    const [begin = '', end = ''] = marks(name)
    const from = text.indexOf(begin)
    const to = text.indexOf(end)
    if (to < from) throw new Error(`the figures of ${name} have no end`)
    const block = blocks[name]?.(results)
    return `${text.slice(0, from + begin.length)}\n\n${block}\n\n${text.slice(to)}`
  }, page)
}

/** The page without what is generated: what a person wrote. */
export function proseOf(page: string): string {
  return blocksOf(page).reduce((text, name) => {
    const [begin = '', end = ''] = marks(name)
    return text.slice(0, text.indexOf(begin)) + text.slice(text.indexOf(end))
  }, page)
}

const planned: readonly (readonly [row: string, title: string])[] = [
  ['warm', 'token and certificate seen before'],
  ['hops', 'the same, two hops (XFCC)'],
  ['cold', 'token never seen'],
  ['dpop', 'DPoP, a new proof each time'],
]

function ratesText(section: Section | undefined): string {
  if (section === undefined) return 'Not measured so far.'
  const rows = planned.flatMap(([id, title]) => {
    const row = section.rows.find((each) => each.id === id)
    return row === undefined ? [] : [[title, cell(row, 'perSecond'), cell(row, 'cpuMicroseconds')]]
  })
  const header = ['32 in flight, one connection', 'checks per second', 'CPU for each (µs)']
  const made = madeText({ ...section, made: { ...section.made, notes: [] } })
  return [made, markdownTable({ header, rows })].join('\n\n')
}

function figuresText(section: Section | undefined): string {
  if (section === undefined) return 'Not measured so far.'
  const tables = [comparisonTable(section), rowTable(section), sentTable(section)]
  return [madeText(section), ...tables.map(markdownTable)].join('\n\n')
}
