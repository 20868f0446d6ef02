/** What the schema finds wrong, in the words of the policy language, with "did you mean" where a name is near. */

import type { z } from 'zod'
import { nearestName } from './nearest.ts'
import { error, type Unplaced } from './problem.ts'

/** What is no name is not cited: the file may be another one than was meant, with secrets in it. */
const couldBeKey = /^[A-Za-z0-9_.<-]{1,64}$/
/** More would help nobody, and a hostile file could ask for millions. */
export const maxProblems = 200

/** @param schema The JSON Schema of the whole document: it knows the names that could have been meant. */
export function structureProblems(issue: z.core.$ZodIssue, schema: SchemaNode): Unplaced[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol')
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, maxProblems).map((key) => unknownKey(key, path, schema))
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
        error(path, 'must not be empty', 'List at least one: an empty list would mean nothing.'),
      ]
    case 'too_big':
      return [error(path, `is too large (at most ${issue.maximum})`)]
    case 'invalid_key':
      return issue.issues.flatMap((inner) => [
        { ...error(path, `the name ${inner.message}`), at: 'key' as const },
      ])
    case 'invalid_union':
      return unionProblems(issue, path, schema)
    default:
      return [error(path, issue.message)]
  }
}

function unknownKey(key: string, path: (string | number)[], schema: SchemaNode): Unplaced {
  if (!couldBeKey.test(key)) return error(path, 'holds a key that is none of the language')
  const advice = suggestion(key, keysAt(path, schema))
  return { ...error([...path, key], `unknown key \`${key}\``, advice), at: 'key' }
}

/** Of a union's branches, the one that got furthest says what is wrong. */
function unionProblems(
  issue: z.core.$ZodIssueInvalidUnion,
  path: (string | number)[],
  schema: SchemaNode,
): Unplaced[] {
  const branches = issue.errors.filter((branch) =>
    branch.some((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
  )
  const [branch] = branches
  if (branch === undefined) return [error(path, issue.message)]
  return branch.flatMap((inner) =>
    structureProblems({ ...inner, path: [...path, ...inner.path] } as z.core.$ZodIssue, schema),
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
  const near = nearestName(given, known)
  if (near !== undefined) return `Did you mean \`${near}\`?`
  return known.length > 0 && known.length <= 16 ? `Known here: ${known.join(', ')}.` : ''
}

/** As much of a JSON Schema as is read here. */
export interface SchemaNode {
  readonly properties?: { readonly [name: string]: SchemaNode }
  readonly additionalProperties?: SchemaNode | false
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
}

/** The keys that the schema knows at a place. */
function keysAt(path: readonly (string | number)[], schema: SchemaNode): string[] {
  let nodes: readonly SchemaNode[] = [schema]
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
