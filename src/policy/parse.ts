/** Policy text → a checked document, or every problem at once with its place in the text. */

import leven from 'leven'
import {
  type Document,
  isMap,
  isNode,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
} from 'yaml'
import type { z } from 'zod'
import { findContradictions } from './meaning.ts'
import { error, type Problem, type Unplaced } from './problem.ts'
import { type PolicyDocument, policyJsonSchema, policySchema } from './schema.ts'

export type ParseResult =
  | { readonly ok: true; readonly policy: PolicyDocument; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** A ConfigMap holds at most 1 MiB. */
export const maxPolicyLength = 1024 * 1024
const maxAliases = 20
const maxProblems = 200

/**
 * Reads one YAML 1.2 (or JSON) document. Never throws: a document that bends the parser (alias bombs, nesting
 * without end) is a problem like any other.
 */
export function parsePolicy(text: string): ParseResult {
  if (text.length > maxPolicyLength)
    return refused([atStart('the policy is over 1 MiB', 'Split it, or remove what is not used.')])
  const lines = new LineCounter()
  try {
    const documents = parseAllDocuments(text, {
      version: '1.2',
      schema: 'core',
      strict: true,
      uniqueKeys: true,
      stringKeys: true,
      prettyErrors: false,
      lineCounter: lines,
    })
    const [document, ...others] = Array.isArray(documents) ? documents : []
    if (document === undefined || document.contents === null) {
      return refused([atStart('the policy is empty', 'Start with apiVersion: meshbind/v1alpha1.')])
    }
    const syntax = syntaxProblems(document, lines)
    if (others.length > 0)
      syntax.push(
        atStart('more than one YAML document', 'A policy is one document: remove the `---`.'),
      )
    if (syntax.length > 0) return refused(syntax)
    return judge(document, document.toJS({ maxAliasCount: maxAliases }), lines)
  } catch (cause) {
    return refused([atStart('the policy cannot be read', adviceFor(cause))])
  }
}

function judge(document: Document, value: unknown, lines: LineCounter): ParseResult {
  const parsed = policySchema.safeParse(value, { reportInput: true })
  const unplaced = [
    ...(parsed.error?.issues.flatMap((issue) => structureProblems(issue)) ?? []),
    ...findContradictions(value),
  ]
  const problems = unplaced
    .map((problem) => place(problem, document, lines))
    .sort((a, b) => a.line - b.line || a.column - b.column)
  if (problems.some((problem) => problem.severity === 'error') || !parsed.success)
    return refused(problems)
  return { ok: true, policy: parsed.data, warnings: problems }
}

function refused(problems: readonly Problem[]): ParseResult {
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

function structureProblems(issue: z.core.$ZodIssue): Unplaced[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol')
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        ...error(
          [...path, key],
          `unknown key \`${key.slice(0, 64)}\``,
          suggestion(key, keysAt(path)),
        ),
        at: 'key' as const,
      }))
    case 'invalid_type':
      return [
        issue.input === undefined
          ? error(path, `required key \`${path.at(-1) ?? ''}\` is missing`)
          : error(path, `must be ${article(issue.expected)}, not ${kindOf(issue.input)}`),
      ]
    case 'invalid_value':
      return [
        error(
          path,
          issue.input === undefined
            ? `required key \`${path.at(-1) ?? ''}\` is missing`
            : `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`,
          suggestion(issue.input, issue.values.map(String)),
        ),
      ]
    case 'too_small':
      return [
        error(
          path,
          'must not be empty',
          'Leave the key out if everything is meant; an empty list would mean nothing.',
        ),
      ]
    case 'too_big':
      return [error(path, `is too large (at most ${issue.maximum})`)]
    case 'invalid_key':
      return issue.issues.flatMap((inner) => [
        { ...error(path, `the name ${inner.message}`), at: 'key' as const },
      ])
    case 'invalid_union':
      return unionProblems(issue, path)
    default:
      return [error(path, issue.message)]
  }
}

/** Of a union's branches, the one that got furthest says what is wrong. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: (string | number)[]): Unplaced[] {
  const branches = issue.errors.filter((branch) =>
    branch.some((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
  )
  const [branch] = branches
  if (branch === undefined) return [error(path, issue.message)]
  return branch.flatMap((inner) =>
    structureProblems({ ...inner, path: [...path, ...inner.path] } as z.core.$ZodIssue),
  )
}

function article(kind: string): string {
  if (kind === 'object' || kind === 'record') return 'a map'
  if (kind === 'array') return 'a list'
  return kind === 'int' ? 'a whole number' : `a ${kind}`
}

function kindOf(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  return article(typeof value)
}

function suggestion(given: unknown, known: readonly string[]): string {
  if (typeof given !== 'string' || given.length > 64) return ''
  const near = known
    .map((name) => ({ name, distance: leven(given.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0]
  if (near !== undefined) return `Did you mean \`${near.name}\`?`
  return known.length > 0 && known.length <= 16 ? `Known here: ${known.join(', ')}.` : ''
}

interface SchemaNode {
  readonly properties?: { readonly [name: string]: SchemaNode }
  readonly additionalProperties?: SchemaNode | false
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
}

/** The keys that the schema knows at a place, by walking the JSON Schema that is published. */
function keysAt(path: readonly (string | number)[]): string[] {
  let nodes: readonly SchemaNode[] = [policyJsonSchema()]
  const spread = (list: readonly SchemaNode[]) =>
    list.flatMap((node) => [node, ...(node.anyOf ?? [])])
  for (const part of path) {
    nodes = spread(nodes).flatMap((node) => {
      if (typeof part === 'number') return node.items ?? []
      const known = node.properties?.[part]
      return known ?? (node.additionalProperties || [])
    })
  }
  return spread(nodes).flatMap((node) => Object.keys(node.properties ?? {}))
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
  if (wantKey && path.length > 0) {
    const parent = document.getIn(path.slice(0, -1), true)
    const pair = isMap(parent)
      ? parent.items.find((item: Pair) => String(item.key) === path.at(-1))
      : undefined
    return isNode(pair?.key) ? pair.key : undefined
  }
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  return isNode(node) ? node : undefined
}
