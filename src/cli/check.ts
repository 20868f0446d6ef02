/** `meshbind check`: one real Check against a running server, and its answer. */

import { Command } from 'commander'
import { badInput, CommandError, exitCode } from '../exit.ts'
import { readBoundedFile } from '../service/read-file.ts'
import type { CheckAnswer, ClientTls } from '../wire/client.ts'
import { findDifference, readExpectation } from './expectation.ts'
import { readOrRefuse } from './explain.ts'
import { readJsonInput } from './json-input.ts'
import { type Exit, examples, outputOption } from './options.ts'
import { listenAddress, milliseconds } from './settings.ts'
import { makePrintable, paint } from './terminal.ts'

const placeholders =
  'the question still holds placeholders of --example: put in the leaf certificate (jq -Rrs @uri < leaf.pem) and the token'

interface CheckFlags {
  readonly target?: string
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsName?: string
  readonly timeout: string
  readonly expect?: string
  readonly example?: true
  readonly output: string
}

export function checkCommand(exit: Exit): Command {
  return new Command('check')
    .exitOverride()
    .description(
      'Ask a running server one CheckRequest. Exit code 0 if it allows, 1 if it denies, 3 if it cannot be asked. With --expect: 0 if the answer is as expected, 1 if not.',
    )
    .argument('[file]', 'a CheckRequest as JSON; - for standard input')
    .option('--target <address>', 'host:port or unix:/path of the server')
    .option('--tls-ca <file>', 'speak TLS, and take only a server that this bundle (PEM) verifies')
    .option('--tls-cert <file>', 'the client certificate (PEM), where the server wants one')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option(
      '--tls-name <name>',
      'the name in the server’s certificate, where the target is another',
    )
    .option('--timeout <duration>', 'how long to wait for the answer', '2s')
    .option(
      '--expect <what>',
      'allow or deny (what the asker is told), or a reason of docs/reasons.md (what is recorded, in mode audit too)',
    )
    .option('--example', 'print a CheckRequest to start from, and ask nobody')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        'meshbind check --example > request.json',
        'meshbind check --target 127.0.0.1:9191 request.json',
        'meshbind check --target unix:/run/meshbind/authz.sock request.json --output json',
        'meshbind check --target 127.0.0.1:9191 request.json --expect allow',
      ),
    )
    .action(async (file: string | undefined, flags: CheckFlags) => {
      if (flags.example === true) {
        process.stdout.write(`${JSON.stringify(exampleRequest, null, 2)}\n`)
        return exit(exitCode.good)
      }
      const expected = flags.expect === undefined ? undefined : readExpectation(flags.expect)
      const answer = await ask(file, flags)
      process.stdout.write(
        flags.output === 'json' ? `${JSON.stringify(answer, null, 2)}\n` : renderAnswer(answer),
      )
      if (expected === undefined) return exit(answer.allowed ? exitCode.good : exitCode.no)
      const difference = findDifference(expected, answer)
      if (difference !== undefined) process.stderr.write(`${difference}\n`)
      return exit(difference === undefined ? exitCode.good : exitCode.no)
    })
}

/** What Envoy sends with `include_peer_certificate: true`, as far as a check reads it. */
const exampleRequest = {
  attributes: {
    source: {
      principal: 'spiffe://mesh.example/ns/shop/sa/orders',
      certificate: 'THE-LEAF-AS-PERCENT-ENCODED-PEM',
    },
    destination: { principal: 'spiffe://mesh.example/ns/shop/sa/payments' },
    request: {
      http: {
        id: 'example-1',
        method: 'POST',
        host: 'payments.shop.svc.cluster.local',
        path: '/v1/payments',
        headers: { authorization: 'Bearer THE-TOKEN' },
      },
    },
    contextExtensions: {},
  },
}

async function ask(file: string | undefined, flags: CheckFlags): Promise<CheckAnswer> {
  if (flags.target === undefined)
    throw new CommandError('--target is missing: host:port or unix:/path')
  if (file === undefined)
    throw new CommandError('a CheckRequest is missing: give its file, or - for standard input')
  const call = {
    target: listenAddress('--target', flags.target),
    tls: await readTls(flags),
    timeoutMs: milliseconds('--timeout', flags.timeout),
  }
  const input = await readJsonInput(file)
  if (JSON.stringify(input).includes('THE-')) throw new CommandError(placeholders)
  const { encodeCheckJson } = await import('../wire/check-json.ts')
  const { callCheck } = await import('../wire/client.ts')
  const question = readOrRefuse(() => encodeCheckJson(input))
  const answer = await callCheck(call, question, Date.now()).catch((error: Error) => {
    throw new CommandError(error.message, exitCode.couldNotRun)
  })
  return { ...answer, headers: answer.headers.map(hideSecret) }
}

const maxPemBytes = 1024 * 1024

async function readTls(flags: CheckFlags): Promise<ClientTls | undefined> {
  const { tlsCa, tlsCert, tlsKey, tlsName } = flags
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new CommandError('--tls-cert and --tls-key go together')
  if (tlsCa === undefined) {
    if (tlsCert === undefined && tlsName === undefined) return undefined
    throw new CommandError('--tls-cert, --tls-key and --tls-name need --tls-ca')
  }
  const read = (path: string) => readBoundedFile(path, maxPemBytes).catch(badInput)
  return {
    ca: await read(tlsCa),
    pair:
      tlsCert === undefined || tlsKey === undefined
        ? undefined
        : { certificate: await read(tlsCert), key: await read(tlsKey) },
    serverName: tlsName,
  }
}

/** Another server may answer with what it was asked. */
const secretHeaders = [
  'authorization',
  'proxy-authorization',
  'dpop',
  'workload-identity-token',
  'workload-proof-token',
  'txn-token',
  'cookie',
  'set-cookie',
  'x-forwarded-client-cert',
]

function hideSecret({ name, value }: CheckAnswer['headers'][number]) {
  return { name, value: secretHeaders.includes(name.toLowerCase()) ? '(not shown)' : value }
}

function renderAnswer({
  allowed,
  code,
  http,
  headers,
  headersToRemove,
  body,
  metadata,
}: CheckAnswer) {
  const reason = metadata['reason']
  const verdict = allowed
    ? paint('green', 'ALLOWED')
    : `${paint('red', 'DENIED')}  HTTP ${http}, gRPC code ${code}`
  const recorded =
    allowed && metadata['decision'] === 'deny'
      ? [`  in mode ${metadata['mode']}: the decision is deny, and is not enforced`]
      : []
  const where = allowed ? 'to the upstream' : 'to the client'
  const lines = [
    ...headers.map(({ name, value }) => `${where}: ${name}: ${value}`),
    ...headersToRemove.map((name) => `taken off: ${name}`),
    ...(body === '' ? [] : [`body: ${body}`]),
    ...Object.entries(metadata)
      .filter(([, value]) => value !== '' && value !== null)
      .map(([name, value]) => `${name}: ${value}`),
  ]
  const shown = typeof reason === 'string' && reason !== '' ? `  ${makePrintable(reason)}` : ''
  return `${[`${verdict}${shown}`, ...recorded, ...lines.map((line) => `  ${makePrintable(line)}`)].join('\n')}\n`
}
