/** Origins of DPoP targets as a policy writes them: scheme and authority, nothing after. */

import { readTarget } from '../confirmation/target.ts'
import { urlProblem } from '../token/url.ts'
import { error, type Unplaced } from './problem.ts'

/** The normalised origin, or undefined where the text is more or less than one. */
export function readOrigin(text: string): string | undefined {
  const target = readTarget(text)
  return target?.path === '/' && !/[?#]/.test(text) ? target.origin : undefined
}

export function originProblems(base: Unplaced['path'], origins: readonly string[]): Unplaced[] {
  return origins.flatMap((text, i) => {
    const at = [...base, i]
    if (readOrigin(text) === undefined) {
      const advice = 'Write https://api.example, or https://api.example:8443, without a path.'
      return [error(at, 'must be an origin: scheme and authority', advice)]
    }
    const problem = urlProblem(text)
    return problem === undefined ? [] : [error(at, problem)]
  })
}
