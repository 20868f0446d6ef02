/**
 * `meshbind serve --workers 2` to its end: by a signal, by the end of the first process, and on a Unix socket that it
 * leaves or finds (contract §3 `--workers`, `--drain`, `--listen`; issue "Cores").
 */

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { encodeCheckRequest } from '../support/check-request.ts'
import {
  connections,
  type Fleet,
  listProcesses,
  reasonOf,
  startFleet,
  until,
  workers,
} from '../support/fleet.ts'
import { createGate, startIntrospector } from '../support/introspector.ts'
import { audience } from '../support/issuer.ts'
import { runCommand } from '../support/meshbind.ts'

const processesOf = async (fleet: Fleet) => (await fleet.workers()).map(({ pid }) => pid)

/** Resolves once no process of the fleet is left. */
const gone = ({ map }: Fleet) =>
  until(async () => (await listProcesses(map.directory)).length === 0, 'the end of every process')

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test.serial(
    `contract §3, --drain: ${signal} answers what is in flight in every worker, and ends all with exit code 0`,
    async (t) => {
      const introspector = await startIntrospector(t)
      const gate = createGate()
      const fleet = await startFleet(t, {
        introspection: introspector.url,
        args: ['--drain', '60s'],
      })
      const now = Math.floor(Date.now() / 1000)
      const sound = { active: true, iss: 'https://partner.example', aud: audience, sub: 'orders' }
      const bound = { iat: now, exp: now + 300, cnf: { 'x5t#S256': fleet.orders.x5tS256 } }
      introspector.answer(async () => {
        await gate.passed
        return { json: { ...sound, ...bound } }
      })
      const all = await fleet.openAll()
      const underWay = all.map(({ ask }, i) => {
        const request = { path: '/partner', certificate: fleet.orders.envoyText }
        const question = encodeCheckRequest({ ...request, token: `opaque-${i}` })
        return ask(question).then(reasonOf, String)
      })
      await introspector.arrived(connections)
      await until(
        async () => (await fleet.metrics()).sum('meshbind_in_flight') === connections,
        'all of them in flight',
      )
      fleet.meshbind.kill(signal)
      await fleet.meshbind.waitFor(({ message }) => message === 'draining')
      gate.open()
      t.deepEqual(await Promise.all(underWay), Array(connections).fill(''))
      t.is(await fleet.meshbind.exited, 0)
      await gone(fleet)
      t.is(fleet.meshbind.lines.at(-1)?.['message'], 'stopped')
      const ended = fleet.meshbind.lines.filter(({ message }) => /worker/.test(String(message)))
      t.deepEqual(ended, [], 'no worker is missed that was told to go')
    },
  )

test.serial(
  'contract §3: a terminal’s signal to a worker alone does nothing: the first process says when the end is',
  async (t) => {
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    const before = await processesOf(fleet)
    for (const pid of before)
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) process.kill(pid, signal)
    for (let round = 0; round < 50; round++) {
      const answers = await Promise.all(all.map(({ ask }) => ask(fleet.good)))
      t.deepEqual([...new Set(answers.map(reasonOf))], [''])
    }
    t.deepEqual(await processesOf(fleet), before)
    t.is((await fleet.metrics()).sum('meshbind_worker_ends_total'), 0)
    t.is(await fleet.meshbind.stop(), 0)
    await gone(fleet)
  },
)

async function makeDirectory(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-fleet-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function modeOf(path: string): Promise<string> {
  const found = await stat(path)
  return `${found.isSocket() ? 'socket' : 'other'} ${(found.mode & 0o777).toString(8)}`
}

test.serial(
  'issue Cores: no worker outlives a first process that is killed; contract §3: the socket that it leaves is replaced, and a live one is not',
  async (t) => {
    const path = join(await makeDirectory(t), 'authz.sock')
    const killed = await startFleet(t, { listen: `unix:${path}` })
    await killed.openAll()
    t.is((await listProcesses(killed.map.directory)).length, 1 + workers)
    killed.meshbind.kill('SIGKILL')
    await killed.meshbind.exited
    await gone(killed)
    t.is(await modeOf(path), 'socket 660', 'it is stale now')

    const fleet = await startFleet(t, { listen: `unix:${path}` })
    t.is(await modeOf(path), 'socket 660')
    const all = await fleet.openAll()
    const policy = ['--policy', fleet.map.path('policy.yaml'), '--admin', 'off']
    for (const count of ['1', '2']) {
      const args = ['serve', ...policy, '--listen', `unix:${path}`, '--workers', count]
      const { code, output } = await runCommand(args)
      t.is(code, 3, output)
      const said = `cannot listen on unix:${path}: another server is listening there`
      t.is(output.split(said).length - 1, 1, output)
      t.is((await listProcesses(fleet.map.directory)).length, 1 + workers, 'and nobody else')
    }
    for (const { ask } of [...all, fleet.open()]) t.is(reasonOf(await ask(fleet.good)), '')
    t.is(await fleet.meshbind.stop(), 0)
    await gone(fleet)
  },
)

test.serial(
  'issue Cores: workers that are killed all at once are replaced, and answer at the same address',
  async (t) => {
    const path = join(await makeDirectory(t), 'authz.sock')
    const fleet = await startFleet(t, { listen: `unix:${path}` })
    await fleet.openAll()
    const before = await processesOf(fleet)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await until(async () => (await fleet.page('/readyz')).status === 503, 'told not to be ready')
    await fleet.replaced(before)
    t.is((await fleet.page('/readyz')).status, 200)
    t.is(await modeOf(path), 'socket 660')
    for (const { ask } of await fleet.openAll()) t.is(reasonOf(await ask(fleet.good)), '')
    t.is((await fleet.metrics()).sum('meshbind_worker_ends_total'), workers)
    t.is(await fleet.meshbind.stop(), 0)
  },
)

test.serial(
  'policy.md, Proofs and replay: while the first process hangs, no worker takes a proof, and certificates are judged as ever',
  async (t) => {
    const fleet = await startFleet(t, { args: ['--deadline', '1s'] })
    await fleet.provable()
    const all = await fleet.openAll()
    const [early, late] = [await fleet.prove(), await fleet.prove()]
    fleet.meshbind.kill('SIGSTOP')
    const reasons = await Promise.all(all.map(({ ask }) => ask(early)))
    t.deepEqual([...new Set(reasons.map(reasonOf))], ['state_unavailable'])
    for (const { ask } of all) t.is(reasonOf(await ask(fleet.good)), '')
    fleet.meshbind.kill('SIGCONT')
    const after = await Promise.all(all.map(({ ask }) => ask(early)))
    t.deepEqual([...new Set(after.map(reasonOf))], ['proof_replayed'], 'it was spent then')
    const once = (await Promise.all(all.map(({ ask }) => ask(late)))).map(reasonOf)
    t.deepEqual(once.toSorted(), ['', ...Array<string>(connections - 1).fill('proof_replayed')])
  },
)
