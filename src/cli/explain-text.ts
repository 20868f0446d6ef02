/** An explanation as a person likes to read it: the answer, the way with ticks and crosses, then what to do. */

import type { Explanation, PolicyView } from '../explain/explanation.ts'
import type { Step, StepState } from '../explain/way.ts'
import { makePrintable, paint, wrap } from './terminal.ts'

const marks: { readonly [state in StepState]: string } = {
  passed: '✓',
  failed: '✗',
  'not reached': '·',
  'not needed': '–',
}
const nameWidth = 11
const textWidth = 84
const maxValueLength = 400

export function renderExplanation(explanation: Explanation): string {
  const { failure, steps, notes, policy } = explanation
  return [
    headline(explanation),
    '',
    ...steps.flatMap(renderStep),
    ...(failure === null
      ? []
      : ['', ...paragraph('advice', failure.advice), ...paragraph('source', failure.spec)]),
    ...notes.flatMap((note) => ['', ...paragraph('note', note)]),
    ...(policy === null ? [] : ['', ...renderPolicy(policy)]),
    '',
  ].join('\n')
}

function headline({ decision, told_envoy, failure, time, decision_id }: Explanation): string {
  const verdict = decision === 'allow' ? paint('green', 'ALLOWED') : paint('red', 'DENIED')
  const waived = decision === told_envoy ? '' : ' (recorded only)'
  const reason = failure === null ? '' : `  ${failure.reason}`
  const when = `${time}${decision_id === null ? ', judged here' : `, decision ${decision_id}`}`
  return `${verdict}${waived}${reason}  ${paint('dim', makePrintable(when))}`
}

function renderStep({ step, state, words }: Step): readonly string[] {
  const lines = state === 'not reached' && words.length === 0 ? ['not reached'] : words
  const shown = lines.length === 0 ? ['not needed'] : lines
  return column(`${marks[state]} ${step}`, shown, state)
}

function paragraph(name: string, text: string): readonly string[] {
  return column(`  ${name}`, [text], 'passed')
}

function renderPolicy({ name, revision, decided_under, look_at }: PolicyView): readonly string[] {
  const same =
    decided_under === revision
      ? 'the one that decided'
      : decided_under === ''
        ? 'the decision was made without one'
        : `ANOTHER than decided (${decided_under}): what stands here may have been different then`
  return column(
    '  policy',
    [
      `${name}, revision ${revision}: ${same}`,
      ...look_at.map(({ path, value }) => `${path}: ${tellValue(value)}`),
    ],
    'passed',
  )
}

function tellValue(value: unknown): string {
  if (value === undefined) return 'not set'
  const text = JSON.stringify(value)
  return text.length <= maxValueLength ? text : `${text.slice(0, maxValueLength)}…`
}

/** A name, and lines beside it. */
function column(name: string, lines: readonly string[], state: StepState): readonly string[] {
  return lines
    .flatMap((line) => wrap(makePrintable(line), textWidth))
    .map((line, i) => {
      const head = i === 0 ? name.padEnd(nameWidth + 2) : ' '.repeat(nameWidth + 2)
      return `${paintHead(head, state)} ${state === 'passed' || state === 'failed' ? line : paint('dim', line)}`
    })
}

function paintHead(head: string, state: StepState): string {
  if (state === 'failed') return paint('red', head)
  return head.startsWith(marks.passed) ? paint('green', head) : head
}
