/**
 * `meshbind serve --workers 2` when a worker is killed or hangs: it is replaced, nobody else notices, and the one in its
 * place knows what it knew (issue "Cores"; contract §3 `--workers`; policy.md "State is shared by workers").
 */

import test from 'ava'
import type { Connection } from '../support/check-connection.ts'
import {
  connections,
  type Fleet,
  listProcesses,
  reasonOf,
  startFleet,
  until,
  workers,
  writePolicy,
} from '../support/fleet.ts'

/** The process of a worker. */
async function choose(fleet: Fleet, worker = 1): Promise<number> {
  const pid = (await fleet.workers()).find((each) => each.worker === worker)?.pid
  if (pid === undefined) throw new Error(`there is no worker ${worker}`)
  return pid
}

async function askEach(all: readonly Connection[], question: Buffer): Promise<readonly string[]> {
  const answers = all.map(({ ask }) => ask(question).then(reasonOf, String))
  return [...new Set(await Promise.all(answers))]
}

/** What each of them came to that is still open: what is closed, a client opens again. */
async function askOpen(all: readonly Connection[], { good }: Fleet): Promise<readonly string[]> {
  const answers = all.map(async (each) => {
    const reason = await each.ask(good, 10_000).then(reasonOf, String)
    return each.ended ? [] : [reason]
  })
  return [...new Set((await Promise.all(answers)).flat())]
}

/** Asks on each connection, one question after the other, until it is stopped or the connection ends. */
function keepAsking(all: readonly Connection[], question: Buffer) {
  let going = true
  const asked = all.map(async (connection) => {
    const answers = new Map<string, number>()
    while (going && !connection.ended) {
      const answer = await connection.ask(question).then(reasonOf, String)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
    return { connection, answers }
  })
  return {
    stop() {
      going = false
      return Promise.all(asked)
    },
  }
}

test.serial(
  'issue Cores: a worker that is killed is replaced; the connections of the other see no refusal and no error, and no count falls back',
  async (t) => {
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    const before = await until(async () => {
      const lines = await fleet.workers()
      return lines.reduce((sum, line) => sum + line.connections, 0) === connections && lines
    }, 'a count of every connection')
    const [killed] = before
    if (killed === undefined) return t.fail('there is no worker')
    const asking = keepAsking(all, fleet.good)
    const scrapes = [await fleet.metrics()]
    const ready = new Set<number>()
    let watching = true
    const watched = (async () => {
      while (watching) {
        scrapes.push(await fleet.metrics())
        ready.add((await fleet.page('/readyz')).status)
      }
    })()
    process.kill(killed.pid, 'SIGKILL')
    await fleet.meshbind.waitFor(({ message }) => message === 'a worker ended, and is replaced')
    t.deepEqual(await askEach(await fleet.openAll(), fleet.good), [''], 'new connections, at once')
    const after = await fleet.replaced([killed.pid])
    t.deepEqual(await askEach(await fleet.openAll(), fleet.good), [''])
    watching = false
    await watched
    scrapes.push(await fleet.metrics())

    const asked = await asking.stop()
    const kept = asked.filter(({ connection }) => !connection.ended)
    t.is(connections - kept.length, killed.connections, 'its connections end, and no other')
    t.true(kept.length > 0)
    for (const { answers } of kept) {
      t.deepEqual([...answers.keys()], [''])
      t.true((answers.get('') ?? 0) > 10)
    }
    t.deepEqual([...ready], [200])
    t.is(scrapes.at(-1)?.sum('meshbind_worker_ends_total'), 1)
    t.is(scrapes.at(-1)?.sum('meshbind_workers'), workers)
    for (const [i, { growing, series }] of scrapes.entries())
      for (const key of growing) {
        const [was = 0, is = Number.NaN] = [
          series.get(key),
          (scrapes[i + 1] ?? scrapes[i])?.series.get(key),
        ]
        if (!(is >= was)) t.fail(`${key} fell from ${was} to ${is}`)
      }
    const others = (lines: typeof before) => lines.filter(({ worker }) => worker !== killed.worker)
    t.deepEqual(
      others(after).map(({ pid }) => pid),
      others(before).map(({ pid }) => pid),
    )
  },
)

test.serial(
  'policy.md, State is shared by workers: the worker in another’s place knows what was revoked and which proofs are spent',
  async (t) => {
    const fleet = await startFleet(t)
    await fleet.provable()
    const revoked = fleet.question(await fleet.token({ sub: 'jane' }))
    const [spent, unspent] = [await fleet.prove(), await fleet.prove()]
    const [first] = await fleet.openAll()
    t.is(reasonOf((await first?.ask(spent)) ?? t.fail()), '')
    t.is(await fleet.revoke('jane'), 202)
    const pids = [await choose(fleet, 1), await choose(fleet, 2)]
    for (const pid of pids) {
      process.kill(pid, 'SIGKILL')
      await fleet.replaced([pid])
    }
    await fleet.replaced(pids)
    const all = await fleet.openAll()
    t.deepEqual(await askEach(all, revoked), ['token_revoked'])
    t.deepEqual(await askEach(all, spent), ['proof_replayed'])
    t.is(reasonOf((await all[0]?.ask(unspent)) ?? t.fail()), '', 'the memory is as old as it was')
    t.deepEqual(await askEach(all, unspent), ['proof_replayed'])
  },
)

test.serial(
  'policy.md, Proofs and replay: a proof from before the policy had its name is refused by the worker in another’s place, too',
  async (t) => {
    const fleet = await startFleet(t)
    await fleet.provable()
    const all = await fleet.openAll()
    const spent = await fleet.prove()
    t.is(reasonOf((await all[0]?.ask(spent)) ?? t.fail()), '')
    await fleet.swapPolicy(writePolicy({ name: 'renamed', n: 1 }))
    await until(async () => {
      const reasons = await askEach(all, spent)
      return reasons.join() === 'proof_invalid'
    }, 'the renamed policy in every worker')
    const pid = await choose(fleet)
    process.kill(pid, 'SIGKILL')
    await fleet.replaced([pid])
    t.deepEqual(await askEach(await fleet.openAll(), spent), ['proof_invalid'])
  },
)

test.serial(
  'policy.md: the last good policy stays, also for the worker in another’s place, while the one on disk is broken',
  async (t) => {
    const fleet = await startFleet(t)
    const before = await fleet.workers()
    const revision = before[0]?.policy_revision
    await fleet.swapPolicy('no: policy')
    await until(
      async () => (await fleet.page('/readyz')).text.includes('not valid'),
      'told of the broken policy',
    )
    for (const { pid } of before) process.kill(pid, 'SIGKILL')
    const after = await fleet.replaced(before.map(({ pid }) => pid))
    t.deepEqual(
      after.map((line) => line.policy_revision),
      [revision, revision],
    )
    for (const { ask } of await fleet.openAll()) {
      t.is(reasonOf(await ask(fleet.good)), '')
      t.not(reasonOf(await ask(fleet.stolen)), '')
    }
  },
)

test.serial(
  'issue Cores: a connection that comes as a worker is killed is given to another or closed: none stays open without an answer',
  async (t) => {
    const fleet = await startFleet(t)
    for (let round = 0; round < 3; round++) {
      const pid = await choose(fleet)
      process.kill(pid, 'SIGKILL')
      // As its Envoys come back, before the first process knows of its end.
      const fresh = Array.from({ length: connections }, () => fleet.open())
      await fleet.replaced([pid])
      t.deepEqual(await askOpen(fresh, fleet), [''])
    }
  },
)

test.serial(
  'issue Cores: a worker that hangs is ended and replaced, and no event is acknowledged that it would not heed',
  async (t) => {
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    const revoked = fleet.question(await fleet.token({ sub: 'jane' }))
    const pid = await choose(fleet)
    process.kill(pid, 'SIGSTOP')
    t.is(await fleet.revoke('jane'), 503, 'not in force everywhere')
    await fleet.replaced([pid])
    t.false((await listProcesses(fleet.map.directory)).includes(pid))
    t.is(await fleet.revoke('jane'), 202)
    const left = all.filter(({ ended }) => !ended)
    t.true(left.length > 0 && left.length < connections)
    for (const each of [left, await fleet.openAll()]) {
      t.deepEqual(await askEach(each, fleet.good), [''])
      t.deepEqual(await askEach(each, revoked), ['token_revoked'])
    }
    t.is((await fleet.metrics()).sum('meshbind_worker_ends_total'), 1)
  },
)

test.serial(
  'issue Cores: connections that come while a worker hangs do not take the service down',
  async (t) => {
    const fleet = await startFleet(t)
    const pid = await choose(fleet)
    process.kill(pid, 'SIGSTOP')
    const fresh = Array.from({ length: connections }, () => fleet.open())
    const became = await Promise.race([
      fleet.meshbind.exited.then((code) => `ended with exit code ${code}`),
      fleet.replaced([pid]).then(() => 'replaced', String),
    ])
    t.is(became, 'replaced', fleet.meshbind.output().slice(-600))
    t.deepEqual(await askOpen(fresh, fleet), [''])
  },
)
