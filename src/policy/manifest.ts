/** Finds the policy in a file: as it is, or inside a Kubernetes ConfigMap manifest, with the places kept true. */

import { isMap, isScalar, LineCounter, parseAllDocuments, type Scalar } from 'yaml'
import { maxPolicyLength, type ParseResult, parsePolicy } from './parse.ts'
import type { Problem } from './problem.ts'

/** Bytes: characters may take four, and a manifest wraps the policy. */
export const maxPolicyFileBytes = 4 * maxPolicyLength

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
  return embedded.map(({ text, place }) => {
    const result = parsePolicy(text)
    const placed = (problems: readonly Problem[]) =>
      problems.map((problem) => ({ ...problem, ...place(problem) }))
    return {
      text,
      result: result.ok
        ? { ...result, warnings: placed(result.warnings) }
        : { ok: false, problems: placed(result.problems) },
    }
  })
}

type Place = Pick<Problem, 'line' | 'column'>

interface Embedded {
  readonly text: string
  /** From a place in the policy to the place in the file. */
  readonly place: (inPolicy: Place) => Place
}

/** Kubernetes takes objects of 1.5 MiB at most (etcd). */
const maxManifestLength = 1.5 * 1024 * 1024
const manifest = /(?:^|[{,])[ \t]*"?kind"?[ \t]*:[ \t]*"?ConfigMap\b/m

function findEmbedded(source: string): Embedded[] {
  if (source.length > maxManifestLength || !manifest.test(source)) return []
  const lines = new LineCounter()
  try {
    const documents = parseAllDocuments(source, {
      lineCounter: lines,
      logLevel: 'silent',
      prettyErrors: false,
      uniqueKeys: false,
    })
    return (Array.isArray(documents) ? documents : []).flatMap((document) => {
      const data = document.get('kind') === 'ConfigMap' ? document.get('data') : undefined
      if (!isMap(data)) return []
      return data.items.flatMap(({ value }) =>
        isScalar(value) && typeof value.value === 'string' && value.value.includes('BindingPolicy')
          ? [{ text: value.value, place: placer(value, source, lines) }]
          : [],
      )
    })
  } catch {
    return []
  }
}

/** A block scalar keeps the policy's lines, moved down and to the right; in other styles only its start can be named. */
function placer(node: Scalar, source: string, lines: LineCounter): Embedded['place'] {
  const start = lines.linePos(node.range?.[0] ?? 0)
  if (node.type !== 'BLOCK_LITERAL') return () => ({ line: start.line, column: start.col })
  const first = source
    .split('\n')
    .slice(start.line)
    .find((line) => line.trim() !== '')
  const indent = (first ?? '').length - (first ?? '').trimStart().length
  return ({ line, column }) => ({ line: line + start.line, column: column + indent })
}
