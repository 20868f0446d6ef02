/** What came of tests, as data: every report is derived from it. */

import type { Mode } from '../decision/decision.ts'
import type { Reason } from '../decision/reasons.ts'

export interface Expectation {
  readonly verdict: 'allow' | 'deny'
  /** Undefined where any reason will do. */
  readonly reason: Reason | undefined
}

/** The decision, in the words of the decision log. */
export interface Outcome {
  readonly verdict: 'allow' | 'deny'
  readonly reason: Reason | undefined
  readonly detail: string
  /** What to do about the reason. */
  readonly advice: string
  /** Undefined where no route was reached. */
  readonly route: string | undefined
  readonly mode: Mode
  /** How an allowed token was confirmed; `none` where nothing was asked. */
  readonly method: string | undefined
  readonly presenter: string | undefined
}

export interface TestResult {
  readonly name: string
  /** Where the test begins in its file. */
  readonly line: number
  readonly passed: boolean
  readonly expected: Expectation
  readonly got: Outcome
}

export interface RouteCoverage {
  readonly name: string
  readonly mode: Mode
  readonly unprotected: boolean
  readonly allowed: number
  readonly denied: number
}

export interface FileResult {
  readonly file: string
  readonly policyFile: string
  readonly policyName: string
  readonly revision: string
  readonly tests: readonly TestResult[]
  readonly routes: readonly RouteCoverage[]
}

/** What no test of a policy shows. */
export interface Gap {
  readonly policyFile: string
  readonly route: string
  readonly kind: 'untouched' | 'never_allowed' | 'never_denied'
}

export interface Results {
  readonly files: readonly FileResult[]
  readonly gaps: readonly Gap[]
  /** Whether an untouched route is a failure (`--require-coverage`). */
  readonly coverageRequired: boolean
}

const gapTexts: { readonly [kind in Gap['kind']]: string } = {
  untouched: 'no test reaches the route',
  never_allowed: 'no test is allowed on the route',
  never_denied: 'no test is denied on the route',
}

export function describeGap({ kind, route }: Gap): string {
  return `${gapTexts[kind]} \`${route}\``
}

export function isFailure(gap: Gap, { coverageRequired }: Results): boolean {
  return coverageRequired && gap.kind === 'untouched'
}

export function describeVerdict({ verdict, reason }: Expectation): string {
  return reason === undefined ? verdict : `${verdict}: ${reason}`
}

/** The lines that say why a test failed, each a label and a text. */
export function explainFailure({ expected, got }: TestResult): [label: string, text: string][] {
  const { detail, advice, route, mode, method, presenter } = got
  const lines: [string, string | undefined][] = [
    ['expected', describeVerdict(expected)],
    ['got', describeVerdict(got)],
    [
      'route',
      route === undefined ? 'none' : mode === 'enforce' ? route : `${route} (mode ${mode})`,
    ],
    ['method', got.verdict === 'allow' ? method : undefined],
    ['presenter', presenter],
    ['detail', detail],
    ['advice', advice],
  ]
  return lines.flatMap(([label, text]) =>
    text === undefined || text === '' ? [] : [[label, text]],
  )
}

export function countTests(files: readonly FileResult[]): { passed: number; failed: number } {
  const tests = files.flatMap((file) => file.tests)
  const passed = tests.filter((test) => test.passed).length
  return { passed, failed: tests.length - passed }
}

export function countText({ files }: Results): string {
  const { passed, failed } = countTests(files)
  return `${passed} passed, ${failed} failed`
}
