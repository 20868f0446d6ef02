/** The report as JUnit XML: a suite for each file, and one for the coverage of routes where it is required. */

import {
  countTests,
  describeGap,
  describeVerdict,
  explainFailure,
  type FileResult,
  isFailure,
  type Results,
  type TestResult,
} from './result.ts'

export function reportJunit(results: Results): string {
  const missing = results.gaps.filter((gap) => isFailure(gap, results))
  const { passed, failed } = countTests(results.files)
  const total = `tests="${passed + failed + missing.length}" failures="${failed + missing.length}"`
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="meshbind policy test" ${total}>`,
    ...results.files.flatMap(suite),
    ...(missing.length === 0
      ? []
      : [
          `  <testsuite name="coverage" tests="${missing.length}" failures="${missing.length}">`,
          ...missing.flatMap((gap) => [
            `    <testcase name="${escapeXml(gap.route)}" classname="${escapeXml(gap.policyFile)}">`,
            `      <failure message="${escapeXml(describeGap(gap))}"/>`,
            '    </testcase>',
          ]),
          '  </testsuite>',
        ]),
    '</testsuites>',
    '',
  ].join('\n')
}

function suite(result: FileResult): string[] {
  const { passed, failed } = countTests([result])
  const file = escapeXml(result.file)
  return [
    `  <testsuite name="${file}" file="${file}" tests="${passed + failed}" failures="${failed}">`,
    ...result.tests.flatMap((test) => testCase(test, file)),
    '  </testsuite>',
  ]
}

function testCase(test: TestResult, file: string): string[] {
  const open = `    <testcase name="${escapeXml(test.name)}" classname="${file}" file="${file}" line="${test.line}"`
  if (test.passed) return [`${open}/>`]
  const message = `expected ${describeVerdict(test.expected)}, got ${describeVerdict(test.got)}`
  const why = explainFailure(test).map(([label, text]) => `${label}: ${text}`)
  return [
    `${open}>`,
    `      <failure message="${escapeXml(message)}">${escapeXml(why.join('\n'))}</failure>`,
    '    </testcase>',
  ]
}

const entities: { readonly [char: string]: string } = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
}

/** XML 1.0 §2.2 has no form for most control characters, nor for U+FFFE, U+FFFF and lone surrogates: they are replaced. */
export function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"]/g, (char) => entities[char] ?? char)
}
