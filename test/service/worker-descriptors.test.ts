/** `meshbind serve --workers 2` where a worker may open no more files (issue "Cores"; docs/scale.md, Workers). */

import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import test from 'ava'
import { connections, reasonOf, startFleet, until } from '../support/fleet.ts'

/** What is open now, and so many more. */
function limitFiles(pid: number, more: number): void {
  const open = readdirSync(`/proc/${pid}/fd`).length + more
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${open}:${open}`])
}

test('issue Cores: a connection that no worker can open is closed, the operator is told the limit, and those that are open are served', async (t) => {
  const fleet = await startFleet(t)
  const kept = await fleet.openAll()
  const lines = await fleet.replaced()
  for (const { pid } of lines) limitFiles(pid, 2)

  const fresh = Array.from({ length: 2 * connections }, () => fleet.open())
  const answers = fresh.map(({ ask }) => ask(fleet.good).then(reasonOf, String))
  // Neither a hang nor a refusal: each is answered, or closed for its client to open again.
  const answered = await Promise.all(answers)
  const open = fresh.filter(({ ended }) => !ended)
  t.true(open.length < fresh.length)
  t.deepEqual(
    answered.filter((_, i) => fresh[i]?.ended === false),
    open.map(() => ''),
  )
  const told = await fleet.meshbind.waitFor(({ message }) => String(message).includes('ulimit -n'))
  t.true(Number(told['connections']) > 0)

  for (const { ask } of kept) t.is(reasonOf(await ask(fleet.good)), '')
  const counted = async () =>
    (await fleet.workers()).reduce((sum, line) => sum + line.connections, 0)
  t.is(await until(async () => (await counted()) === kept.length + open.length, 'the count'), true)
  t.deepEqual(
    (await fleet.workers()).map(({ pid }) => pid),
    lines.map(({ pid }) => pid),
    'nobody was replaced for it',
  )
})
