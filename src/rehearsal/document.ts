/** The text of a policy test → a checked document, read as strictly as a policy, and the lines on which its tests begin. */

import { isNode, LineCounter, parseDocument } from 'yaml'
import { type DocumentResult, defineDocument, readDocument } from '../policy/document.ts'
import type { Unplaced } from '../policy/problem.ts'
import { type TestDocument, testSchema } from './schema.ts'

export const maxTestLength = 1024 * 1024

const testKind = defineDocument({
  name: 'the test',
  schema: testSchema,
  findContradictions: () => [],
  maxLength: maxTestLength,
  firstLine: 'Start with apiVersion: meshbind/v1alpha1.',
})

/**
 * Never throws.
 *
 * @param findProblems What the form cannot say; asked where the form is good.
 */
export function readTest(
  text: string,
  findProblems: (test: TestDocument) => readonly Unplaced[],
): DocumentResult<TestDocument> {
  return readDocument(text, {
    ...testKind,
    findContradictions(value) {
      const parsed = testSchema.safeParse(value)
      return parsed.success ? findProblems(parsed.data) : []
    },
  })
}

/** One-based, in the order of the tests. @param text One that `readTest` accepted. */
export function findTestLines(text: string, { tests }: TestDocument): number[] {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter })
  return tests.map((_, i) => {
    const node = document.getIn(['tests', i], true)
    return lineCounter.linePos(isNode(node) ? (node.range?.[0] ?? 0) : 0).line
  })
}
