/** Runs the tests of `meshbind policy test` and writes their report. */

import { badInput, CommandError, exitCode } from '../exit.ts'
import { findGaps } from '../rehearsal/coverage.ts'
import { loadTests } from '../rehearsal/load.ts'
import { writeReport } from '../rehearsal/report.ts'
import type { ReporterName } from '../rehearsal/reporters.ts'
import { countTests, type FileResult, isFailure } from '../rehearsal/result.ts'
import { runTestFile } from '../rehearsal/run.ts'
import { paint } from './terminal.ts'

export interface TestOptions {
  readonly reporter: ReporterName
  readonly requireCoverage: boolean
}

/** @returns the exit code: 0 if every test passed, 1 if one did not. */
export async function testPolicies(
  paths: readonly string[],
  options: TestOptions,
): Promise<number> {
  const loaded = await loadTests(paths).catch(badInput)
  if (!loaded.ok) throw new CommandError(loaded.problems.join('\n'))
  const files: FileResult[] = []
  for (const file of loaded.files) files.push(await runTestFile(file))
  const gaps = findGaps(files)
  const results = { files, gaps, coverageRequired: options.requireCoverage }
  process.stdout.write(writeReport(options.reporter, results, paint))
  const failed = countTests(files).failed > 0 || gaps.some((gap) => isFailure(gap, results))
  return failed ? exitCode.no : exitCode.good
}
