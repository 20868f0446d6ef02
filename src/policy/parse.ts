/** Policy text → a checked policy document, or every problem at once with its place in the text. */

import { defineDocument, readDocument } from './document.ts'
import { findContradictions } from './meaning.ts'
import type { Problem } from './problem.ts'
import { type PolicyDocument, policySchema } from './schema.ts'

export type ParseResult =
  | { readonly ok: true; readonly policy: PolicyDocument; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** A ConfigMap holds at most 1 MiB. */
export const maxPolicyLength = 1024 * 1024

const policyKind = defineDocument({
  name: 'the policy',
  schema: policySchema,
  findContradictions,
  maxLength: maxPolicyLength,
  firstLine: 'Start with apiVersion: meshbind/v1alpha1.',
})

/** Never throws. */
export function parsePolicy(text: string): ParseResult {
  const result = readDocument(text, policyKind)
  return result.ok ? { ok: true, policy: result.value, warnings: result.warnings } : result
}
