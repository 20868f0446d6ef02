/** The report for people: a line for each test, and under a failed one what was expected, what came, and why. */

import {
  countText,
  describeGap,
  describeVerdict,
  explainFailure,
  type FileResult,
  isFailure,
  type Results,
  type TestResult,
} from './result.ts'

export type Paint = (colour: 'green' | 'red' | 'yellow' | 'dim', text: string) => string

export function reportText(results: Results, paint: Paint): string {
  const gaps = results.gaps.map((gap) => {
    const severity = isFailure(gap, results) ? paint('red', 'error') : paint('yellow', 'warning')
    return `${severity}: ${gap.policyFile}: ${describeGap(gap)}`
  })
  return [
    ...results.files.flatMap((file) => [...reportFile(file, paint), '']),
    ...gaps,
    ...(gaps.length === 0 ? [] : ['']),
    countText(results),
    '',
  ].join('\n')
}

function reportFile(result: FileResult, paint: Paint): string[] {
  const { file, policyFile, policyName, revision, tests } = result
  const about = `policy ${policyName}, ${policyFile}, revision ${revision}`
  return [
    `${file}  ${paint('dim', about)}`,
    ...tests.flatMap((test) =>
      test.passed ? [passedLine(test, paint)] : failedLines(test, file, paint),
    ),
  ]
}

/** A denial that the route's mode does not enforce is said to be none. */
function passedLine({ name, got }: TestResult, paint: Paint): string {
  const how = got.verdict === 'allow' ? ` by ${got.method ?? 'none'}` : ''
  const mode = got.mode === 'enforce' ? '' : `, not enforced: mode ${got.mode}`
  return `  ${paint('green', '✓')} ${name}  ${paint('dim', `${describeVerdict(got)}${how}${mode}`)}`
}

function failedLines(test: TestResult, file: string, paint: Paint): string[] {
  return [
    `  ${paint('red', '✗')} ${test.name}`,
    ...explainFailure(test).map(([label, text]) => `      ${label.padEnd(9)}  ${text}`),
    `      ${'at'.padEnd(9)}  ${file}:${test.line}`,
  ]
}
