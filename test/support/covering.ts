/** Covering arrays: few rows in which every combination of a few dimensions' values occurs (D. Cohen et al., AETG, 1997). */

export type Dimensions = { readonly [name: string]: readonly string[] }
export type Row<Choices extends Dimensions> = {
  readonly [name in keyof Choices]: Choices[name][number]
}

/** @param strength 2: every pair of values occurs in some row; 3: every three of them. */
export function cover<Choices extends Dimensions>(
  dimensions: Choices,
  strength: number,
): Row<Choices>[] {
  const names = Object.keys(dimensions)
  const missing = new Set<string>()
  const groups = subsets(names, strength)
  for (const group of groups)
    for (const values of product(group.map((name) => dimensions[name] ?? [])))
      missing.add(keyOf(group, values))
  const rows: Row<Choices>[] = []
  for (const key of missing) {
    const row = new Map(JSON.parse(key) as [string, string][])
    // Dimension by dimension, the value with which most is covered that was missing.
    for (const name of names) {
      if (row.has(name)) continue
      let best = { value: '', gain: -1 }
      for (const value of dimensions[name] ?? []) {
        const gain = covered(new Map(row).set(name, value), groups, missing).length
        if (gain > best.gain) best = { value, gain }
      }
      row.set(name, best.value)
    }
    for (const each of covered(row, groups, missing)) missing.delete(each)
    rows.push(Object.fromEntries(names.map((name) => [name, row.get(name)])) as Row<Choices>)
  }
  return rows
}

function covered(
  row: ReadonlyMap<string, string>,
  groups: readonly (readonly string[])[],
  missing: ReadonlySet<string>,
): string[] {
  return groups
    .filter((group) => group.every((name) => row.has(name)))
    .map((group) =>
      keyOf(
        group,
        group.map((name) => row.get(name) ?? ''),
      ),
    )
    .filter((key) => missing.has(key))
}

function keyOf(group: readonly string[], values: readonly string[]): string {
  return JSON.stringify(group.map((name, i) => [name, values[i]]))
}

export function product(lists: readonly (readonly string[])[]): string[][] {
  return lists.reduce<string[][]>(
    (rows, list) => rows.flatMap((row) => list.map((value) => [...row, value])),
    [[]],
  )
}

function subsets(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]]
  return names.flatMap((name, i) =>
    subsets(names.slice(i + 1), size - 1).map((rest) => [name, ...rest]),
  )
}
