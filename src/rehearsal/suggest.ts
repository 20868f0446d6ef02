/** What to write in place of a name that is not known. */

import { nearestName } from '../policy/nearest.ts'

const maxNames = 16

export function suggestName(given: string, known: readonly string[]): string {
  const near = nearestName(given, known)
  if (near !== undefined) return `Did you mean \`${near}\`?`
  if (known.length > maxNames) return ''
  return `There is: ${known.join(', ') || 'none'}.`
}
