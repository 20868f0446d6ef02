/**
 * `meshbind serve --workers 2` while all is well: connections are spread, and what one worker knows, all of them know
 * (issue "Cores"; contract §3 `--workers`; policy.md "State is shared by workers").
 */

import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { metadataOf } from '../support/check-client.ts'
import type { Connection } from '../support/check-connection.ts'
import { mountConfigMap } from '../support/config-map.ts'
import {
  connections,
  type Fleet,
  type FleetOptions,
  listProcesses,
  reasonOf,
  startFleet,
  until,
  workers,
  writePolicy,
} from '../support/fleet.ts'
import { runCommand } from '../support/meshbind.ts'
import { canRunRedis, startRedis } from '../support/redis.ts'
import { headerOf } from '../support/world.ts'

const redisTest = canRunRedis() ? test.serial : test.serial.skip

test.serial(
  'issue Cores, contract §3: connections are spread over the workers, each gives every answer, and one admin page counts them all',
  async (t) => {
    const rounds = 250
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    const flood = all.map(async ({ ask }) => {
      for (let sent = 0; sent < rounds; sent += 25) {
        const pairs = Array.from({ length: 25 }, () => [ask(fleet.good), ask(fleet.stolen)])
        const answers = (await Promise.all(pairs.flat())).map(reasonOf)
        t.deepEqual([...new Set(answers)], ['', 'binding_mismatch'])
        t.is(answers.filter((reason) => reason === '').length, answers.length / 2)
      }
    })
    await Promise.all(flood)

    const questions = connections + 2 * rounds * connections
    const scrape = await fleet.metrics()
    t.is(scrape.sum('meshbind_decisions_total'), questions)
    t.is(scrape.sum('grpc_server_handled_total'), questions)
    t.is(scrape.sum('grpc_server_handling_seconds_count'), questions)
    t.deepEqual(scrape.valuesOf('meshbind_workers'), [workers])
    t.deepEqual(scrape.valuesOf('meshbind_worker_ends_total'), [0])
    t.deepEqual(scrape.valuesOf('meshbind_policy_info'), [1], 'told of all, not added up')
    t.deepEqual(scrape.valuesOf('meshbind_build_info'), [1])
    const spread = await until(async () => {
      const counts = (await fleet.metrics()).valuesOf('meshbind_worker_connections')
      return counts.reduce((sum, count) => sum + count, 0) === connections && counts
    }, 'a count of every connection')
    t.is(spread.length, workers)
    t.true(Math.min(...spread) > 0, `${spread}`)

    const evidence = JSON.parse((await fleet.page('/evidence')).text).evidence
    t.is(evidence.checks, questions)
    t.is(evidence.kinds.certificate.count, questions)
    const [, counted = ''] = /([\d,]+) checks in/.exec((await fleet.page('/')).text) ?? []
    t.is(Number(counted.replaceAll(',', '')), questions)
    // The kit parses each line, so that one that is cut in two ends this test.
    await until(() => fleet.meshbind.decisions().length >= questions, 'a line for each decision')
    t.is(fleet.meshbind.decisions().length, questions)
    t.is(scrape.sum('meshbind_decision_log_dropped_total'), 0)
  },
)

/** Each question on a connection of its own, all at once: what they came to, sorted. */
async function askAll(all: readonly Connection[], question: Buffer): Promise<readonly string[]> {
  return (await Promise.all(all.map(({ ask }) => ask(question)))).map(reasonOf).toSorted()
}

async function spendOnce(t: ExecutionContext, options: FleetOptions): Promise<void> {
  const fleet = await startFleet(t, options)
  const all = await fleet.openAll()
  await fleet.provable()
  const once = ['', ...Array<string>(connections - 1).fill('proof_replayed')]
  for (let round = 0; round < 20; round++) {
    const proof = await fleet.prove()
    t.deepEqual(await askAll(all, proof), once)
    t.deepEqual([...new Set(await askAll(all, proof))], ['proof_replayed'])
  }
  t.is((await fleet.metrics()).sum('meshbind_worker_ends_total'), 0)
}

/** A nonce of each connection is taken on every other. */
async function shareNonces(t: ExecutionContext, options: FleetOptions): Promise<void> {
  const fleet = await startFleet(t, { ...options, nonce: 'required' })
  const all = await fleet.openAll()
  await fleet.provable()
  for (const { ask } of all) {
    const challenge = await ask(await fleet.prove())
    t.is(reasonOf(challenge), 'proof_nonce_required')
    const nonce = headerOf(challenge, 'dpop-nonce')
    for (const other of all)
      t.is(reasonOf(await other.ask(await fleet.prove({ nonce }))), '', nonce)
  }
}

test.serial(
  'policy.md, State is shared by workers: a proof that comes on every connection at once is allowed once',
  (t) => spendOnce(t, {}),
)

test.serial(
  'policy.md, State is shared by workers: a nonce that one worker gave is taken by the others',
  (t) => shareNonces(t, {}),
)

for (const [what, holds] of [
  ['a proof is allowed once', spendOnce],
  ['nonces are taken everywhere', shareNonces],
] as const) {
  redisTest(
    `policy.md, Proofs and replay: with Redis for a state, ${what} across workers`,
    async (t) => {
      const redis = await startRedis()
      t.teardown(() => redis.stop())
      await holds(t, { args: ['--state', redis.url] })
    },
  )
}

interface Told {
  readonly route: string | undefined
  readonly revision: string | undefined
}

async function routesOf(all: readonly Connection[], { good }: Fleet): Promise<readonly Told[]> {
  const answers = await Promise.all(all.map(({ ask }) => ask(good)))
  return answers.map((answer) => ({
    route: metadataOf(answer, 'route'),
    revision: metadataOf(answer, 'policy_revision'),
  }))
}

test.serial(
  'policy.md, contract §3: a changed policy is in force in every worker; one that is not valid, in none',
  async (t) => {
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    const revisions: string[] = []
    for (const n of [0, 1, 2]) {
      if (n > 0) await fleet.swapPolicy(writePolicy({ n }))
      const told = await until(async () => {
        const each = await routesOf(all, fleet)
        return each.every(({ route }) => route === `certified-${n}`) && each
      }, `policy ${n} in every worker`)
      const [first] = told
      t.true(told.every(({ revision }) => revision === first?.revision))
      revisions.push(first?.revision ?? '')
      await until(async () => {
        const lines = await fleet.workers()
        return (
          lines.length === workers &&
          lines.every((each) => each.policy_revision === first?.revision)
        )
      }, `revision of policy ${n} in the line of every worker`)
      t.is(JSON.parse((await fleet.page('/policy')).text).revision, first?.revision)
    }
    t.is(new Set(revisions).size, 3)

    await fleet.swapPolicy(writePolicy({ n: 3 }).replace('routes:', 'route:'))
    const kept = /the last good one stays in force/
    for (const worker of [undefined, 1, 2])
      await fleet.meshbind.waitFor(
        (line) => line['worker'] === worker && kept.test(String(line['message'])),
      )
    const told = await routesOf(all, fleet)
    t.true(
      told.every(({ route, revision }) => route === 'certified-2' && revision === revisions[2]),
    )
    t.regex(JSON.parse((await fleet.page('/readyz')).text).policy.problem, /is not valid/)
    await fleet.swapPolicy(writePolicy({ n: 4 }))
    await until(
      async () => (await routesOf(all, fleet)).every(({ route }) => route === 'certified-4'),
      'recovery in every worker',
    )
  },
)

test.serial(
  'policy.md, RFC 8935 §2.2: an event that is acknowledged is in force on every connection, at once',
  async (t) => {
    const fleet = await startFleet(t)
    const all = await fleet.openAll()
    for (let round = 0; round < 10; round++) {
      const token = await fleet.token({ sub: `subject-${round}` })
      const question = fleet.question(token)
      t.deepEqual([...new Set(await askAll(all, question))], [''])
      t.is(await fleet.revoke(`subject-${round}`), 202)
      t.deepEqual([...new Set(await askAll(all, question))], ['token_revoked'], `round ${round}`)
    }
    t.deepEqual([...new Set(await askAll(all, fleet.good))], [''], 'nobody else is')
  },
)

/** Exit code, how often the text was said, and what was left behind. */
async function start(t: ExecutionContext, args: readonly string[], policy = writePolicy()) {
  const map = await mountConfigMap({ 'policy.yaml': policy, 'jwks.json': '{"keys":[]}' })
  t.teardown(() => map.remove())
  const listen = ['--listen', '127.0.0.1:0', '--admin', 'off']
  const given = ['serve', '--policy', map.path('policy.yaml'), ...listen, '--workers', '2', ...args]
  const { code, output } = await runCommand(given)
  const said = (text: string) => output.split(text).length - 1
  return { code, output, said, left: await listProcesses(map.directory) }
}

test.serial('contract §1: a policy that is not valid is told once, with exit code 2', async (t) => {
  const policy = writePolicy().replace('routes:', 'route:')
  const { code, output, said, left } = await start(t, [], policy)
  t.is(code, 2, output)
  t.is(said('unknown key `route`'), 1, output)
  t.deepEqual(left, [])
})

test.serial(
  'contract §1: an address that is taken is told once, with exit code 3, and no worker stays',
  async (t) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
    for (const flag of ['--listen', '--admin', '--events']) {
      const { code, output, said, left } = await start(t, [flag, address])
      t.is(code, 3, output)
      t.is(said(`cannot listen on ${address}: the address is in use`), 1, output)
      t.deepEqual(left, [], flag)
    }
  },
)

test.serial(
  'contract §1, §3: a number of workers that is none is told, with exit code 2',
  async (t) => {
    for (const count of ['0', '-1', 'x', '1.5', '2 ', '']) {
      const { code, output, said } = await start(t, [`--workers=${count}`])
      t.is(code, 2, output)
      t.is(said('--workers'), 1, output)
    }
  },
)
