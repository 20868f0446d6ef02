/** Every example of every help text, and every command of the troubleshooting page, run by a shell as it is written. */

import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { Command } from 'commander'
import { commands, troubles } from '../docs/troubleshooting-causes.ts'
import { createProgram } from '../src/cli/program.ts'
import { createTestIssuer, type TestIssuer } from './support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from './support/meshbind.ts'
import { createAuthority, type Leaf } from './support/pki.ts'
import { canRunRedis, type RunningRedis, startRedis } from './support/redis.ts'
import { basePolicy, ordersId, thiefId } from './support/world.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** The exit code (contract §1) and what standard output shows; the first row that fits. Empty where it goes into a file. */
// biome-ignore format: a table reads best with one row a line
const expectations: readonly (readonly [example: RegExp, code: number, says: RegExp])[] = [
  [/meshbind serve /, 0, /"message":"ready"/],
  [/meshbind policy validate /, 0, /^valid .*policy shop/],
  [/meshbind policy schema$/, 0, /"title": "meshbind BindingPolicy v1alpha1"/],
  [/meshbind policy (schema|test) .*> /, 0, /^$/],
  [/meshbind policy test /, 0, /\d+ passed, 0 failed/],
  [/meshbind explain - /, 1, /^DENIED {2}binding_mismatch/],
  [/meshbind explain /, 0, /^ALLOWED/],
  [/meshbind inspect --certificate /, 0, /^match +yes/m],
  [/meshbind inspect --output json/, 0, /"x5t#S256"/],
  [/meshbind inspect /, 0, /signature was NOT verified/],
  [/meshbind doctor .*--output json/, 0, /"severity": "ok"/],
  [/meshbind doctor /, 0, /(\d+) of \1 checks over mTLS had it/],
  [/meshbind check --example/, 0, /^$/],
  [/meshbind check .*--output json/, 0, /"allowed": true/],
  [/meshbind check /, 0, /^ALLOWED/],
  [/meshbind revoke list .*--output json/, 0, /"presenter": "spiffe:/],
  [/meshbind revoke list /, 0, /presenter spiffe:/],
  [/meshbind revoke undo /, 0, /^undone: /],
  [/meshbind revoke /, 0, /^revoked: .*\nIn force on every replica within 2 s/],
  [/meshbind rollout .*jq /, 0, /"enforced"/],
  [/meshbind rollout /, 0, /any-binding/],
  [/meshbind version --output json/, 0, /"commit"/],
  [/meshbind version/, 0, /^meshbind \d/],
]

function examplesOf(command: Command): string[] {
  let text = ''
  command.configureOutput({
    writeOut: (chunk) => {
      text += chunk
    },
  })
  command.outputHelp()
  const own = [...text.matchAll(/^ {2}\$ (.+)$/gm)].map(([, line]) => line ?? '')
  return [...own, ...command.commands.flatMap(examplesOf)]
}

const examples = [...new Set([...examplesOf(createProgram(() => {})), ...Object.values(commands)])]

/** A machine on which meshbind is installed, with a server that answers. */
interface Machine {
  readonly directory: string
  readonly redis: RunningRedis
  readonly server: RunningMeshbind
  readonly admin: string
  readonly issuer: TestIssuer
  readonly orders: Leaf
}

let machine: Machine
const undo: (() => unknown)[] = []
const redisTest = canRunRedis() ? test.serial : test.serial.skip

test.before(async () => {
  if (!canRunRedis()) return
  const directory = mkdtempSync(join(tmpdir(), 'meshbind-examples-'))
  undo.push(() => rmSync(directory, { recursive: true, force: true }))
  const issuer = await createTestIssuer()
  const authority = await createAuthority()
  // `--at` of an example is any time at all.
  const validity = { notBefore: new Date('2025-01-01'), notAfter: new Date('2049-01-01') }
  const orders = await authority.issue({ spiffeId: ordersId, ...validity })
  const thief = await authority.issue({ spiffeId: thiefId, ...validity })
  installFiles(directory, issuer, orders)
  const redis = await startRedis()
  undo.push(() => redis.stop())
  const listen = ['--listen', '127.0.0.1:0', `unix:${directory}/run/meshbind/authz.sock`]
  const policy = join(directory, 'policy.yaml')
  const server = await startMeshbind(['--policy', policy, ...listen, '--admin', '127.0.0.1:0'])
  undo.push(() => server.stop())
  const listening = server.lines.find((line) => line['message'] === 'listening')
  machine = { directory, redis, server, admin: String(listening?.['admin']), issuer, orders }
  for (const presenter of [thief, orders]) {
    await writeRequest(machine, presenter)
    await runShell('meshbind check --target 127.0.0.1:9191 request.json')
  }
  const known = server.decisions().map((line) => JSON.stringify(line))
  const log = known.join('\n').replace(/"decision_id":"\w+/, '"decision_id":"5f2d1c9e')
  writeFileSync(join(directory, 'decisions.log'), `${log}\n`)
})

test.after.always(async () => {
  for (const step of undo.toReversed()) await step()
})

function installFiles(directory: string, issuer: TestIssuer, orders: Leaf): void {
  for (const name of ['bin', 'run/meshbind', 'run/tls', 'run2/meshbind'])
    mkdirSync(join(directory, name), { recursive: true })
  const indented = basePolicy.trim().replaceAll('\n', '\n    ')
  const files = {
    'policy.yaml': basePolicy,
    'jwks.json': JSON.stringify(issuer.jwks),
    'run/tls/tls.crt': orders.pem,
    'manifest.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: meshbind }\ndata:\n  policy.yaml: |\n    ${indented}\n`,
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  cpSync(new URL('../examples/shop', import.meta.url), join(directory, 'policies'), {
    recursive: true,
  })
  const programs = {
    meshbind: `echo $$ > meshbind.pid\nexec '${process.execPath}' '${main}' "$@"`,
    kubectl:
      'case "$1" in get) cat manifest.yaml;; logs) cat decisions.log;; port-forward) ;; *) exit 64;; esac',
  }
  for (const [name, script] of Object.entries(programs))
    writeFileSync(join(directory, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

/** A request with a token of that time; `orders` is its owner, whoever presents it. */
async function writeRequest(
  { directory, issuer, orders }: Machine,
  presenter: Leaf,
  at = Date.now(),
): Promise<void> {
  const iat = Math.floor(at / 1000)
  const token = await issuer.sign({ iat, exp: iat + 300, cnf: { 'x5t#S256': orders.x5tS256 } })
  writeFileSync(join(directory, 'token.jwt'), `${token}\n`)
  const source = { principal: presenter.spiffeId, certificate: presenter.envoyText }
  const headers = { authorization: `Bearer ${token}` }
  const http = { id: '1', method: 'POST', host: 'payments.example', path: '/any', headers }
  const question = { attributes: { source, request: { http } } }
  writeFileSync(join(directory, 'request.json'), JSON.stringify(question))
}

/** Addresses and directories that a test cannot have become its own; all else stays as it is written. */
function moveHere(example: string): string {
  const { directory, redis, server, admin } = machine
  const run = example.includes('meshbind serve') ? 'run2' : 'run'
  return example
    .replace(/redis:\/\/[\w.]+:6379/, redis.url)
    .replace('127.0.0.1:9191', `127.0.0.1:${server.port}`)
    .replace('127.0.0.1:9464', admin)
    .replace('/run/', `${directory}/${run}/`)
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** In a group of its own, of which nothing is left. */
async function runShell(example: string): Promise<Ended> {
  const { directory } = machine
  const env = {
    PATH: `${join(directory, 'bin')}:${process.env['PATH']}`,
    MESHBIND_LISTEN: '127.0.0.1:0',
    MESHBIND_ADMIN: '127.0.0.1:0',
  }
  const child = spawn('/bin/sh', ['-c', moveHere(example)], {
    cwd: directory,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const endGroup = () => killGroup(child)
  process.once('exit', endGroup)
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk
  })
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const was = stdout
    stdout += chunk
    const ready = '"message":"ready"'
    if (stdout.includes(ready) && !was.includes(ready))
      process.kill(Number(readFileSync(join(directory, 'meshbind.pid'), 'utf8')), 'SIGTERM')
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  process.off('exit', endGroup)
  endGroup()
  return { code, stdout, stderr }
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // it has ended, as it should have
  }
}

/** What `revoke list` shows and `revoke undo` takes back was revoked before. */
async function revokeBefore(example: string): Promise<void> {
  if (example.includes('revoke undo')) await runShell(example.replace('revoke undo', 'revoke'))
  if (example.includes('revoke list'))
    await runShell(`meshbind revoke --state redis://redis:6379 --presenter ${thiefId}`)
}

for (const example of examples) {
  redisTest(`contract §1, help and docs/troubleshooting.md: $ ${example}`, async (t) => {
    const row = expectations.find(([pattern]) => pattern.test(example))
    if (row === undefined) return t.fail('the table does not say what is expected of it')
    const at = / --at (\S+)/.exec(example)?.[1]
    await writeRequest(machine, machine.orders, at === undefined ? undefined : Date.parse(at))
    await revokeBefore(example)
    const { code, stdout, stderr } = await runShell(example)
    const [, expected, says] = row
    t.is(code, expected, stderr)
    t.regex(stdout, says, stderr)
    t.is(stderr, '')
    const file = /(?:>|--html) (\S+)$/.exec(example)?.[1]
    if (file !== undefined) t.true(readFileSync(join(machine.directory, file), 'utf8').length > 100)
  })
}

test('the table expects nothing of an example that is gone', (t) => {
  for (const [pattern] of expectations)
    t.true(
      examples.some(
        (example) => expectations.find(([fits]) => fits.test(example))?.[0] === pattern,
      ),
      String(pattern),
    )
})

redisTest(
  'docs/troubleshooting.md: every field that it sends to is in the decision log',
  async (t) => {
    const line = await machine.server.waitFor(({ type }) => type === 'decision')
    const paths = new Set(
      Object.values(troubles).flatMap((each) => ('run' in each ? each.fields : [])),
    )
    for (const path of paths) {
      const [name = '', inner] = path.split('.')
      const value = line[name]
      t.true(inner === undefined ? name in line : Object.hasOwn(Object(value), inner), path)
    }
  },
)
