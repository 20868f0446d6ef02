/** The tables of a section, for a terminal and for docs/performance.md, made from the same data. */

import {
  type FigureName,
  figures,
  type MeasuredRow,
  type Results,
  type Section,
  type SectionName,
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

function comparisonTable({ comparisons }: Section): Table {
  return {
    header: ['compared', '', 'target', ''],
    rows: comparisons.map((told) => [
      told.title,
      spreadText(told, 2),
      told.target === undefined ? '' : `${told.target.bound} ${numberText(told.target.value, 2)}`,
      verdictText(told),
    ]),
  }
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
  const times = made.repetitions === 1 ? 'one repetition' : `${made.repetitions} repetitions`
  return [
    `${made.date}, commit ${made.commit}, Node ${made.node}, ${cores} × ${processor}, ${memoryGibibytes} GiB, ${system}.`,
    `Median (min–max) of ${times}.`,
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

const marks = (name: SectionName) => [
  `<!-- figures of ${name}: made from bench/results/latest.json by \`make bench\` -->`,
  `<!-- end of the figures of ${name} -->`,
]

/** The page with its figures in place; what stands outside the marks is left as it is. */
export function fillPage(page: string, results: Results): string {
  return sectionNames.reduce((text, name) => {
    const [begin = '', end = ''] = marks(name)
    const from = text.indexOf(begin)
    const to = text.indexOf(end)
    if (from < 0 || to < from) throw new Error(`docs/performance.md has no marks for ${name}`)
    return `${text.slice(0, from + begin.length)}\n\n${figuresText(results[name])}\n\n${text.slice(to)}`
  }, page)
}

/** The page without what is generated: what a person wrote. */
export function proseOf(page: string): string {
  return sectionNames.reduce((text, name) => {
    const [begin = '', end = ''] = marks(name)
    return text.slice(0, text.indexOf(begin)) + text.slice(text.indexOf(end))
  }, page)
}

function figuresText(section: Section | undefined): string {
  if (section === undefined) return 'Not measured so far.'
  const tables = [comparisonTable(section), rowTable(section), sentTable(section)]
  return [madeText(section), ...tables.map(markdownTable)].join('\n\n')
}
