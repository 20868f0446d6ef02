/** The command line: every command by name (contract §1). */

import { Command } from 'commander'
import { checkCommand } from './check.ts'
import { doctorCommand } from './doctor.ts'
import { explainCommand } from './explain.ts'
import { inspectCommand } from './inspect.ts'
import { type Exit, examples } from './options.ts'
import { policyCommand } from './policy.ts'
import { revokeCommand } from './revoke.ts'
import { rolloutCommand } from './rollout.ts'
import { serveCommand } from './serve.ts'
import { versionCommand, versionText } from './version.ts'

/** Runs a command and hands its exit code to `exit`; usage errors throw commander's own error. */
export function createProgram(exit: Exit): Command {
  const program = new Command('meshbind')
    .description(
      'Envoy external authorization that allows a token only from the workload it is bound to.',
    )
    .version(versionText(), '--version', 'print version, commit and Node version')
    .exitOverride()
    .showHelpAfterError('(meshbind --help shows the commands)')
    .addHelpText(
      'after',
      examples('meshbind policy validate policy.yaml', 'meshbind serve --policy policy.yaml'),
    )
  program.addCommand(serveCommand(exit))
  program.addCommand(policyCommand(exit))
  program.addCommand(explainCommand(exit))
  program.addCommand(inspectCommand(exit))
  program.addCommand(doctorCommand(exit))
  program.addCommand(checkCommand(exit))
  program.addCommand(revokeCommand(exit))
  program.addCommand(rolloutCommand(exit))
  program.addCommand(versionCommand())
  return program
}
