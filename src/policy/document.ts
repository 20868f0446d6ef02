/** One YAML 1.2 (or JSON) text → checked data, or every problem at once with its place in the text. */

import {
  type Document,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from 'yaml'
import { z } from 'zod'
import { error, type Problem, type Unplaced } from './problem.ts'
import { maxProblems, type SchemaNode, structureProblems } from './structure.ts'

export type DocumentResult<Value> =
  | { readonly ok: true; readonly value: Value; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** A kind of document: what it is called, its structure, and what the structure cannot say. */
export interface DocumentKind<Value> {
  /** With its article. */
  readonly name: string
  readonly schema: z.ZodType<Value>
  readonly jsonSchema: SchemaNode
  /** @param value The document as plain data, whatever it is. */
  readonly findContradictions: (value: unknown) => readonly Unplaced[]
  readonly maxLength: number
  /** Said of an empty one. */
  readonly firstLine: string
}

export function defineDocument<Value>(
  kind: Omit<DocumentKind<Value>, 'jsonSchema'>,
): DocumentKind<Value> {
  return { ...kind, jsonSchema: z.toJSONSchema(kind.schema, { io: 'input' }) as SchemaNode }
}

const maxAliases = 20

/**
 * Reads one document. Never throws: one that bends the parser (alias bombs, nesting without end) is a problem like any
 * other.
 */
export function readDocument<Value>(
  text: string,
  kind: DocumentKind<Value>,
): DocumentResult<Value> {
  if (text.length > kind.maxLength) {
    const size = `${Math.floor(kind.maxLength / 1024 / 1024)} MiB`
    return refused([
      atStart(`${kind.name} is over ${size}`, 'Split it, or remove what is not used.'),
    ])
  }
  const lines = new LineCounter()
  try {
    const documents = parseAllDocuments(text, {
      version: '1.2',
      schema: 'core',
      strict: true,
      uniqueKeys: false, // keyProblems looks, in one pass where the parser would compare each with each
      stringKeys: true,
      prettyErrors: false,
      lineCounter: lines,
    })
    const [document, ...others] = Array.isArray(documents) ? documents : []
    if (document === undefined || document.contents === null) {
      return refused([atStart(`${kind.name} is empty`, kind.firstLine)])
    }
    const syntax = syntaxProblems(document, lines)
    syntax.push(...keyProblems(document, lines))
    if (others.length > 0) {
      syntax.push(
        atStart('more than one YAML document', 'One file is one document: remove the `---`.'),
      )
    }
    if (syntax.length > 0) return refused(syntax)
    return judge(document, document.toJS({ maxAliasCount: maxAliases }), lines, kind)
  } catch (cause) {
    return refused([atStart(`${kind.name} cannot be read`, adviceFor(cause))])
  }
}

function judge<Value>(
  document: Document,
  value: unknown,
  lines: LineCounter,
  kind: DocumentKind<Value>,
): DocumentResult<Value> {
  const parsed = kind.schema.safeParse(value, { reportInput: true })
  const unplaced = [
    ...(parsed.error?.issues
      .slice(0, maxProblems)
      .flatMap((issue) => structureProblems(issue, kind.jsonSchema)) ?? []),
    ...kind.findContradictions(value),
  ]
  const problems = unplaced
    .map((problem) => place(problem, document, lines))
    .sort((a, b) => a.line - b.line || a.column - b.column)
  if (problems.some((problem) => problem.severity === 'error') || !parsed.success)
    return refused(problems)
  return { ok: true, value: parsed.data, warnings: problems }
}

function refused(problems: readonly Problem[]): { ok: false; problems: readonly Problem[] } {
  return { ok: false, problems: problems.slice(0, maxProblems) }
}

function atStart(message: string, advice: string): Problem {
  return { ...error([], message, advice), line: 1, column: 1 }
}

function adviceFor(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : ''
  if (text.includes('alias')) return `At most ${maxAliases} uses of YAML aliases are taken.`
  return 'It nests too deeply, or is no YAML that can be resolved.'
}

/** Warnings of the parser (an unknown tag, say) are errors here: nothing in a policy may be passed over. */
function syntaxProblems(document: Document, lines: LineCounter): Problem[] {
  return [...document.errors, ...document.warnings].map((issue) => {
    const { line, col } = lines.linePos(issue.pos[0])
    const advice = issue.code === 'DUPLICATE_KEY' ? 'Keep one of the two.' : ''
    return {
      ...error([], issue.message, advice),
      line: Math.max(line, 1),
      column: Math.max(col, 1),
    }
  })
}

/**
 * Keys that stand twice, and `__proto__`, which JavaScript gives a meaning of its own: parts of a policy could go
 * missing behind either.
 */
function keyProblems(document: Document, lines: LineCounter): Problem[] {
  const problems: Problem[] = []
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        const place = lines.linePos(key.range?.[0] ?? 0)
        const at = { line: place.line, column: place.col }
        if (key.value === '__proto__')
          problems.push({ ...error([], 'the key `__proto__` is not taken anywhere'), ...at })
        if (seen.has(key.value))
          problems.push({ ...error([], 'Map keys must be unique', 'Keep one of the two.'), ...at })
        seen.add(key.value)
      }
    },
  })
  return problems
}

/** The place of the problem's node, or of the nearest node above it that is there. */
function place(problem: Unplaced, document: Document, lines: LineCounter): Problem {
  const { at, ...rest } = problem
  for (let depth = problem.path.length; depth >= 0; depth--) {
    const node = nodeAt(
      document,
      problem.path.slice(0, depth),
      at === 'key' && depth === problem.path.length,
    )
    const start = node?.range?.[0]
    if (start === undefined) continue
    const { line, col } = lines.linePos(start)
    return { ...rest, line, column: col }
  }
  return { ...rest, line: 1, column: 1 }
}

function nodeAt(
  document: Document,
  path: readonly (string | number)[],
  wantKey: boolean,
): Node | undefined {
  if (wantKey && typeof path.at(-1) === 'string') {
    const parent = document.getIn(path.slice(0, -1), true)
    const pair = isMap(parent)
      ? parent.items.find((item: Pair) => String(item.key) === path.at(-1))
      : undefined
    return isNode(pair?.key) ? pair.key : undefined
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  return isNode(node) ? node : undefined
}
