/** `meshbind version`: version, commit, Node. */

import { Command } from 'commander'
import { versionInfo } from '../service/version.ts'
import { examples, outputOption } from './options.ts'

export function versionText(): string {
  const { version, commit, node } = versionInfo()
  return `meshbind ${version} (commit ${commit}, Node ${node})`
}

export function versionCommand(): Command {
  return new Command('version')
    .exitOverride()
    .description('Print version, commit and Node version.')
    .addOption(outputOption())
    .addHelpText('after', examples('meshbind version', 'meshbind version --output json'))
    .action(({ output }: { output: string }) => {
      process.stdout.write(`${output === 'json' ? JSON.stringify(versionInfo()) : versionText()}\n`)
    })
}
