/** The known name that was probably meant: at most a third of it is otherwise, whatever the case. */

import leven from 'leven'

export function nearestName(given: string, known: readonly string[]): string | undefined {
  const [near] = known
    .filter((name) => name !== given)
    .map((name) => ({ name, distance: leven(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return near?.name
}
