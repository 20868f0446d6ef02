/**
 * `make bench`: meshbind beside its floor, a constant-answer grpc-js server, driven in turn with the same realistic
 * CheckRequests by one load generator. Prints ratios; absolute figures only say which machine this was.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeCheckResponse, encodeCheckRequest } from '../test/support/check-request.ts'
import { createTestIssuer, serveJson } from '../test/support/issuer.ts'
import { startMeshbind } from '../test/support/meshbind.ts'
import { createAuthority, type Leaf } from '../test/support/pki.ts'
import { runLoad } from './http2-load.ts'

const repetitions = Number(process.env['BENCH_REPETITIONS'] ?? 5)
const certificates = 100
const tokens = 1000
const warmMessages = 8192
const warmCount = 30_000
const coldCount = 4_000
const path = '/envoy.service.auth.v3.Authorization/Check'

interface Subject {
  readonly name: string
  readonly port: number
  readonly pid: number
}

interface Sample {
  readonly perSecond: number
  /** Server CPU per check, microseconds; NaN where the system does not tell. */
  readonly cpuMicroseconds: number
  readonly p50: number
  readonly p99: number
}

const say = (text: string) => process.stderr.write(`… ${text}\n`)

/** One answer in so many is decoded in full: a figure for refusals would mean nothing. */
const verifyEvery = 64

async function measure(
  subject: Subject,
  messages: readonly Buffer[],
  count: number,
  concurrency: number,
): Promise<Sample> {
  let refused = 0
  let answers = 0
  const cpuBefore = await cpuSeconds(subject.pid)
  const result = await runLoad({
    port: subject.port,
    path,
    messages,
    count,
    concurrency,
    onMessage: (payload) => {
      if (answers++ % verifyEvery !== 0) return
      if (decodeCheckResponse(payload.subarray(5)).status?.code !== 0) refused++
    },
  })
  if (refused > 0)
    throw new Error(
      `${subject.name} refused ${refused} of the ${Math.ceil(count / verifyEvery)} checks looked at`,
    )
  const cpu = (await cpuSeconds(subject.pid)) - cpuBefore
  return {
    perSecond: result.perSecond,
    cpuMicroseconds: (cpu / count) * 1e6,
    p50: result.p50,
    p99: result.p99,
  }
}

const clockTicksPerSecond = 100

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond
}

function policyText(jwksUrl: string): string {
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: bench }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { url: ${jwksUrl} }
      maxLifetime: 1h
      identity: { claim: sub }
  routes:
    - name: health
      match: { paths: [/healthz] }
      require: none
    - name: payments-write
      match: { methods: [POST], paths: [/v1/payments, /v1/payments/*] }
      require:
        issuers: [corp]
        bindings: [x5t#S256]
        callers: [spiffe://mesh.example/ns/shop/*]
        scopes: [payments.write]
`
}

async function startFloor(): Promise<{ child: ChildProcess; subject: Subject }> {
  const child = fork(fileURLToPath(new URL('./floor.ts', import.meta.url)))
  const { port } = await new Promise<{ port: number }>((resolve) =>
    child.once('message', (message) => resolve(message as { port: number })),
  )
  return { child, subject: { name: 'floor', port, pid: child.pid ?? 0 } }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function spread(values: readonly number[], digits = 2): string {
  return `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`
}

const cleanups: (() => unknown)[] = []

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-bench-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const issuer = await createTestIssuer()
  const jwks = await serveJson(() => issuer.jwks)
  cleanups.push(() => jwks.close())
  const policy = join(directory, 'policy.yaml')
  await writeFile(policy, policyText(`${jwks.url}/jwks`))

  say(`making ${certificates} certificates and ${tokens + repetitions * coldCount} tokens`)
  const authority = await createAuthority()
  const leaves: Leaf[] = []
  for (let i = 0; i < certificates; i++)
    leaves.push(await authority.issue({ spiffeId: `spiffe://mesh.example/ns/shop/sa/w${i}` }))
  let serial = 0
  const message = (leaf: Leaf, token: string) => {
    const id = String(serial++)
    const principal = `spiffe://mesh.example/ns/shop/sa/w${leaves.indexOf(leaf)}`
    return encodeCheckRequest({
      certificate: leaf.envoyText,
      principal,
      token,
      path: `/v1/payments/${id}?v=1`,
      id,
    })
  }
  const sign = (leaf: Leaf, n: number) =>
    issuer.sign({
      sub: `spiffe://mesh.example/ns/shop/sa/w${leaves.indexOf(leaf)}`,
      scope: 'payments.read payments.write',
      client_id: 'orders-service',
      jti: `5f2d1c9e-7b61-4f0e-9a57-${String(n).padStart(12, '0')}`,
      exp: Math.floor(Date.now() / 1000) + 3000,
      cnf: { 'x5t#S256': leaf.x5tS256 },
      entitlements: 'a'.repeat(180),
    })
  const leafOf = (n: number) => leaves[n % certificates] as Leaf
  const warmTokens: string[] = []
  for (let n = 0; n < tokens; n++) warmTokens.push(await sign(leafOf(n), n))
  const warm = Array.from({ length: warmMessages }, (_, n) =>
    message(leafOf(n % tokens), warmTokens[n % tokens] as string),
  )
  const cold: Buffer[][] = []
  for (let r = 0; r < repetitions; r++) {
    const batch: Buffer[] = []
    for (let n = 0; n < coldCount; n++)
      batch.push(message(leafOf(n), await sign(leafOf(n), 1e6 + r * coldCount + n)))
    cold.push(batch)
  }

  say('starting meshbind and the floor')
  const floor = await startFloor()
  cleanups.push(() => floor.child.kill())
  const meshbind = await startMeshbind([
    '--policy',
    policy,
    '--listen',
    '127.0.0.1:0',
    '--admin',
    'off',
    '--decision-log',
    'deny',
    '--deadline',
    '5s',
  ])
  cleanups.push(() => meshbind.stop())
  const subject: Subject = {
    name: 'meshbind',
    port: meshbind.port,
    pid: meshbind.pid,
  }

  say('warming up')
  for (const each of [floor.subject, subject]) await measure(each, warm, warmCount, 32)

  const samples = {
    floor32: [] as Sample[],
    warm32: [] as Sample[],
    floor1: [] as Sample[],
    warm1: [] as Sample[],
    cold32: [] as Sample[],
  }
  for (let r = 0; r < repetitions; r++) {
    say(`repetition ${r + 1} of ${repetitions}`)
    samples.floor32.push(await measure(floor.subject, warm, warmCount, 32))
    samples.warm32.push(await measure(subject, warm, warmCount, 32))
    samples.floor1.push(await measure(floor.subject, warm, warmCount / 5, 1))
    samples.warm1.push(await measure(subject, warm, warmCount / 5, 1))
    samples.cold32.push(await measure(subject, cold[r] as Buffer[], coldCount, 32))
  }
  report(samples, warm)
}

function report(
  samples: { readonly [name: string]: readonly Sample[] },
  warm: readonly Buffer[],
): void {
  const of = (name: string) => samples[name] ?? []
  const ratio = (name: string, base: string, pick: (sample: Sample) => number) =>
    of(name).map((sample, i) => pick(sample) / pick(of(base)[i] as Sample))
  const rate = (sample: Sample) => sample.perSecond
  const cpu = (sample: Sample) => 1 / sample.cpuMicroseconds
  const bytes = Math.round(warm.reduce((sum, message) => sum + message.length, 0) / warm.length)
  console.log(
    `\nNode ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}; a CheckRequest is ${bytes} bytes; median (min–max) of ${repetitions} repetitions`,
  )
  console.log(
    '\n  checks per second         floor                     meshbind                  ratio',
  )
  const row = (title: string, base: string, name: string) => {
    const head = `  ${title.padEnd(25)} ${spread(of(base).map(rate), 0).padEnd(25)} ${spread(of(name).map(rate), 0).padEnd(25)}`
    console.log(`${head} ${spread(ratio(name, base, rate))}`)
  }
  row('warm, 32 in flight', 'floor32', 'warm32')
  row('warm, one at a time', 'floor1', 'warm1')
  row('never seen, 32 in flight', 'floor32', 'cold32')
  console.log('\n  server CPU per check (µs)')
  const cost = (title: string, name: string) =>
    console.log(
      `  ${title.padEnd(25)} ${spread(
        of(name).map((sample) => sample.cpuMicroseconds),
        1,
      )}`,
    )
  cost('floor, 32 in flight', 'floor32')
  cost('warm, 32 in flight', 'warm32')
  cost('never seen, 32 in flight', 'cold32')
  console.log(`  floor / warm              ${spread(ratio('warm32', 'floor32', cpu))}`)
  console.log('\n  latency at 32 in flight (ms)   p50                 p99')
  for (const [title, name] of [
    ['floor', 'floor32'],
    ['warm', 'warm32'],
    ['never seen', 'cold32'],
  ] as const) {
    console.log(
      `  ${title.padEnd(30)} ${spread(of(name).map((s) => s.p50)).padEnd(19)} ${spread(of(name).map((s) => s.p99))}`,
    )
  }
}

try {
  await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
