/** `meshbind policy test`: whether a policy decides as its tests say. */

import { type Command, Option } from 'commander'
import { reporterNames } from '../rehearsal/reporters.ts'
import { type Exit, examples } from './options.ts'
import type { TestOptions } from './policy-test-run.ts'

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
    .action(async (paths: string[], options: TestOptions) => {
      const { testPolicies } = await import('./policy-test-run.ts')
      exit(await testPolicies(paths, options))
    })
}
