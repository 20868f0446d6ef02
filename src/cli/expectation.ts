/** What a check is expected to come to (`--expect`), and whether it did. */

import { reasons } from '../decision/reasons.ts'
import { CommandError } from '../exit.ts'
import { nearestName } from '../policy/nearest.ts'
import type { CheckAnswer } from '../wire/client.ts'
import { makePrintable } from './terminal.ts'

/** What the asker is told. A reason is what is recorded, which in mode audit is not the same. */
const verdicts: readonly string[] = ['allow', 'deny']

/** Throws where it is neither a verdict nor a reason: it could never be met. */
export function readExpectation(text: string): string {
  if (verdicts.includes(text) || Object.hasOwn(reasons, text)) return text
  const near = nearestName(text, [...verdicts, ...Object.keys(reasons)])
  const advice =
    near === undefined
      ? 'write allow, deny, or a reason of docs/reasons.md'
      : `did you mean ${near}?`
  throw new CommandError(`--expect: \`${makePrintable(text)}\` is no reason; ${advice}`)
}

/** What is otherwise than expected, as one line; undefined where nothing is. */
export function findDifference(
  expected: string,
  { allowed, metadata }: CheckAnswer,
): string | undefined {
  const verdict = allowed ? 'allow' : 'deny'
  const { reason, mode } = metadata
  if (expected === (verdicts.includes(expected) ? verdict : reason)) return undefined
  const why = reason ? `reason ${reason}` : 'without a reason'
  const how = mode ? `, in mode ${mode}` : ''
  return makePrintable(`expected ${expected}, and the answer is ${verdict}, ${why}${how}`)
}
