/** `meshbind policy test`: whether a policy decides as its tests say. */

import { styleText } from 'node:util'
import { type Command, Option } from 'commander'
import { CommandError, exitCode } from '../exit.ts'
import { findGaps } from '../rehearsal/coverage.ts'
import { loadTests } from '../rehearsal/load.ts'
import { type ReporterName, reporterNames, writeReport } from '../rehearsal/report.ts'
import { countTests, type FileResult, isFailure } from '../rehearsal/result.ts'
import { runTestFile } from '../rehearsal/run.ts'
import { type Exit, examples } from './options.ts'

interface Options {
  readonly reporter: ReporterName
  readonly requireCoverage: boolean
}

export function addPolicyTest(policy: Command, exit: Exit): void {
  policy
    .command('test')
    .exitOverride()
    .description(
      'Run the *.test.yaml files of the directories against their policies. Peers, tokens and keys are made in memory, the clock stands still, nothing is fetched. Exit code 1 if a test fails.',
    )
    .argument('<dir...>', 'directories, searched with all below them, or single test files')
    .addOption(
      new Option(
        '--reporter <format>',
        'text for people, json for programs, junit for CI servers, github for annotations',
      )
        .choices(reporterNames)
        .default('text'),
    )
    .option('--require-coverage', 'fail if there is a route that no test reaches', false)
    .addHelpText(
      'after',
      examples(
        'meshbind policy test policies/',
        'meshbind policy test --require-coverage --reporter junit policies/ > policy-tests.xml',
      ),
    )
    .action(async (paths: string[], options: Options) => exit(await testPolicies(paths, options)))
}

/** @returns the exit code: 0 if every test passed, 1 if one did not. */
async function testPolicies(paths: readonly string[], options: Options): Promise<number> {
  const loaded = await loadTests(paths).catch((error: Error) => {
    throw new CommandError(error.message)
  })
  if (!loaded.ok) throw new CommandError(loaded.problems.join('\n'))
  const files: FileResult[] = []
  for (const file of loaded.files) files.push(await runTestFile(file))
  const gaps = findGaps(files)
  const results = { files, gaps, coverageRequired: options.requireCoverage }
  process.stdout.write(writeReport(options.reporter, results, paint))
  const failed = countTests(files).failed > 0 || gaps.some((gap) => isFailure(gap, results))
  return failed ? exitCode.no : exitCode.good
}

/** Colour only on a terminal, and never against NO_COLOR. */
function paint(colour: 'green' | 'red' | 'yellow' | 'dim', text: string): string {
  return styleText(colour, text, { stream: process.stdout })
}
