/** The kit's reading of a /metrics page: Prometheus' text format 0.0.4. */

export interface Scrape {
  /** By the whole series, labels included. */
  readonly series: ReadonlyMap<string, number>
  /** Those that may only grow: counters, and the parts of histograms. */
  readonly growing: readonly string[]
  /** Of all series of a metric. */
  sum(name: string): number
  /** The series of a metric, one by one. */
  valuesOf(name: string): readonly number[]
}

/** Throws where a series stands there twice: Prometheus would drop the whole scrape. */
export function readScrape(text: string): Scrape {
  const types = new Map<string, string>()
  const series = new Map<string, number>()
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (name !== undefined && type !== undefined) types.set(name, type)
    if (line.startsWith('#')) continue
    const [, key, value] = /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) ?? []
    if (key === undefined || series.has(key)) throw new Error(`not one series: ${line}`)
    series.set(key, Number(value?.replace('Inf', 'Infinity')))
  }
  const metricOf = (key: string) => key.replace(/\{.*/, '')
  const mayOnlyGrow = (key: string) => {
    const name = metricOf(key)
    const type = types.get(name) ?? types.get(name.replace(/_(bucket|sum|count)$/, ''))
    return type === 'counter' || type === 'histogram'
  }
  const valuesOf = (name: string) =>
    [...series].flatMap(([key, value]) => (metricOf(key) === name ? [value] : []))
  return {
    series,
    growing: [...series.keys()].filter(mayOnlyGrow),
    sum: (name) => valuesOf(name).reduce((sum, value) => sum + value, 0),
    valuesOf,
  }
}
