/** Runs the tests of one file: each asks the real way of a check one question, and compares the decision with what is expected. */

import { check } from '../check.ts'
import type { Decision } from '../decision/decision.ts'
import { type Reason, reasons } from '../decision/reasons.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { coverRoutes } from './coverage.ts'
import { askQuestion } from './question.ts'
import type { Expectation, FileResult, Outcome, TestResult } from './result.ts'
import type { TestCase, TestDocument } from './schema.ts'
import { createTestTools, type Stage, setStage } from './stage.ts'
import { instantSeconds } from './time.ts'

const reasonNames = Object.keys(reasons) as Reason[]

/** One file of tests that has been read, and found to be without problems. */
export interface TestFile {
  readonly file: string
  readonly test: TestDocument
  /** The line on which each test begins, in the order of the tests. */
  readonly lines: readonly number[]
  readonly policyFile: string
  readonly policy: PolicyDocument
  /** The policy's own text: the revision covers it. */
  readonly policyText: string
}

export async function runTestFile(testFile: TestFile): Promise<FileResult> {
  const { test, policy, policyText } = testFile
  const stage = await setStage(policy, policyText, test, instantSeconds(test.now))
  try {
    const tests: TestResult[] = []
    for (const [i, each] of test.tests.entries()) {
      const expected = expectationOf(each)
      const got = outcomeOf(await decide(each, stage))
      const passed =
        got.verdict === expected.verdict &&
        (expected.reason === undefined || got.reason === expected.reason)
      tests.push({ name: each.name, line: testFile.lines[i] ?? 1, passed, expected, got })
    }
    return {
      file: testFile.file,
      policyFile: testFile.policyFile,
      policyName: stage.policy.name,
      revision: stage.policy.revision,
      tests,
      routes: coverRoutes(stage.policy, tests),
    }
  } finally {
    stage.close()
  }
}

/** A replayed proof was spent before by the very same request. */
async function decide(test: TestCase, stage: Stage): Promise<Decision> {
  const { policy, now } = stage
  const tools = createTestTools(now)
  const request = await askQuestion(test, stage, tools.proofs.nonces.issue(now))
  const replayed = [test.proof, test.wpt].some(
    (proof) => typeof proof === 'object' && proof.replayed === true,
  )
  if (replayed) await check(request, policy, tools, now)
  return check(request, policy, tools, now)
}

/** What a test does not list is expected to be denied. */
function expectationOf({ expect = 'deny' }: TestCase): Expectation {
  if (typeof expect === 'string') return { verdict: expect, reason: undefined }
  return { verdict: 'deny', reason: reasonNames.find((name) => name === expect.deny) }
}

function outcomeOf(decision: Decision): Outcome {
  const { route, method, presenter } = decision.findings
  const reason = decision.verdict === 'deny' ? decision.reason : undefined
  return {
    verdict: decision.verdict,
    reason,
    detail: decision.verdict === 'deny' ? decision.detail : '',
    advice: reason === undefined ? '' : reasons[reason].advice,
    route,
    mode: decision.mode,
    method,
    presenter: presenter?.spiffeId,
  }
}
