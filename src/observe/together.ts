/** What several processes have counted, as if one had: counts add up, first times are the earliest and last ones the latest. */

const earliest = new Set(['since', 'firstSeen', 'firstAt'])
const latest = new Set(['lastSeen', 'lastAt'])

/** Both of one form: objects and maps of counts and times. Neither is changed. Null: not yet. */
export function countTogether<Counts>(a: Counts, b: Counts): Counts {
  return join(a, b, '') as Counts
}

function join(a: unknown, b: unknown, name: string): unknown {
  if (a === undefined || a === null) return b
  if (b === undefined || b === null) return a
  if (typeof a === 'number' && typeof b === 'number') {
    if (earliest.has(name)) return Math.min(a, b)
    return latest.has(name) ? Math.max(a, b) : a + b
  }
  if (a instanceof Map && b instanceof Map) {
    const all = new Map(a)
    for (const [key, value] of b) all.set(key, join(all.get(key), value, ''))
    return all
  }
  if (typeof a === 'object' && typeof b === 'object') {
    const [older, newer] = lastSeen(a) > lastSeen(b) ? [b, a] : [a, b]
    return Object.fromEntries(
      Object.entries(newer).map(([key, value]) => [key, join(member(older, key), value, key)]),
    )
  }
  // A text does not add up: the mode of a route is the one that it was last seen in.
  return b
}

function lastSeen(counts: object): number {
  const time = member(counts, 'lastSeen')
  return typeof time === 'number' ? time : Number.NEGATIVE_INFINITY
}

function member(object: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(object, name)?.value
}
