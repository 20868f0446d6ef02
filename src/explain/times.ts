/** Points in time and spans as a person reads them. */

export function tellTime(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000)
  return Number.isNaN(date.getTime())
    ? `second ${unixSeconds}`
    : `${date.toISOString().slice(0, 19)}Z`
}

const units: readonly (readonly [seconds: number, name: string])[] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
]

/** The two largest units: `4 min 48 s`. */
export function tellSpan(seconds: number): string {
  let rest = Math.round(Math.abs(seconds))
  const parts: string[] = []
  for (const [size, name] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count} ${name}`)
    else if (parts.length > 0) break
  }
  return parts.length === 0 ? '0 s' : parts.slice(0, 2).join(' ')
}
