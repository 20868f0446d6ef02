/** Revocations in a real redis-server: two stores that share it, what a restart and a stranger's hand do to them, and their bounds. */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createSharedState } from '../../src/state/redis.ts'
import { openConnection, readUrl } from '../../src/state/redis-connection.ts'
import {
  createSharedRevocations,
  revocationsName,
  type SharedRevocations,
} from '../../src/state/redis-revocations.ts'
import type { Revocation, RevocationEntry } from '../../src/state/revocations.ts'
import { canRunRedis, type RunningRedis, startRedis } from '../support/redis.ts'

/** One after another: each waits for what a busy machine would make it miss. */
const redisTest = canRunRedis() ? test.serial : test.serial.skip
const now = 1_800_000_000
const issuer = 'https://idp.example'
const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
const limitMs = 30_000
const later = now + 1000

const jti = (id: string): Revocation => ({ issuer, jti: id })
const entry = (revocation: Revocation, until = later): RevocationEntry => ({ revocation, until })

async function server(t: ExecutionContext, args: readonly string[] = []): Promise<RunningRedis> {
  const redis = await startRedis(args)
  t.teardown(() => redis.stop())
  return redis
}

/** One store on a connection of its own that reads only when it is told to: so every order of events can be had. */
async function connect(
  t: ExecutionContext,
  { url }: RunningRedis,
  clock = () => now,
): Promise<SharedRevocations> {
  let close = () => {}
  const send = await new Promise<(command: readonly string[]) => Promise<unknown>>(
    (resolve, reject) => {
      const connection = openConnection(readUrl(url), undefined, clock, {
        onReady: () => resolve(connection.send),
        onEnd: (problem) => reject(new Error(problem)),
      })
      close = () => connection.end(new Error('closed'))
    },
  )
  t.teardown(close)
  return createSharedRevocations(send, clock)
}

/** As a replica has it: connected in the background, reading every half second. */
function replica(t: ExecutionContext, url: string): SharedRevocations {
  const state = createSharedState({ url, clock: () => now, timeoutMs: 2000, onChange: () => {} })
  t.teardown(() => state.close())
  return state.revocations
}

const isRevoked = (store: SharedRevocations, id: string): boolean =>
  store.index?.find(
    {
      issuer,
      subject: id,
      tokenId: id,
      session: id,
      keyId: id,
      issuedAt: now,
      workloads: [id],
      certificates: [id],
    },
    now,
  ) !== undefined

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`never ${what}`)
    await sleep(20)
  }
}

redisTest('issue (c): what one store revokes another refuses after its next reading', async (t) => {
  const redis = await server(t)
  const [one, two] = [await connect(t, redis), await connect(t, redis)]
  t.is(two.index, undefined, 'nothing is known before the first reading')
  await two.refresh()
  t.is(two.index?.size, 0)
  t.is(await one.add([entry(jti('a'))]), 'stored')
  t.true(isRevoked(one, 'a'), 'the one that revokes needs no other reading')
  t.false(isRevoked(two, 'a'))
  await two.refresh()
  t.true(isRevoked(two, 'a'))
  t.false(isRevoked(two, 'b'))
})

redisTest('issue (c): running replicas read by themselves', async (t) => {
  const redis = await server(t)
  const [one, two] = [replica(t, redis.url), replica(t, redis.url)]
  await Promise.all([one.tried, two.tried])
  t.is(await one.add([entry(jti('a'))]), 'stored')
  await until(() => isRevoked(two, 'a'), 'read by the other')
  t.is(await one.remove(jti('a')), 1)
  await until(() => !isRevoked(two, 'a'), 'taken back at the other')
})

redisTest(
  'issue (d): an entry that is added again is one entry, with the later of the two ends',
  async (t) => {
    const redis = await server(t)
    const store = await connect(t, redis)
    await store.add([entry(jti('a'), later)])
    await store.add([entry(jti('a'), later - 500)])
    t.deepEqual(store.list(), [entry(jti('a'), later)])
    await store.add([entry({ jti: 'a', issuer }, later + 500)])
    t.deepEqual(store.list(), [entry(jti('a'), later + 500)])
    await store.add([entry(jti('a'), Number.POSITIVE_INFINITY)])
    t.is(store.list()[0]?.until, Number.POSITIVE_INFINITY)
    t.is(await redis.cli('ZCARD', revocationsName), '1')
  },
)

redisTest(
  'policy.md: every kind of entry comes back as it was written, any text in it',
  async (t) => {
    const store = await connect(t, await server(t))
    const strange = '\u{1f525}é\u202e"\\\r\n\t\0__proto__ * 1 SET'
    const entries = [
      { issuer, jti: strange },
      { issuer: strange, subject: strange, before: now },
      { issuer, subject: '__proto__' },
      { issuer, session: strange, before: 1 },
      { issuer, key: 'constructor' },
      { presenter: orders, before: now + 5 },
      { presenter: orders },
      { certificate: 'A'.repeat(43) },
    ].map((revocation) => entry(revocation))
    t.is(await store.add(entries), 'stored')
    const sorted = (list: readonly RevocationEntry[]) =>
      list
        .map((each) =>
          JSON.stringify(
            each,
            Object.keys({
              until: 0,
              revocation: 0,
              issuer: 0,
              jti: 0,
              subject: 0,
              session: 0,
              key: 0,
              presenter: 0,
              certificate: 0,
              before: 0,
            }),
          ),
        )
        .sort()
    t.deepEqual(sorted(store.list()), sorted(entries))
  },
)

redisTest(
  'issue (c): the longest identifiers that may be revoked are in force, or it is said that they are not',
  async (t) => {
    const store = await connect(t, await server(t))
    for (const char of ['a', '"', '\u0001', '\u{1f525}']) {
      const id = char.repeat(2048 / char.length)
      const outcome = await store.add([entry({ issuer: `https://${id}`.slice(0, 2048), jti: id })])
      const shown = { issuer: `https://${id}`.slice(0, 2048), tokenId: id }
      const facts = { ...shown, subject: 's', session: undefined, keyId: undefined }
      const rest = { issuedAt: now, workloads: [], certificates: [] }
      const inForce = store.index?.find({ ...facts, ...rest }, now) === 'token'
      t.is(outcome, inForce ? 'stored' : 'unavailable', JSON.stringify(char))
    }
  },
)

redisTest(
  'revoke undo: every entry of that name is taken back, whatever its before, and no other',
  async (t) => {
    const redis = await server(t)
    const [one, two] = [await connect(t, redis), await connect(t, redis)]
    await one.add([
      entry({ issuer, subject: 'jane', before: now }),
      entry({ issuer, subject: 'jane', before: now - 9 }),
      entry({ issuer, subject: 'jane' }),
      entry({ issuer, subject: 'joe' }),
      entry({ issuer: 'https://other.example', subject: 'jane' }),
      entry({ issuer, session: 'jane' }),
    ])
    await two.refresh()
    t.is(await two.remove({ issuer, subject: 'jane' }), 3)
    t.is(await two.remove({ issuer, subject: 'jane' }), 0)
    await one.refresh()
    t.is(one.list().length, 3)
  },
)

redisTest(
  'issue (e): what has ended is not read, and is deleted by the server’s clock with the next entry',
  async (t) => {
    const redis = await server(t)
    const past = Math.floor(Date.now() / 1000) - 3600
    let time = past
    const store = await connect(t, redis, () => time)
    await store.add([entry(jti('a'), past + 10), entry(jti('b'), past + 7200)])
    t.is(store.list().length, 2)
    time = past + 10
    const fresh = await connect(t, redis, () => time)
    await fresh.refresh()
    t.deepEqual(fresh.list(), [entry(jti('b'), past + 7200)])
    await store.add([entry(jti('c'), past + 7200)])
    t.is(await redis.cli('ZCARD', revocationsName), '2')
  },
)

redisTest('a writer whose clock is far ahead deletes nothing that is in force', async (t) => {
  const redis = await server(t)
  const today = Math.floor(Date.now() / 1000)
  const store = await connect(t, redis, () => today)
  await store.add([entry(jti('a'), today + 3600)])
  const ahead = await connect(t, redis, () => today + 86_400)
  await ahead.add([entry(jti('b'), today + 90_000)])
  t.is(await redis.cli('ZCARD', revocationsName), '2')
})

redisTest('issue (d): a replayed SET whose entry has ended revokes nothing', async (t) => {
  const redis = await server(t)
  const store = await connect(t, redis)
  t.is(await store.add([entry({ issuer, subject: 'jane', before: now - 1e7 }, now - 1)]), 'stored')
  t.is(store.index?.size, 0)
})

redisTest(
  'issue (d): after a kill without data the replicas offer again what they know',
  async (t) => {
    const redis = await server(t)
    const [one, two] = [replica(t, redis.url), replica(t, redis.url)]
    await Promise.all([one.tried, two.tried])
    await one.add([entry(jti('a'))])
    await until(() => isRevoked(two, 'a'), 'read by the other')
    await redis.restart()
    await until(async () => (await redis.cli('ZCARD', revocationsName)) === '1', 'offered again')
    const third = replica(t, redis.url)
    await third.tried
    await until(() => isRevoked(third, 'a'), 'known to a replica that comes new')
    t.true(isRevoked(one, 'a') && isRevoked(two, 'a'))
  },
)

redisTest(
  'issue (c): a revocation into a server that has lost its data is read by every replica',
  async (t) => {
    const redis = await server(t)
    const [one, two] = [await connect(t, redis), await connect(t, redis)]
    await one.add([entry(jti('a'))])
    await two.refresh()
    await redis.cli('FLUSHALL')
    // A command that knows nothing comes first: the number of changes is then what it was before the loss.
    t.is(await (await connect(t, redis)).add([entry(jti('b'))]), 'stored')
    await one.refresh()
    await two.refresh()
    t.true(isRevoked(one, 'b'))
    t.true(isRevoked(two, 'b'))
  },
)

redisTest(
  'issue (d): what the replicas know survives a loss of data, whoever writes first after it',
  async (t) => {
    const redis = await server(t)
    const one = await connect(t, redis)
    await one.add([entry(jti('a'))])
    await one.add([entry(jti('a2'))])
    await redis.cli('FLUSHALL')
    t.is(await (await connect(t, redis)).add([entry(jti('b'))]), 'stored')
    await one.refresh()
    await one.refresh()
    t.true(isRevoked(one, 'a'), 'still refused by the replica that knew it')
    const fresh = await connect(t, redis)
    await fresh.refresh()
    t.true(isRevoked(fresh, 'a'), 'and by one that comes new')
    t.true(isRevoked(fresh, 'b'))
  },
)

redisTest('issue (d): what was undone does not come back by itself', async (t) => {
  const redis = await server(t)
  const [one, two] = [await connect(t, redis), await connect(t, redis)]
  await one.add([entry(jti('a'))])
  await two.refresh()
  await one.remove(jti('a'))
  await two.refresh()
  await one.refresh()
  t.is(await redis.cli('ZCARD', revocationsName), '0')
  t.false(isRevoked(two, 'a'))
})

const member = (value: unknown) => JSON.stringify(value)
const hostile: readonly (readonly [what: string, text: string])[] = [
  ['no JSON', '{"issuer":'],
  ['no object', '"a"'],
  ['null', 'null'],
  ['a list', '[]'],
  ['nothing named', member({ issuer })],
  ['two names', member({ issuer, jti: 'evil', subject: 'evil' })],
  ['no issuer', member({ jti: 'evil' })],
  ['an issuer too many', member({ issuer, presenter: 'evil' })],
  ['a number for a name', member({ issuer, jti: 1 })],
  ['a list of names', member({ issuer, jti: ['evil'] })],
  ['an unknown member', member({ evil: 1, issuer, jti: 'evil' })],
  ['__proto__', `{"__proto__":{"jti":"evil"},"issuer":"${issuer}"}`],
  ['__proto__ with all', `{"__proto__":{"jti":"evil","issuer":"${issuer}"}}`],
  ['a fraction as before', member({ before: 1.5, issuer, subject: 'evil' })],
  ['a text as before', member({ before: '9', issuer, subject: 'evil' })],
  ['names in another order', member({ jti: 'evil', issuer })],
  ['a key twice', `{"issuer":"${issuer}","jti":"good","jti":"evil"}`],
  ['spaces', `{ "issuer": "${issuer}", "jti": "evil" }`],
  ['a wildcard', member({ issuer, jti: '*' })],
  ['a megabyte', member({ issuer, jti: 'e'.repeat(2 ** 20) })],
]

redisTest('members that are none of ours hit nothing, and hide nothing', async (t) => {
  const redis = await server(t)
  const store = await connect(t, redis)
  await store.add([entry(jti('a'))])
  for (const [what, text] of hostile) {
    // redis-cli takes no argument of a megabyte.
    if (text.length < 100_000) await redis.cli('ZADD', revocationsName, String(later), text)
    else
      await redis.cli(
        'EVAL',
        `return redis.call('ZADD', KEYS[1], ${later}, string.rep('e', ${text.length}))`,
        '1',
        revocationsName,
      )
    await renewMark(redis)
    await store.refresh()
    t.false(isRevoked(store, 'evil'), what)
    t.false(isRevoked(store, 'good'), what)
    t.true(isRevoked(store, 'a'), what)
  }
})

/** As every writer does: a reading that finds the old mark would not look at the set. */
async function renewMark(redis: RunningRedis): Promise<void> {
  await redis.cli('SET', `${revocationsName}:version`, randomUUID())
}

/** Entries that the server writes itself, in portions: one long script would look like a server that hangs. */
async function fill(
  redis: RunningRedis,
  count: number,
  score: number,
  text: string,
): Promise<void> {
  const script = `for i = ARGV[1], ARGV[2] do redis.call('ZADD', KEYS[1], ${score}, string.format(ARGV[3], i)) end`
  for (let from = 1; from <= count; from += 5000) {
    const to = Math.min(count, from + 4999)
    await redis.cli('EVAL', script, '1', revocationsName, String(from), String(to), text)
  }
  await renewMark(redis)
}

redisTest(
  'twice the entries that may be written are read; far more are an error that leaves the last good ones in force',
  async (t) => {
    const redis = await server(t)
    const store = await connect(t, redis)
    await fill(redis, 200_000, later, `{"issuer":"${issuer}","jti":"id-%d"}`)
    await store.refresh()
    t.is(store.index?.size, 200_000)
    t.true(isRevoked(store, 'id-200000'))
    await fill(redis, 10_000, later, `{"issuer":"${issuer}","jti":"more-%d"}`)
    await t.throwsAsync(store.refresh(), { message: /^more than 200000 revocations/ })
    t.true(isRevoked(store, 'id-200000'))
  },
)

redisTest('the bound counts every member: junk does not push entries out of sight', async (t) => {
  const redis = await server(t)
  const store = await connect(t, redis)
  await fill(redis, 210_000, later - 1, 'junk %d')
  await fill(redis, 2, later, `{"issuer":"${issuer}","jti":"id-%d"}`)
  const read = await store.refresh().then(
    () => 'read',
    () => 'refused',
  )
  t.true(
    read === 'refused' || isRevoked(store, 'id-2'),
    'all is in force, or it is said that it is not',
  )
})

redisTest('a full store takes nothing more, and what is in force stays readable', async (t) => {
  const redis = await server(t)
  const store = await connect(t, redis)
  await fill(redis, 100_000, later, `{"issuer":"${issuer}","jti":"id-%d"}`)
  await store.refresh()
  t.is(await store.add([entry(jti('one-more'))]), 'unavailable')
  const fresh = await connect(t, redis)
  await t.notThrowsAsync(fresh.refresh(), 'a replica that comes new can read what is there')
})

redisTest(
  'a login that may not write revokes nothing and says so; a reading one still reads',
  async (t) => {
    const redis = await server(t)
    const writer = await connect(t, redis)
    await writer.add([entry(jti('a'))])
    await redis.cli(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>secret',
      '~*',
      '+@connection',
      '+@read',
      '+info',
      '+set',
    )
    const url = redis.url.replace('//', '//reader:secret@')
    const reader = await connect(t, { ...redis, url })
    await reader.refresh()
    t.true(isRevoked(reader, 'a'))
    t.is(await reader.add([entry(jti('b'))]), 'unavailable')
    t.false(isRevoked(reader, 'b'))
    await t.throwsAsync(reader.remove(jti('a')), { message: /NOPERM/ })
    t.true(isRevoked(reader, 'a'))
  },
)

redisTest(
  'a login without rights on the entries never has an index: nobody knows what was revoked',
  async (t) => {
    const redis = await server(t)
    await redis.cli(
      'ACL',
      'SETUSER',
      'old',
      'on',
      '>secret',
      '~meshbind:replay:*',
      '~meshbind:since',
      '+@all',
    )
    const store = await connect(t, { ...redis, url: redis.url.replace('//', '//old:secret@') })
    await t.throwsAsync(store.refresh(), { message: /NOPERM/ })
    t.is(store.index, undefined)
    t.is(store.readAt, Number.NEGATIVE_INFINITY)
  },
)

redisTest(
  'F15: while the server is away nothing is read, and the time of the last reading stays',
  async (t) => {
    const redis = await server(t)
    let time = now
    const store = await connect(t, redis, () => time)
    await store.add([entry(jti('a'))])
    t.is(store.readAt, now)
    await redis.kill()
    time = now + 400
    await t.throwsAsync(store.refresh())
    t.is(store.readAt, now)
    t.true(isRevoked(store, 'a'), 'the last good ones stay')
    t.is(await store.add([entry(jti('b'))]), 'unavailable')
  },
)

redisTest('a set that is of another type is an error, never an empty list', async (t) => {
  const redis = await server(t)
  await redis.cli('SET', revocationsName, 'x')
  const store = await connect(t, redis)
  await t.throwsAsync(store.refresh(), { message: /WRONGTYPE/ })
  t.is(store.index, undefined)
  t.is(await store.add([entry(jti('a'))]), 'unavailable')
})

redisTest(
  'issue (d): a failover to a server that is behind forgets nothing that a replica knows, whatever is written to it first',
  async (t) => {
    const redis = await server(t)
    const store = await connect(t, redis)
    await store.add([entry(jti('old'))])
    const epoch = await redis.cli('GET', 'meshbind:revocations:epoch')
    const version = await redis.cli('GET', 'meshbind:revocations:version')
    await store.add([entry(jti('x'))])
    // The follower has everything but the last write.
    await redis.cli('FLUSHALL')
    await redis.cli('SET', 'meshbind:revocations:epoch', epoch)
    await redis.cli('SET', 'meshbind:revocations:version', version)
    await redis.cli('ZADD', revocationsName, String(later), JSON.stringify(jti('old')))
    const writer = await connect(t, redis)
    t.is(await writer.add([entry(jti('y'))]), 'stored')
    store.suspectLoss() // as on every new connection
    await store.refresh()
    for (const id of ['old', 'x', 'y']) t.true(isRevoked(store, id), id)
    await writer.refresh()
    t.true(isRevoked(writer, 'x'), 'told again to everybody')
  },
)

redisTest('a set that is evicted under the same mark is told again', async (t) => {
  const redis = await server(t)
  const store = await connect(t, redis)
  await store.add([entry(jti('old'))])
  await redis.cli('DEL', revocationsName)
  await store.refresh()
  t.true(isRevoked(store, 'old'))
  t.is(await redis.cli('ZCARD', revocationsName), '1')
})

redisTest('an undo is taken over by every replica, and is no loss', async (t) => {
  const redis = await server(t)
  const [one, two] = [await connect(t, redis), await connect(t, redis)]
  await one.add([entry(jti('a')), entry(jti('b'))])
  await two.refresh()
  t.is(await one.remove(jti('a')), 1)
  await two.refresh()
  t.false(isRevoked(two, 'a'))
  t.true(isRevoked(two, 'b'))
  t.is(await one.remove(jti('b')), 1)
  await two.refresh()
  t.false(isRevoked(two, 'b'), 'also the last one: an empty set under another mark')
})
