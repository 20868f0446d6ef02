import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { denyOutright } from '../../src/decision/decision.ts'
import {
  createEvidenceSeen,
  type EvidenceReport,
  type SeenCheck,
} from '../../src/observe/evidence-seen.ts'
import { serveJson } from '../support/issuer.ts'

/** One process at a time: many at once would starve each other and the server past the command's own limit. */
const hangsAfterMs = 60_000
const commandUrl = new URL('../../src/cli/doctor.ts', import.meta.url)
const exitUrl = new URL('../../src/exit.ts', import.meta.url)
/** The command in a process of its own, its errors ended as main.ts ends them. */
const script = `
  import { doctorCommand } from '${commandUrl}'
  import { CommandError } from '${exitUrl}'
  try {
    await doctorCommand((code) => { process.exitCode = code })
      .parseAsync(process.argv.slice(1), { from: 'user' })
  } catch (error) {
    process.exitCode = error instanceof CommandError ? error.code : 2
    if (error instanceof CommandError) process.stderr.write(error.message)
  }`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function doctor(...args: readonly string[]): Promise<Ended> {
  const options = { timeout: hangsAfterMs, killSignal: 'SIGKILL' as const, env: { NO_COLOR: '1' } }
  const command = ['--input-type=module', '--eval', script, '--', ...args]
  return new Promise((resolve) => {
    const child = execFile(process.execPath, command, options, (error, stdout, stderr) => {
      resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr })
    })
  })
}

const since = Date.UTC(2026, 0, 1)

function reportOf(certificate: string, policy: Partial<EvidenceReport['policy']> = {}) {
  const seen = createEvidenceSeen(since)
  const principal = 'spiffe://mesh.example/ns/shop/sa/orders'
  const request: SeenCheck['request'] = {
    authorization: { kind: 'one' },
    dpop: { kind: 'absent' },
    workloadToken: { kind: 'absent' },
    peer: { certificate, principal, destination: principal, xfcc: { kind: 'absent' } },
  }
  const decision = denyOutright('binding_mismatch')
  for (let i = 1; i <= 3; i++) seen.observe({ request, decision, time: since + 1000 * i })
  return {
    policy: {
      name: 'shop',
      revision: '0123456789abcdef',
      evidence: ['certificate'],
      bindings: ['x5t#S256'],
      forwarders: [],
      presenter: true,
      certificate: false,
      ...policy,
    },
    evidence: seen.summary(),
  }
}

/** Runs doctor against a server whose /evidence has this body. */
async function consult(body: unknown, ...args: readonly string[]): Promise<Ended> {
  const server = await serveJson((path) => (path === '/evidence' ? body : undefined))
  const ended = await doctor('--target', server.url.replace('http://', ''), ...args)
  server.close()
  return ended
}

test.serial(
  'contract §1: doctor ends with 0 and says what was seen when nothing is missing',
  async (t) => {
    const { code, stdout, stderr } = await consult(reportOf('a certificate'))
    t.deepEqual([code, stderr], [0, ''])
    t.is(
      stdout,
      `policy shop, revision 0123456789abcdef: evidence certificate; bindings x5t#S256
3 checks since 2026-01-01T00:00:00Z

  evidence      checks  first seen            last seen
  certificate        3  2026-01-01T00:00:01Z  2026-01-01T00:00:03Z
  xfcc               0  never
  principal          3  2026-01-01T00:00:01Z  2026-01-01T00:00:03Z
  none               0  never

  ok       mTLS         3 of 3 checks came over mTLS.
  ok       certificate  3 of 3 checks over mTLS had it.
  ok       token        3 of 3 checks had an Authorization header.
`,
    )
  },
)

test.serial('contract §1: doctor ends with 1 and shows the setting that is missing', async (t) => {
  const { code, stdout } = await consult(reportOf(''))
  t.is(code, 1)
  t.regex(stdout, /PROBLEM {2}certificate {2}3 of 3 checks over mTLS had no certificate\./)
  t.regex(stdout, /Envoy, ext_authz filter:\n {8}include_peer_certificate: true\n/)
})

test.serial('a setting that helps in two findings is shown in full once', async (t) => {
  const gateway = 'spiffe://mesh.example/ns/edge/sa/gateway'
  const { evidence, policy } = reportOf('', {
    evidence: ['certificate', 'xfcc'],
    forwarders: [gateway],
  })
  const refusals = { ...evidence.refusals, evidence_conflict: 1 }
  const { stdout } = await consult({ policy, evidence: { ...evidence, refusals } })
  t.is(stdout.match(/APPEND_FORWARD$/gm)?.length, 1, stdout)
  t.regex(stdout, /Envoy, connection manager: as above/)
})

test.serial('contract §1: --output json holds the report and its findings', async (t) => {
  const report = reportOf('')
  const { code, stdout } = await consult(report, '--output', 'json')
  const { findings, ...told } = JSON.parse(stdout)
  t.is(code, 1)
  t.deepEqual(told, JSON.parse(JSON.stringify(report)))
  t.deepEqual(
    findings.map(({ topic, severity }: { topic: string; severity: string }) => [topic, severity]),
    [
      ['mTLS', 'ok'],
      ['certificate', 'problem'],
      ['token', 'ok'],
    ],
  )
})

const good = reportOf('a certificate')
const unreadable: readonly (readonly [title: string, body: unknown, said: RegExp])[] = [
  ['no JSON', 'no JSON', /no evidence report/],
  [
    'another document',
    { ready: true },
    /no evidence report of this version of meshbind \(policy\)/,
  ],
  ['a count that is text', { ...good, evidence: { ...good.evidence, checks: '3' } }, /\(checks\)/],
  [
    'a time that is no date',
    { ...good, evidence: { ...good.evidence, since: 9_000_000_000_000_000 } },
    /\(since\)/,
  ],
  [
    'a name that a terminal would obey',
    { ...good, policy: { ...good.policy, name: '\u001b[2J' } },
    /\(name\)/,
  ],
  [
    'a member that is missing',
    { ...good, policy: { ...good.policy, presenter: 1 } },
    /\(presenter\)/,
  ],
  ['over 64 KiB', `{"a":"${'x'.repeat(64 * 1024)}"}`, /the answer is over 64 KiB/],
  ['status 404', undefined, /\/evidence answered with status 404/],
]
for (const [title, body, said] of unreadable) {
  test.serial(
    `doctor could not run (3) on an answer that is ${title}, and prints nothing of it`,
    async (t) => {
      const { code, stdout, stderr } = await consult(body)
      t.deepEqual([code, stdout], [3, ''])
      t.regex(stderr, said)
      t.notRegex(stderr, /[^\P{C}\n]/u)
    },
  )
}

test.serial(
  'contract §1: nothing that listens is 3, with --admin and kubectl port-forward named',
  async (t) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const { code, stderr } = await doctor('--target', `127.0.0.1:${port}`)
    t.is(code, 3)
    t.regex(stderr, /nothing is listening there.*--admin.*kubectl port-forward/s)
  },
)

test.serial('a server that never answers is given up', async (t) => {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const { code, stderr } = await doctor('--target', `127.0.0.1:${port}`)
  server.close()
  server.closeAllConnections()
  t.is(code, 3)
  t.regex(stderr, /no answer within 5 s/)
})

for (const target of [
  '127.0.0.1',
  'unix:/run/a.sock',
  'http://127.0.0.1:9464',
  '127.0.0.1:99999',
]) {
  test.serial(`contract §1: --target ${target} is bad usage (2)`, async (t) => {
    const { code, stderr } = await doctor('--target', target)
    t.is(code, 2)
    t.regex(stderr, /--target: not an address; write host:port/)
  })
}
