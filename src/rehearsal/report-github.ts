/** The report as GitHub workflow commands: an annotation at the line of each failed test, and for each gap of the coverage. */

import {
  countText,
  describeGap,
  describeVerdict,
  explainFailure,
  isFailure,
  type Results,
} from './result.ts'

export function reportGithub(results: Results): string {
  const failed = results.files.flatMap(({ file, tests }) =>
    tests
      .filter(({ passed }) => !passed)
      .map((test) => {
        const lines = explainFailure(test).map(([label, text]) => `${label}: ${text}`)
        const title = `${test.name}: ${describeVerdict(test.got)}`
        const place = `file=${property(file)},line=${test.line},title=${property(title)}`
        return `::error ${place}::${data(lines.join('\n'))}`
      }),
  )
  const gaps = results.gaps.map((gap) => {
    const level = isFailure(gap, results) ? 'error' : 'warning'
    return `::${level} file=${property(gap.policyFile)},title=policy coverage::${data(describeGap(gap))}`
  })
  return [...failed, ...gaps, countText(results), ''].join('\n')
}

/** As GitHub's own toolkit escapes (actions/toolkit, core/src/command.ts). */
function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
