/** docs/troubleshooting.md, made from THE TABLE of reasons and the causes of each, along the way of a request. */

import { type Reason, reasons } from '../src/decision/reasons.ts'
import { type StepName, stepNames, stepOfReason } from '../src/explain/steps.ts'
import { commands, type Trouble, troubles } from './troubleshooting-causes.ts'

/** What a step has found out once it has passed. */
const stepJobs: { readonly [step in StepName]: string } = {
  question: 'Envoy’s question can be read, and there is a server that can answer it.',
  route: 'One route of the policy takes the request.',
  credential: 'The Authorization header holds one token.',
  presenter: 'The evidence about the connection names one workload.',
  token: 'The token is what its issuer signed, valid now, and meant for this service.',
  revocation: 'Neither the token nor the workload has been revoked.',
  binding: 'The token is bound to this workload, or to the key of a proof in the request.',
  access: 'This workload, with this token, may call here.',
  spent: 'The proof has not been used before.',
  decision: 'The answer was ready in time.',
}

export function troubleshootingPage(): string {
  const steps = stepNames.map((step) => ({ step, found: reasonsOf(step) }))
  return [
    '# Troubleshooting',
    '',
    '<!-- Made from docs/troubleshooting-causes.ts and src/decision/reasons.ts by `npm run docs`; edit there. -->',
    '',
    ...introduction,
    '',
    '| step | reasons |',
    '|---|---|',
    ...steps.map(({ step, found }) => `| [${step}](#${step}) | ${found.map(linkTo).join(' · ')} |`),
    '',
    ...steps.flatMap(({ step, found }) => [
      `## ${step}`,
      '',
      `*Once it has passed:* ${stepJobs[step]}`,
      '',
      ...found.flatMap(reasonSection),
    ]),
  ].join('\n')
}

const introduction = [
  'A refusal has a reason. Find it, and the section of that name says what usually brings it about, most likely first,',
  'and what helps. The sections stand in the order in which a request is judged: whatever comes before has passed.',
  '',
  '1. **The reason** is `code` in the answer’s body, and `reason` in the decision log and in Envoy’s dynamic metadata.',
  '2. **The line.** Take the `decision_id` from the answer (`x-meshbind-decision-id`) and find the line of the decision log',
  '   that has it. `detail` says more than the reason, where there is more to say.',
  '3. **The steps.** `meshbind explain` shows them for that line, with what the policy says ([explain.md](explain.md)):',
  '',
  '   ```sh',
  `   ${commands.line}`,
  '   ```',
  '',
  'No reason at all? A 403 with an empty body is Envoy’s own: it had no answer from meshbind ([envoy.md](envoy.md)). An',
  'answer of another form is the service’s.',
  '',
  'The commands stand for one machine; `5f2d1c9e` is the beginning of a `decision_id`. `--target` of `doctor` is the',
  'address of `--admin`, and in a cluster wants `kubectl port-forward`. [reasons.md](reasons.md) has the HTTP status, the gRPC',
  'code and the challenge of every reason.',
]

function reasonsOf(step: StepName): Reason[] {
  return (Object.keys(reasons) as Reason[]).filter((reason) => stepOfReason[reason] === step)
}

function linkTo(reason: Reason): string {
  return `[\`${reason}\`](#${reason})`
}

function reasonSection(reason: Reason): string[] {
  const trouble = troubles[reason]
  const { title, advice, spec } = reasons[reason]
  const opening = [`### ${reason}`, '', `*The client reads:* ${title}. *Source:* ${spec}.`, '']
  return [...opening, advice, '', ...troubleBlock(trouble)]
}

function troubleBlock({ causes, fields, run, pages }: Trouble): string[] {
  return [
    '| cause | what helps |',
    '|---|---|',
    ...causes.map((cells) => `| ${cells.map(escapeCell).join(' | ')} |`),
    '',
    `*Look at* ${fields.map((field) => `\`${field}\``).join(', ')}. *Read* ${pages.map(pageLink).join(', ')}.`,
    '',
    '```sh',
    ...run.map((name) => commands[name]),
    '```',
    '',
  ]
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function pageLink(page: string): string {
  return `[${page.replace(/^decisions\/|#.*$/g, '')}](${page})`
}
