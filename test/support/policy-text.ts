/** The kit for texts of policies: exact edits, places counted without the parser, problems as one line each. */

import { parsePolicy } from '../../src/policy/parse.ts'

/** Replaces the one place where `from` stands; an edit that would miss or hit twice is a mistake of the test. */
export function edit(text: string, from: string, to: string): string {
  if (text.split(from).length !== 2) throw new Error(`the text must hold this once: ${from}`)
  return text.replace(from, () => to)
}

/** Where a piece of text begins, `line:column`, one-based. */
export function placeOf(text: string, piece: string): string {
  const before = text.slice(0, text.indexOf(piece)).split('\n')
  if (!text.includes(piece)) throw new Error(`not in the text: ${piece}`)
  return `${before.length}:${(before.at(-1) ?? '').length + 1}`
}

/** `line:column message` of every problem, or of every warning where the policy is valid. */
export function problemsOf(text: string): string[] {
  const result = parsePolicy(text)
  const found = result.ok ? result.warnings : result.problems
  return found.map(
    ({ severity, line, column, message }) =>
      `${line}:${column} ${severity === 'warning' ? 'warning: ' : ''}${message}`,
  )
}

/** Two issuers, one of them without an identity, and one route. */
export const twoIssuers = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example, https://b.example]
      keys: { file: jwks.json }
      identity: { claim: sub }
    plain:
      issuer: https://plain.example
      audiences: [https://a.example]
      keys: { file: plain.json }
  routes:
    - name: first
      match: { paths: [/v1/*] }
      require: { issuers: [corp], bindings: [jwk] }
`
