/** A reader of standard output that stalls, or goes, costs log lines and never an answer or the end (contract §6). */

import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type CheckClient, createCheckClient } from '../support/check-client.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { mountConfigMap } from '../support/config-map.ts'
import { endWithThisProcess } from '../support/envoy.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { basePolicy } from '../support/world.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** Their lines are of 1.5 kB: more than the pipe and the buffer of 4 MiB take together. */
const checks = 6000
const atOnce = 50
const long = 'x'.repeat(600)
const open = encodeCheckRequest({ path: `/public/${long}`, id: long })
const refused = encodeCheckRequest({ path: `/v1/payments/${long}`, id: long })
/** The drain’s second, half a second for what is buffered, and the patience that a busy machine needs. */
const endLimitMs = 20_000

interface Silent {
  readonly stdout: Readable
  readonly client: CheckClient
  metric(name: string): Promise<number>
  /** SIGTERM; exit code and signal, or undefined where it does not end. */
  stop(): Promise<unknown>
}

/** Nothing that it says is read, so its ports are chosen here. */
async function startSilent(t: ExecutionContext): Promise<Silent> {
  const jwks = JSON.stringify((await createTestIssuer()).jwks)
  const map = await mountConfigMap({ 'policy.yaml': basePolicy, 'jwks.json': jwks })
  t.teardown(() => map.remove())
  const [listen, adminPort] = [await freePort(), await freePort()]
  const admin = `http://127.0.0.1:${adminPort}`
  const child = spawn(
    process.execPath,
    [
      ...[main, 'serve', '--policy', map.path('policy.yaml'), '--decision-log', 'all'],
      ...['--listen', `127.0.0.1:${listen}`, '--admin', `127.0.0.1:${adminPort}`],
      ...['--deadline', '30s', '--drain', '1s'],
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  )
  endWithThisProcess(child)
  t.teardown(() => child.kill('SIGKILL'))
  const exited = new Promise((resolve) => child.once('exit', (...ended) => resolve(ended)))
  const isReady = async () =>
    (await fetch(`${admin}/readyz`).catch(() => undefined))?.status === 200
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`meshbind ended with code ${child.exitCode}`)
    await sleep(50)
  }
  const client = createCheckClient(listen)
  t.teardown(() => client.close())
  return {
    stdout: child.stdout,
    client,
    async metric(name) {
      const text = await (await fetch(`${admin}/metrics`)).text()
      return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1])
    },
    stop() {
      child.kill('SIGTERM')
      return Promise.race([exited, sleep(endLimitMs, undefined, { ref: false })])
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The status codes of the answers to refused questions and open ones, by turns. */
async function askMany({ client }: Silent): Promise<(number | undefined)[]> {
  const questions = Array.from({ length: atOnce }, (_, i) => (i % 2 === 0 ? refused : open))
  return (await Promise.all(questions.map(client.ask))).map(({ status }) => status?.code)
}

const expected = Array.from({ length: atOnce }, (_, i) => (i % 2 === 0 ? 16 : 0))

test.serial(
  'issue: nobody reads standard output: every check is answered and what is lost is counted',
  async (t) => {
    const silent = await startSilent(t)
    t.is(await silent.metric('meshbind_decision_log_dropped_total'), 0)
    for (let sent = 0; sent < checks; sent += atOnce) t.deepEqual(await askMany(silent), expected)
    const dropped = await silent.metric('meshbind_decision_log_dropped_total')
    t.true(dropped > 0 && dropped < checks, `${dropped} lines dropped`)
    t.is(await silent.metric('grpc_server_handled_total'), checks)
    for (let sent = 0; sent < 1000; sent += atOnce) t.deepEqual(await askMany(silent), expected)
    const after = await silent.metric('meshbind_decision_log_dropped_total')
    t.true(after - dropped > 900, 'a full buffer takes hardly a line more')
  },
)

test.serial(
  'issue: nobody reads standard output: SIGTERM ends with exit code 0 all the same',
  async (t) => {
    const silent = await startSilent(t)
    for (let sent = 0; sent < checks; sent += atOnce) t.deepEqual(await askMany(silent), expected)
    t.true((await silent.metric('meshbind_decision_log_dropped_total')) > 0)
    t.deepEqual(await silent.stop(), [0, null])
  },
)

test.serial(
  'issue: a reader that comes back gets whole lines, and then every new one',
  async (t) => {
    const silent = await startSilent(t)
    for (let sent = 0; sent < checks; sent += atOnce) t.deepEqual(await askMany(silent), expected)
    const dropped = await silent.metric('meshbind_decision_log_dropped_total')
    let output = ''
    silent.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    const last = encodeCheckRequest({ id: 'the-last-one' })
    while (!output.includes('the-last-one')) {
      t.is((await silent.client.ask(last)).status?.code, 16)
      await sleep(50)
    }
    const lines = output.split('\n').slice(0, -1)
    const decisions = lines
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'decision')
    const ofThose = decisions.filter(({ request }) => request.id !== 'the-last-one')
    t.is(ofThose.length, checks - dropped)
    t.deepEqual(await silent.stop(), [0, null])
  },
)

test.serial(
  'issue: a reader that has gone costs no answer, and SIGTERM ends with exit code 0',
  async (t) => {
    const silent = await startSilent(t)
    silent.stdout.destroy()
    for (let sent = 0; sent < 500; sent += atOnce) t.deepEqual(await askMany(silent), expected)
    t.deepEqual(await silent.stop(), [0, null])
  },
)
