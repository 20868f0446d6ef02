/** `make demo`: a stolen token bounces off a real Envoy, told as a table. Exit code 0 only if every row is as expected. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import { findEnvoy, type RunningEnvoy, startEnvoy } from '../test/support/envoy.ts'
import {
  createTestIssuer,
  type JsonServer,
  serveJson,
  type TestIssuer,
} from '../test/support/issuer.ts'
import { type Answer, call, envoyConfig, startBackend } from '../test/support/mesh.ts'
import { type RunningMeshbind, startMeshbind } from '../test/support/meshbind.ts'
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts'

interface Stage {
  readonly directory: string
  readonly authority: Authority
  readonly orders: Leaf
  /** A renewed certificate of the same workload. */
  readonly ordersRenewed: Leaf
  readonly blog: Leaf
  readonly reports: Leaf
  readonly issuer: TestIssuer
  readonly issuerServer: JsonServer
  readonly backend: JsonServer
  readonly meshbind: RunningMeshbind
  readonly envoy: RunningEnvoy
  readonly port: number
}

interface Row {
  readonly who: string
  readonly what: string
  readonly expected: { readonly status: number; readonly reason: string }
  readonly send: () => Promise<Answer>
}

const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
const reports = 'spiffe://mesh.example/ns/reports/sa/nightly'

const bold = (text: string) => styleText('bold', text, { stream: process.stdout })
const green = (text: string) => styleText('green', text, { stream: process.stdout })
const red = (text: string) => styleText('red', text, { stream: process.stdout })
const dim = (text: string) => styleText('dim', text, { stream: process.stdout })

function progress(message: string): void {
  process.stderr.write(`… ${message}\n`)
}

/** Everything that was started, ended in reverse order whatever happens. */
const cleanups: (() => unknown)[] = []

async function setStage(): Promise<Stage> {
  const binary = await findEnvoy(progress)
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-demo-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))

  progress('making a mesh CA and workload certificates')
  const authority = await createAuthority()
  const leaf = (spiffeId: string) => authority.issue({ spiffeId })
  const envoyLeaf = await authority.issue({
    names: [
      { type: 'url', value: 'spiffe://mesh.example/ns/shop/sa/payments' },
      { type: 'dns', value: 'localhost' },
    ],
  })

  progress('starting a token issuer, a backend, meshbind and Envoy')
  const issuerServer = await startIssuer()
  const issuer = issuerServer.issuer
  const backend = await startBackend()
  cleanups.push(() => backend.close())
  const policyFile = join(directory, 'policy.yaml')
  const template = await readFile(new URL('./policy.yaml', import.meta.url), 'utf8')
  await writeFile(policyFile, template.replaceAll('{{issuer}}', issuer.issuer))
  const socket = join(directory, 'meshbind.sock')
  const meshbind = await startMeshbind([
    '--policy',
    policyFile,
    '--listen',
    `unix:${socket}`,
    '--admin',
    'off',
  ])
  cleanups.push(() => meshbind.stop())
  const { port: backendPort } = backend.server.address() as AddressInfo
  const envoy = await startEnvoy(
    binary,
    envoyConfig({
      authority,
      certificate: envoyLeaf,
      backendPort,
      listeners: { payments: { authz: socket } },
    }),
    directory,
  )
  cleanups.push(() => envoy.stop())
  return {
    directory,
    authority,
    orders: await leaf(orders),
    ordersRenewed: await leaf(orders),
    blog: await leaf('spiffe://mesh.example/ns/web/sa/blog'),
    reports: await leaf(reports),
    issuer,
    issuerServer: issuerServer.server,
    backend,
    meshbind,
    envoy,
    port: envoy.portOf('payments'),
  }
}

async function startIssuer(): Promise<{ issuer: TestIssuer; server: JsonServer }> {
  let issuer: TestIssuer | undefined
  const server = await serveJson((path) =>
    path === '/jwks'
      ? issuer?.jwks
      : { issuer: issuer?.issuer, jwks_uri: `${issuer?.issuer}/jwks` },
  )
  cleanups.push(() => server.close())
  issuer = await createTestIssuer(server.url)
  return { issuer, server }
}

async function story(stage: Stage): Promise<Row[]> {
  const { issuer, authority, port } = stage
  const now = Math.floor(Date.now() / 1000)
  const boundTo = (leaf: Leaf, claims: object = {}) =>
    issuer.sign({
      sub: orders,
      scope: 'payments.write',
      cnf: { 'x5t#S256': leaf.x5tS256 },
      ...claims,
    })
  const token = await boundTo(stage.orders)
  const post =
    (as: Leaf, bearer?: string, path = '/v1/payments') =>
    () =>
      call({
        port,
        authority,
        as,
        path,
        headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` },
      })
  const row = (
    who: string,
    what: string,
    status: number,
    reason: string,
    send: Row['send'],
  ): Row => ({
    who,
    what,
    expected: { status, reason },
    send,
  })
  return [
    row('orders', 'calls with its own token', 200, '', post(stage.orders, token)),
    row(
      'blog',
      'calls with the token it stole from orders',
      401,
      'binding_mismatch',
      post(stage.blog, token),
    ),
    row('orders', 'sends no token', 401, 'credential_missing', post(stage.orders)),
    row(
      'orders',
      'sends a plain bearer token, bound to nothing',
      401,
      'binding_missing',
      post(stage.orders, await boundTo(stage.orders, { cnf: undefined })),
    ),
    row(
      'orders',
      'sends an expired token',
      401,
      'token_expired',
      post(stage.orders, await boundTo(stage.orders, { iat: now - 900, exp: now - 600 })),
    ),
    row(
      'orders',
      'sends a token for another service',
      401,
      'audience_mismatch',
      post(stage.orders, await boundTo(stage.orders, { aud: 'https://search.mesh.example' })),
    ),
    row(
      'orders',
      'sends a token that somebody altered',
      401,
      'token_signature_invalid',
      post(stage.orders, alter(token)),
    ),
    row(
      'blog',
      'asks for the public health page',
      200,
      '',
      post(stage.blog, undefined, '/healthz'),
    ),
    row(
      'orders',
      'sends a token without the scope payments.write',
      403,
      'scope_insufficient',
      post(stage.orders, await boundTo(stage.orders, { scope: 'payments.read' })),
    ),
    row(
      'reports',
      'calls with its own token, and is no listed caller',
      403,
      'caller_refused',
      post(stage.reports, await boundTo(stage.reports, { sub: reports })),
    ),
    row(
      'orders',
      'renewed its certificate and kept the old token',
      401,
      'binding_rotated',
      post(stage.ordersRenewed, token),
    ),
    row(
      'blog',
      'hides the path: /healthz/../v1/payments',
      403,
      'path_not_canonical',
      post(stage.blog, token, '/healthz/../v1/payments'),
    ),
    row('orders', 'calls while meshbind is stopped: Envoy refuses', 403, '', async () => {
      await stage.meshbind.stop()
      return post(stage.orders, token)()
    }),
  ]
}

/** Another payload under the old signature. */
function alter(token: string): string {
  const [header, payload, signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString('utf8'))
  const altered = Buffer.from(
    JSON.stringify({ ...claims, scope: 'payments.write payments.admin' }),
  ).toString('base64url')
  return `${header}.${altered}.${signature}`
}

function printHead(): void {
  console.log(`\n${bold(line('who', 'what', 'expected', 'got', 'reason', 'time'))}`)
}

function line(
  who: string,
  what: string,
  expected: string,
  got: string,
  reason: string,
  time: string,
): string {
  return `  ${who.padEnd(8)} ${what.padEnd(50)} ${expected.padEnd(9)} ${got.padEnd(4)} ${reason.padEnd(24)} ${time.padStart(8)}`
}

function printRow({ who, what, expected }: Row, answer: Answer): boolean {
  const good = answer.status === expected.status && answer.reason === expected.reason
  const wanted = `${expected.status}`
  const text = line(
    who,
    what,
    wanted,
    `${answer.status}`,
    answer.reason || '-',
    `${answer.milliseconds.toFixed(1)} ms`,
  )
  console.log(
    good
      ? text.replace(/ (\d{3}) {2}/, (part) => green(part))
      : red(`${text}   EXPECTED ${expected.status} ${expected.reason}`),
  )
  return good
}

async function main(): Promise<number> {
  const stage = await setStage()
  printHead()
  let failed = 0
  const rows = await story(stage)
  const held = process.env['HOLD'] === '1'
  const told = held ? rows.slice(0, -1) : rows
  for (const row of told) if (!printRow(row, await row.send())) failed++
  printEnd(stage, told.length, failed)
  if (held) await hold(stage)
  return failed === 0 ? 0 : 1
}

function printEnd(stage: Stage, count: number, failed: number): void {
  const denies = stage.meshbind.decisions().filter((decision) => decision['decision'] === 'deny')
  const stolen = denies.find((decision) => decision['reason'] === 'binding_mismatch')
  console.log(
    failed === 0
      ? green(`\n  ${count} of ${count} as expected.`)
      : red(`\n  ${failed} of ${count} NOT as expected.`),
  )
  console.log(`\n${bold('  The log line of the stolen token')} ${dim('(no token in it)')}`)
  console.log(`  ${JSON.stringify(stolen)}`)
  console.log(`\n${bold('  Next')}`)
  console.log(
    '  make demo HOLD=1                        leaves all of it running and prints curl commands',
  )
  console.log('  less demo/policy.yaml                   the policy that was enforced')
  console.log('  less docs/reasons.md                    every reason, and what to do about it')
  console.log('  less docs/envoy.md                      put it in front of your own service\n')
}

/** Keeps the mesh up until Ctrl-C, with files for curl. */
async function hold({
  directory,
  authority,
  orders: owner,
  blog,
  issuer,
  port,
}: Stage): Promise<void> {
  const token = await issuer.sign({
    sub: orders,
    scope: 'payments.write',
    cnf: { 'x5t#S256': owner.x5tS256 },
    exp: Math.floor(Date.now() / 1000) + 900,
  })
  const files = {
    'ca.pem': authority.certificatePem,
    'orders.pem': owner.pem,
    'orders.key': owner.keyPem,
    'blog.pem': blog.pem,
    'blog.key': blog.keyPem,
    token,
  }
  for (const [name, text] of Object.entries(files))
    await writeFile(join(directory, name), text, { mode: 0o600 })
  const curl = (as: string) =>
    `  curl -i --cacert ${directory}/ca.pem --cert ${directory}/${as}.pem --key ${directory}/${as}.key -H "Authorization: Bearer $(cat ${directory}/token)" -X POST https://localhost:${port}/v1/payments`
  console.log(
    `${bold('  It stays up for 15 minutes, or until Ctrl-C. As the owner, then as the thief:')}\n${curl('orders')}\n${curl('blog')}\n`,
  )
  await sleep(15 * 60_000)
}

let cleaned: Promise<void> | undefined

/** Ends what was started, in reverse, once. */
function cleanUp(): Promise<void> {
  cleaned ??= (async () => {
    for (const cleanup of cleanups.reverse()) await cleanup()
  })()
  return cleaned
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => cleanUp().finally(() => process.exit(130)))
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(
    `${red('The demo could not run:')} ${error instanceof Error ? error.message : String(error)}\n`,
  )
  process.exitCode = 3
} finally {
  await cleanUp()
}
