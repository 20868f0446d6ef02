/** What metrics count in: plain numbers, because this stands on the way of every check. */

import { type Labels, type MetricName, maxSeries, none, other } from './metric-list.ts'

export interface Sample<Name extends MetricName> {
  readonly labels: Labels<Name>
  readonly value: number
  /** A histogram's series have names of their own, and the label `le`. */
  readonly metricName?: string
}

/** 25 µs to 1 s: a warm check takes tens of microseconds, and the deadline is 150 ms unless set otherwise. */
const boundsMicroseconds = [
  25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
]
/** There are fewer reasons, methods and results. */
const maxOtherColumns = 100

/** Counts by two names. Once the room is taken, new ones count as `other`, so that no check is missing from a sum. */
export function createTally(room = { left: maxSeries }) {
  const rows = new Map<string, Map<string, { value: number }>>()
  const find = (row: string, column: string) => rows.get(row)?.get(column) ?? begin(row, column)

  function begin(row: string, column: string): { value: number } {
    if (room.left <= 0 && row !== other) return find(other, column)
    if (room.left <= -maxOtherColumns && column !== other) return find(other, other)
    room.left--
    const columns = rows.get(row) ?? new Map<string, { value: number }>()
    const count = { value: 0 }
    rows.set(row, columns.set(column, count))
    return count
  }

  return {
    add(row: string, column: string): void {
      find(row, column).value++
    },
    *entries(): Generator<readonly [row: string, column: string, value: number]> {
      for (const [row, columns] of rows)
        for (const [column, { value }] of columns) yield [row, column, value]
    },
  }
}

export function createDurationsByCache() {
  return { hit: createDurations(), miss: createDurations(), [none]: createDurations() }
}

/** A histogram: how many took at most each bound, and how long all of them took. */
export function createDurations() {
  const counts = new Float64Array(boundsMicroseconds.length + 1)
  let sumMicroseconds = 0
  const count = () => counts.reduce((sum, value) => sum + value, 0)

  return {
    count,
    add(microseconds: number): void {
      let at = 0
      while (microseconds > (boundsMicroseconds[at] ?? Number.POSITIVE_INFINITY)) at++
      counts[at] = (counts[at] ?? 0) + 1
      sumMicroseconds += microseconds
    },
    *samples<Name extends MetricName>(name: Name, labels: Labels<Name>): Generator<Sample<Name>> {
      let atMost = 0
      for (const [at, value] of counts.entries()) {
        atMost += value
        const bound = boundsMicroseconds[at]
        const le = bound === undefined ? '+Inf' : String(bound / 1e6)
        yield { metricName: `${name}_bucket`, labels: { ...labels, le }, value: atMost }
      }
      yield { metricName: `${name}_sum`, labels, value: sumMicroseconds / 1e6 }
      yield { metricName: `${name}_count`, labels, value: atMost }
    },
  }
}
