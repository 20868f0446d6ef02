/** What a bench tells: rows with every sample, and what is said of one row beside another, held against its target. */

export const figures = {
  perSecond: { title: 'checks per second', digits: 0 },
  cpuMicroseconds: { title: 'CPU per check (µs)', digits: 1 },
  allocatedBytes: { title: 'allocated (bytes)', digits: 0 },
  p50Milliseconds: { title: 'p50 (ms)', digits: 2 },
  p99Milliseconds: { title: 'p99 (ms)', digits: 2 },
  lateMilliseconds: { title: 'sent late, p99 (ms)', digits: 2 },
  rssBeforeMebibytes: { title: 'RSS before (MiB)', digits: 0 },
  rssMebibytes: { title: 'RSS at most (MiB)', digits: 0 },
  foundPercent: { title: 'of the thousand found (%)', digits: 2 },
  tokens: { title: 'tokens remembered', digits: 0 },
  bytesEach: { title: 'bytes each', digits: 0 },
} as const

export type FigureName = keyof typeof figures

/** One repetition of one row. A figure that cannot be had is absent. */
export type Sample = { readonly [name in FigureName]?: number }

export interface Row {
  readonly id: string
  readonly title: string
  /** What is sent, for readers. */
  readonly sent: string
}

export interface MeasuredRow extends Row {
  readonly samples: readonly Sample[]
}

export interface Target {
  readonly bound: 'at least' | 'at most'
  readonly value: number
}

/** One row beside another, or by itself, by one figure, repetition by repetition. */
export interface Comparison {
  readonly title: string
  readonly of: string
  /** The row that it is divided by. Without one a difference is told, or the figure itself, in its own unit. */
  readonly base?: string
  /** A row that is taken off both first: what each of them adds. */
  readonly over?: string
  readonly figure: FigureName
  readonly target?: Target
  /** Whether it has a bar in the chart. */
  readonly charted?: boolean
}

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Verdict {
  readonly met: boolean
  /** How far the median is from the target, on either side. */
  readonly by: number
}

export interface Told extends Comparison, Summary {
  readonly values: readonly number[]
  readonly verdict?: Verdict
}

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGibibytes: number
  readonly system: string
}

/** When, where and how a section was measured. */
export interface Made {
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly machine: Machine
  readonly repetitions: number
  /** What was not as usual, and which peers were not given. */
  readonly notes: readonly string[]
}

export interface Section {
  readonly made: Made
  readonly rows: readonly MeasuredRow[]
  readonly comparisons: readonly Told[]
  /** Those that have a target and could not be made: a peer was not given. */
  readonly unmeasured: readonly Comparison[]
}

export const sectionTitles = {
  checks: 'Checks',
  envoy: 'Latency through Envoy',
  memory: 'Memory under floods',
} as const

export type SectionName = keyof typeof sectionTitles
export const sectionNames = Object.keys(sectionTitles) as readonly SectionName[]

export type Results = { readonly [name in SectionName]?: Section }

export function summarise(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const at = (index: number) => sorted[index] ?? Number.NaN
  return {
    median: round((at(Math.floor(middle)) + at(Math.ceil(middle))) / 2),
    min: at(0),
    max: at(sorted.length - 1),
  }
}

/** Six digits say all that a measurement can. */
export function round(value: number): number {
  return Number(value.toPrecision(6))
}

export function roundSample(sample: Sample): Sample {
  return Object.fromEntries(
    Object.entries(sample).map(([name, value]) => [name, round(value)]),
  ) as Sample
}

/** Puts a section together. A comparison with a row that was not measured, such as a peer's, is told as such if it has a target. */
export function tellSection(
  made: Made,
  rows: readonly MeasuredRow[],
  comparisons: readonly Comparison[],
): Section {
  return {
    made,
    rows,
    comparisons: comparisons.flatMap((each) => compare(each, rows)),
    unmeasured: comparisons.filter(
      (each) => each.target !== undefined && compare(each, rows).length === 0,
    ),
  }
}

export function compare(comparison: Comparison, rows: readonly MeasuredRow[]): Told[] {
  const { of, base, over, figure, target } = comparison
  const valuesOf = (id: string) =>
    rows.find((row) => row.id === id)?.samples.map((sample) => sample[figure] ?? Number.NaN)
  const [above, below, off] = [of, base, over].map((id) =>
    id === undefined ? undefined : valuesOf(id),
  )
  const named = [base, over].filter((id) => id !== undefined).length
  const found = [below, off].filter((values) => values !== undefined).length
  if (above === undefined || found < named) return []
  const values = above.map((value, i) => {
    const less = off?.[i] ?? 0
    return round(below === undefined ? value - less : (value - less) / ((below[i] ?? 0) - less))
  })
  const summary = summarise(values)
  const verdict = target === undefined ? {} : { verdict: judge(summary.median, target) }
  return [{ ...comparison, values, ...summary, ...verdict }]
}

function judge(median: number, { bound, value }: Target): Verdict {
  const by = bound === 'at least' ? median - value : value - median
  return { met: by >= 0, by: round(Math.abs(by)) }
}
