/** The documentation that is made from code: the reasons, the command line, the policy's JSON Schema. */

import type { Command } from 'commander'
import { createProgram } from '../src/cli/program.ts'
import { type Reason, type ReasonEntry, reasons } from '../src/decision/reasons.ts'
import { policyJsonSchema } from '../src/policy/schema.ts'
import { attacksPage } from './attacks-page.ts'
import { chartPage } from './chart-page.ts'
import { dependenciesPage } from './dependencies-page.ts'
import { metricsPage } from './metrics-page.ts'
import { troubleshootingPage } from './troubleshooting-page.ts'
import { valuesJsonSchema } from './values-schema.ts'

/** Path below the repository's root → text. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/reasons.md', reasonsPage()],
    ['docs/cli.md', cliPage()],
    ['docs/metrics.md', metricsPage()],
    ['docs/dependencies.md', dependenciesPage()],
    ['docs/troubleshooting.md', troubleshootingPage()],
    ['docs/attacks.md', attacksPage()],
    ['docs/policy.schema.json', `${JSON.stringify(policyJsonSchema(), null, 2)}\n`],
    ['helm/meshbind/values.schema.json', `${JSON.stringify(valuesJsonSchema(), null, 2)}\n`],
    ['helm/meshbind/README.md', chartPage()],
  ])
}

const madeFrom = (source: string) => `<!-- Made from ${source} by \`npm run docs\`; edit there. -->`

function reasonsPage(): string {
  const entries = Object.entries(reasons) as [Reason, ReasonEntry][]
  const rows = entries.map(
    ([name, { http, grpc, challenge }]) =>
      `| [\`${name}\`](#${name}) | ${http} | ${grpc} | ${challengeText(challenge)} |`,
  )
  const sections = entries.map(
    ([name, { title, spec, advice }]) =>
      `### ${name}\n\n*The client reads:* ${title}.\n\n${advice}\n\nSource: ${spec}.\n`,
  )
  return [
    '# Reasons',
    '',
    madeFrom('src/decision/reasons.ts'),
    '',
    'Why a check was refused. The reason is the `code` of the `application/problem+json` body, the `reason` of the',
    'decision log line and of Envoy’s dynamic metadata. The `detail` of the log line says more where there is more to say.',
    '',
    '| reason | HTTP | gRPC | challenge |',
    '|---|---|---|---|',
    ...rows,
    '',
    ...sections,
  ].join('\n')
}

function challengeText(challenge: ReasonEntry['challenge']): string {
  if (challenge === 'none') return 'none'
  return challenge === 'bare' ? 'bare' : `\`${challenge}\``
}

function cliPage(): string {
  const program = createProgram(() => {})
  const sections = commandsOf(program, 'meshbind').map(
    ([name, command]) => `## ${name}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`,
  )
  return [
    '# Command line',
    '',
    madeFrom('src/cli/program.ts'),
    '',
    exitCodes,
    '',
    ...sections,
  ].join('\n')
}

const exitCodes =
  'Exit codes: 0 good · 1 the answer is no · 2 bad usage, policy or input · 3 could not run. Data goes to standard output, messages to standard error; but `serve` writes its whole log, application messages included, to standard output, one JSON object a line.\n\nAfter `make build`, the bare `meshbind` of these pages is on the path with `export PATH="$PWD/node_modules/.bin:$PATH"`, run in the checkout.'

function commandsOf(command: Command, name: string): [string, Command][] {
  return [
    [name, command],
    ...command.commands.flatMap((inner) => commandsOf(inner, `${name} ${inner.name()}`)),
  ]
}

/** The help as `--help` prints it, 100 columns wide, examples included. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (chunk) => {
      text += chunk
    },
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.trim()
}
