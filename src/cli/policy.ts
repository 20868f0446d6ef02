/** `meshbind policy …`: the commands for policies that are not in force yet. */

import { Command } from 'commander'
import { type Exit, examples, outputOption } from './options.ts'
import { addPolicyTest } from './policy-test.ts'

export function policyCommand(exit: Exit): Command {
  const policy = new Command('policy')
    .exitOverride()
    .description('Work with policies before they are in force.')
    .addHelpText(
      'after',
      examples('meshbind policy validate policy.yaml', 'meshbind policy schema'),
    )
  policy
    .command('validate')
    .exitOverride()
    .description(
      'Show every problem with file:line:col and advice. Exit code 2 if there is an error.',
    )
    .argument('<file...>', 'a policy, a ConfigMap manifest, or - for standard input')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        'meshbind policy validate policy.yaml',
        'kubectl get configmap meshbind -o yaml | meshbind policy validate -',
      ),
    )
    .action(async (files: string[], { output }: { output: string }) => {
      const { validatePolicies } = await import('./policy-validate.ts')
      exit(await validatePolicies(files, output))
    })
  policy
    .command('schema')
    .exitOverride()
    .description('Print the JSON Schema of the policy language, for editors.')
    .addHelpText('after', examples('meshbind policy schema > policy.schema.json'))
    .action(async () => {
      const { policyJsonSchema } = await import('../policy/schema.ts')
      process.stdout.write(`${JSON.stringify(policyJsonSchema(), null, 2)}\n`)
    })
  addPolicyTest(policy, exit)
  return policy
}
