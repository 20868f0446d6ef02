/** What to write in place of a name that is not known. */

import leven from 'leven'

const maxNames = 16

export function suggestName(given: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: leven(given, name) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near !== undefined) return `Did you mean \`${near.name}\`?`
  if (known.length > maxNames) return ''
  return `There is: ${known.join(', ') || 'none'}.`
}
