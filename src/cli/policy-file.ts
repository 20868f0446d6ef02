/** Finds the policy in a file: as it is, or inside a Kubernetes ConfigMap manifest, with the places kept true. */

import { isMap, isScalar, LineCounter, parseAllDocuments, type Scalar } from 'yaml'
import { type ParseResult, parsePolicy } from '../policy/parse.ts'
import type { Problem } from '../policy/problem.ts'

export interface PolicyFile {
  /** The policy's own text: what the revision covers. */
  readonly text: string
  /** Problems are placed in the file that was given. */
  readonly result: ParseResult
}

/** Every policy of the file: one for a plain policy, one for each policy in the data of a ConfigMap. */
export function readPolicies(source: string): readonly PolicyFile[] {
  const embedded = findEmbedded(source)
  if (embedded.length === 0) return [{ text: source, result: parsePolicy(source) }]
  return embedded.map(({ text, lineOffset, columnOffset }) => {
    const shift = (problem: Problem): Problem => ({
      ...problem,
      line: problem.line + lineOffset,
      column: problem.column + columnOffset,
    })
    const result = parsePolicy(text)
    return {
      text,
      result: result.ok
        ? { ...result, warnings: result.warnings.map(shift) }
        : { ok: false, problems: result.problems.map(shift) },
    }
  })
}

interface Embedded {
  readonly text: string
  readonly lineOffset: number
  readonly columnOffset: number
}

const maxManifestLength = 4 * 1024 * 1024

function findEmbedded(source: string): Embedded[] {
  if (source.length > maxManifestLength || !/^\s*"?kind"?\s*:\s*"?ConfigMap\b/m.test(source))
    return []
  const lines = new LineCounter()
  try {
    const documents = parseAllDocuments(source, { lineCounter: lines, logLevel: 'silent' })
    return (Array.isArray(documents) ? documents : []).flatMap((document) => {
      const data = document.get('kind') === 'ConfigMap' ? document.get('data') : undefined
      if (!isMap(data)) return []
      return data.items.flatMap(({ value }) =>
        isScalar(value) && typeof value.value === 'string' && value.value.includes('BindingPolicy')
          ? [locate(value, value.value, source, lines)]
          : [],
      )
    })
  } catch {
    return []
  }
}

/** A block scalar keeps the policy's lines as they are, moved down and to the right; other styles have no such place. */
function locate(node: Scalar, text: string, source: string, lines: LineCounter): Embedded {
  if (node.type !== 'BLOCK_LITERAL') return { text, lineOffset: 0, columnOffset: 0 }
  const headerLine = lines.linePos(node.range?.[0] ?? 0).line
  const firstLine = source.split('\n')[headerLine] ?? ''
  const indent = firstLine.length - firstLine.trimStart().length
  return { text, lineOffset: headerLine, columnOffset: indent }
}
