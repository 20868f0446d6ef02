/** The one policy of a file, or why there is none: for the log in parts, for a terminal as text. */

import type { PolicyFile } from '../policy/manifest.ts'
import { type Problem, pathText, renderProblem } from '../policy/problem.ts'
import type { PolicyDocument } from '../policy/schema.ts'

/** For the log: where, what, and what to do. The text of the line itself stays out of it. */
export interface ReloadProblem {
  readonly message: string
  readonly line?: number
  readonly column?: number
  readonly path?: string
  readonly advice?: string
}

export type OnlyPolicy =
  | {
      readonly ok: true
      readonly policy: PolicyDocument
      readonly text: string
      readonly warnings: readonly Problem[]
    }
  | {
      readonly ok: false
      readonly problems: readonly ReloadProblem[]
      readonly rendered: (file: string, source: string) => string
    }

export function unparsed({ message }: Error): OnlyPolicy {
  return { ok: false, problems: [{ message }], rendered: (file) => `${file}: ${message}` }
}

/** The one policy of a file. */
export function readOnlyPolicy([found, ...others]: readonly PolicyFile[]): OnlyPolicy {
  if (found === undefined || others.length > 0) {
    const message = 'holds more than one policy'
    return { ok: false, problems: [{ message }], rendered: (file) => `${file}: ${message}` }
  }
  const { result, text } = found
  if (result.ok) return { ok: true, policy: result.policy, text, warnings: result.warnings }
  const { problems } = result
  return {
    ok: false,
    problems: problems.map(({ path, severity: _, ...rest }) => ({ ...rest, path: pathText(path) })),
    rendered: (file, text) =>
      problems.map((problem) => renderProblem(problem, file, text)).join('\n'),
  }
}
