/** Keeps a policy's denylist as it is on disk; one that cannot be read leaves the last good one in force. */

import { maxDenylistLength } from '../policy/denylist.ts'
import { renderProblem } from '../policy/problem.ts'
import { createRevocationIndex, type RevocationIndex } from '../state/revocations.ts'
import { type FileWatch, watchFile } from './file-watch.ts'
import { parseDenylistAside } from './parse-aside.ts'

export interface DenylistWatch extends FileWatch {
  /** Undefined until one could be read. */
  readonly index: RevocationIndex | undefined
  /** What is wrong with the file as it is now. */
  readonly problem: string | undefined
}

/** @param onChange Told once per change. */
export function watchDenylist(
  path: string,
  onChange: (problem: string | undefined, entries: number) => void,
): DenylistWatch {
  let index: RevocationIndex | undefined
  let flaw: string | undefined
  let trouble: string | undefined

  const told = () => onChange(trouble ?? flaw, index?.size ?? 0)
  const watch = watchFile({
    path,
    maxBytes: 4 * maxDenylistLength,
    async onContent(text) {
      try {
        const result = await parseDenylistAside(text)
        if (result.ok) index = createRevocationIndex(result.entries)
        flaw = result.ok
          ? undefined
          : result.problems.map((problem) => renderProblem(problem, path, text)).join('\n')
      } catch (error) {
        flaw = `${path}: ${error instanceof Error ? error.message : 'cannot be parsed'}`
      }
      told()
      return undefined
    },
    onTrouble(problem) {
      trouble = problem
      if (problem !== undefined || index !== undefined) told()
    },
  })
  return {
    tried: watch.tried,
    close: watch.close,
    get index() {
      return index
    },
    get problem() {
      return trouble ?? flaw
    },
  }
}
