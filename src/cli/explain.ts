/** `meshbind explain`: one decision, of a log or made here, shown step by step with the reason and what to do. */

import { Command } from 'commander'
import { CommandError, exitCode } from '../exit.ts'
import { explain, type Material } from '../explain/explanation.ts'
import { readDecisionLine } from '../explain/line.ts'
import type { JsonObject } from '../strict-json.ts'
import { renderExplanation } from './explain-text.ts'
import { readJsonInput } from './json-input.ts'
import { type Exit, examples, outputOption } from './options.ts'
import { instantSeconds } from './settings.ts'

interface ExplainFlags {
  readonly policy?: string
  readonly at?: string
  readonly nonceKeyFile?: string
  readonly output: string
}

export function explainCommand(exit: Exit): Command {
  return new Command('explain')
    .exitOverride()
    .description(
      'Show each step of one check, ticked or crossed, and why. Exit code 0 if it is allowed, 1 if denied.',
    )
    .argument('<file>', 'a decision log line or a CheckRequest, as JSON; - for standard input')
    .option(
      '--policy <file>',
      'judges a CheckRequest; beside a log line, shows what its reason hangs on',
    )
    .option(
      '--at <time>',
      'judge a CheckRequest as of then: 2026-11-23T06:40:33Z, or Unix seconds (default: now)',
    )
    .option('--nonce-key-file <file>', 'the key of the server that issued a proof’s nonce')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        'kubectl logs deploy/meshbind | grep 5f2d1c9e | meshbind explain - --policy policy.yaml',
        'meshbind explain request.json --policy policy.yaml --at 2026-11-23T06:40:33Z',
      ),
    )
    .action(async (file: string, flags: ExplainFlags) => {
      const explanation = explain(await readMaterial(await readJsonInput(file), flags))
      process.stdout.write(
        flags.output === 'json'
          ? `${JSON.stringify(explanation, null, 2)}\n`
          : renderExplanation(explanation),
      )
      exit(explanation.decision === 'allow' ? exitCode.good : exitCode.no)
    })
}

async function readMaterial(input: JsonObject, flags: ExplainFlags): Promise<Material> {
  if (Object.hasOwn(input, 'attributes')) return judge(input, flags)
  if (!Object.hasOwn(input, 'decision_id')) {
    throw new CommandError(
      'neither a decision log line (it has `decision_id`) nor a CheckRequest (it has `attributes`); `meshbind check --example` prints one',
    )
  }
  if (flags.at !== undefined || flags.nonceKeyFile !== undefined) {
    throw new CommandError(
      '--at and --nonce-key-file are for a CheckRequest; a log line was judged already',
    )
  }
  return {
    line: readOrRefuse(() => readDecisionLine(input)),
    policy: flags.policy === undefined ? undefined : await readPolicy(flags.policy),
    judgedHere: false,
  }
}

async function judge(input: JsonObject, flags: ExplainFlags): Promise<Material> {
  if (flags.policy === undefined)
    throw new CommandError('a CheckRequest is judged by a policy: give it with --policy')
  const { encodeCheckJson } = await import('../wire/check-json.ts')
  const { judgeQuestion } = await import('./explain-request.ts')
  const question = readOrRefuse(() => encodeCheckJson(input))
  return judgeQuestion(question, await readPolicy(flags.policy), {
    at: flags.at === undefined ? undefined : unixSeconds(flags.at),
    nonceKeyFile: flags.nonceKeyFile,
    onProblem: (message) => process.stderr.write(`${message}\n`),
  })
}

/** Readers throw with a message that names the member and not its value: bad input. */
export function readOrRefuse<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : 'cannot be read')
  }
}

function unixSeconds(text: string): number {
  const seconds = /^\d{1,11}$/.test(text) ? Number(text) : Math.floor(instantSeconds(text))
  if (Number.isNaN(seconds))
    throw new CommandError('--at: write a time like 2026-11-23T06:40:33Z, or Unix seconds')
  return seconds
}

async function readPolicy(file: string) {
  const { readPolicyFile } = await import('./explain-request.ts')
  return readPolicyFile(file)
}
