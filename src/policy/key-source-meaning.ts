/** What the schema cannot say of a key source: exactly one of its kinds, and a URL that may be asked. */

import { urlProblem } from '../token/url.ts'
import { error, type Unplaced } from './problem.ts'
import type { KeySourceDocument } from './schema.ts'

/** @param issuer Where discovery starts; undefined where there is none to start from. */
export function keySourceProblems(
  base: Unplaced['path'],
  keys: KeySourceDocument,
  issuer: string | undefined,
): Unplaced[] {
  const given = ['file', 'url', 'discovery'].filter((name) => Object.hasOwn(keys, name))
  if (given.length !== 1) return [error(base, 'must have exactly one of file, url, discovery')]
  const problems: Unplaced[] = []
  if (keys.discovery === true && issuer === undefined)
    return [error([...base, 'discovery'], 'has no issuer to start from here: write url or file')]
  const url = keys.url ?? (keys.discovery === true ? issuer : undefined)
  const query =
    keys.discovery === true && issuer?.includes('?') ? 'must be without query' : undefined
  const problem = url === undefined ? undefined : (urlProblem(url) ?? query)
  if (problem !== undefined && keys.discovery === true) {
    problems.push(error([...base, 'discovery'], `cannot be used: the issuer ${problem}`))
  } else if (problem !== undefined) {
    problems.push(error([...base, 'url'], problem))
  }
  if (keys.caFile !== undefined && keys.file !== undefined) {
    problems.push(error([...base, 'caFile'], 'goes with url or discovery, not with file'))
  }
  return problems
}
