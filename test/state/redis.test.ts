import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createSharedState, type SharedStateOptions } from '../../src/state/redis.ts'
import type { Spending } from '../../src/state/replay.ts'
import { end, endWithThisProcess } from '../support/envoy.ts'
import { createAuthority } from '../support/pki.ts'
import { canRunRedis, type RunningRedis, startRedis, type TlsFiles } from '../support/redis.ts'

/** One after another: each waits for what a busy machine would make it miss. */
const redisTest = canRunRedis() ? test.serial : test.serial.skip
const now = 1_800_000_000
const limitMs = 20_000

async function server(
  t: ExecutionContext,
  args: readonly string[] = [],
  tls?: TlsFiles,
): Promise<RunningRedis> {
  const redis = await startRedis(args, tls)
  t.teardown(() => redis.stop())
  return redis
}

/** One replica. Patient unless told otherwise, for a machine that is busy with other tests. */
function replica(t: ExecutionContext, url: string, options: Partial<SharedStateOptions> = {}) {
  const changes: { readonly state: 'connected' | 'lost'; readonly problem: string | undefined }[] =
    []
  const state = createSharedState({
    url,
    clock: () => now,
    timeoutMs: 2000,
    ...options,
    onChange: (change, problem) => changes.push({ state: change, problem }),
  })
  t.teardown(() => state.close())
  return {
    state,
    /** The key once it is known, or undefined if it does not come to be. */
    async nonceKey(): Promise<Buffer | undefined> {
      for (let i = 0; i < 50 && state.nonceKey() === undefined; i++) await sleep(20)
      return state.nonceKey()
    },
    changes,
    spend: async (key: string, seconds = 60): Promise<Spending> =>
      state.replay.spend(key, now + seconds, now),
    reached: (wanted: 'connected' | 'lost') =>
      until(() => changes.at(-1)?.state === wanted, `${wanted}, but: ${JSON.stringify(changes)}`),
  }
}

async function connectedReplica(
  t: ExecutionContext,
  url: string,
  options: Partial<SharedStateOptions> = {},
) {
  const made = replica(t, url, options)
  await made.reached('connected')
  return made
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`never ${what}`)
    await sleep(20)
  }
}

/** The answer, and that it came in far less time than a hung server would take. */
async function promptly(t: ExecutionContext, work: Promise<Spending>): Promise<Spending> {
  const start = performance.now()
  const answer = await work
  t.true(performance.now() - start < 2000)
  return answer
}

redisTest(
  'threats F15: a server that is emptied while it is connected calls nothing fresh that was spent',
  async (t) => {
    const redis = await server(t)
    const [one, other] = [
      await connectedReplica(t, redis.url),
      await connectedReplica(t, redis.url),
    ]
    t.is(await one.spend('a'), 'fresh')
    for (const replica of [one, other]) {
      await redis.cli('FLUSHALL')
      t.is(await replica.spend('a'), 'unavailable')
      await replica.reached('lost')
    }
    // The next connection begins anew: proofs from before are refused by the time since when it remembers.
    for (const replica of [one, other]) {
      await replica.reached('connected')
      t.is(replica.state.replay.remembersSince, now)
    }
  },
)

redisTest('a key is fresh once and spent from then on; other keys stay fresh', async (t) => {
  const { spend } = await connectedReplica(t, (await server(t)).url)
  t.is(await spend('a'), 'fresh')
  t.is(await spend('a'), 'spent')
  t.is(await spend('b'), 'fresh')
})

redisTest('what one replica spent is spent at the other', async (t) => {
  const { url } = await server(t)
  const [one, other] = [await connectedReplica(t, url), await connectedReplica(t, url)]
  t.is(await one.spend('a'), 'fresh')
  t.is(await other.spend('a'), 'spent')
  t.is(await other.spend('b'), 'fresh')
  t.is(await one.spend('b'), 'spent')
  t.is(one.state.replay.remembersSince, now)
})

redisTest(
  'of 200 concurrent spends of one key over two replicas exactly one is fresh',
  async (t) => {
    const { url } = await server(t)
    const replicas = [await connectedReplica(t, url), await connectedReplica(t, url)]
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => replicas.map(({ spend }) => spend('a'))).flat(),
    )
    t.is(answers.filter((answer) => answer === 'fresh').length, 1)
    t.is(answers.filter((answer) => answer === 'spent').length, 199)
  },
)

redisTest(
  'a key is kept through its last second, at least for one, and then forgotten',
  async (t) => {
    const redis = await server(t)
    const { spend } = await connectedReplica(t, redis.url)
    await spend('long', 60)
    const ttl = Number(await redis.cli('PTTL', 'meshbind:replay:long'))
    t.true(ttl > 50_000 && ttl <= 61_000, `${ttl} ms`)
    t.is(await spend('past', -100), 'fresh')
    await until(async () => (await spend('past', 60)) === 'fresh', 'forgotten')
  },
)

redisTest('a killed server is unavailable at once, and works again when it is back', async (t) => {
  const redis = await server(t)
  const made = await connectedReplica(t, redis.url)
  t.is(await made.spend('a'), 'fresh')
  await redis.kill()
  for (const key of ['a', 'b', 'c']) t.is(await promptly(t, made.spend(key)), 'unavailable')
  await made.reached('lost')
  await sleep(1500)
  t.is(await promptly(t, made.spend('d')), 'unavailable')
  await redis.restart()
  await made.reached('connected')
  t.is(await made.spend('e'), 'fresh')
  t.deepEqual(
    made.changes.map(({ state }) => state),
    ['connected', 'lost', 'connected'],
  )
})

redisTest('nothing that was asked while the server was away is done when it is back', async (t) => {
  const redis = await server(t)
  const made = await connectedReplica(t, redis.url)
  await redis.kill()
  await made.reached('lost')
  t.is(await made.spend('a'), 'unavailable')
  await redis.restart()
  await made.reached('connected')
  t.is(await made.spend('a'), 'fresh')
})

redisTest('a server that is not there yet is found once it is', async (t) => {
  const redis = await server(t)
  await redis.kill()
  const made = replica(t, redis.url)
  t.is(await promptly(t, made.spend('a')), 'unavailable')
  await made.reached('lost')
  t.regex(made.changes[0]?.problem ?? '', /ECONNREFUSED/)
  await redis.restart()
  await made.reached('connected')
  t.is(await made.spend('a'), 'fresh')
})

redisTest('a connection that the server closes is made anew', async (t) => {
  const redis = await server(t)
  const made = await connectedReplica(t, redis.url)
  for (const key of ['a', 'b']) {
    const before = made.changes.length
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await until(() => made.changes.length >= before + 2, 'lost and connected')
    t.is(await made.spend(key), 'fresh')
  }
})

redisTest(
  'a hung server is unavailable, each call within its limit, and works again when it goes on',
  async (t) => {
    const redis = await server(t)
    const made = await connectedReplica(t, redis.url, { timeoutMs: 50 })
    redis.pause()
    const first = Array.from({ length: 100 }, (_, index) => promptly(t, made.spend(`a${index}`)))
    t.deepEqual(new Set(await Promise.all(first)), new Set(['unavailable']))
    // Steady traffic must not make the connection look alive.
    await until(async () => {
      t.is(await promptly(t, made.spend('b')), 'unavailable')
      return made.changes.at(-1)?.state === 'lost'
    }, 'lost')
    await sleep(2500)
    t.is(await promptly(t, made.spend('c')), 'unavailable')
    redis.resume()
    await made.reached('connected')
    await until(async () => (await made.spend(`d${performance.now()}`)) === 'fresh', 'fresh again')
  },
)

redisTest('a short pause costs its calls and not the connection', async (t) => {
  const redis = await server(t)
  const made = await connectedReplica(t, redis.url, { timeoutMs: 50 })
  redis.pause()
  t.is(await made.spend('a'), 'unavailable')
  redis.resume()
  await until(async () => (await made.spend(`b${performance.now()}`)) === 'fresh', 'fresh again')
  // The late answer went to nobody; what it did stands.
  await until(async () => (await made.spend('a')) === 'spent', 'spent')
})

redisTest('a full server is full, and takes new keys when it has room', async (t) => {
  const redis = await server(t, ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'])
  const made = await connectedReplica(t, redis.url)
  t.deepEqual(made.changes, [{ state: 'connected', problem: undefined }])
  t.is(await made.spend('a'), 'full')
  t.is(await made.spend('a'), 'full')
  await redis.cli('CONFIG', 'SET', 'maxmemory', '0')
  // It had no room for the mark either, so it is taken for one that begins: a key is fresh on the next connection.
  t.is(await made.spend('a'), 'unavailable')
  await until(async () => (await made.spend('b')) === 'fresh', 'fresh')
})

redisTest('a server that may evict keys is told of when it is connected', async (t) => {
  const redis = await server(t, ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
  const { changes } = await connectedReplica(t, redis.url)
  t.deepEqual(changes, [
    {
      state: 'connected',
      problem:
        'maxmemory-policy is allkeys-lru: the server may forget spent proofs; set noeviction',
    },
  ])
})

redisTest('an evicting policy without a memory limit is no problem', async (t) => {
  const redis = await server(t, ['--maxmemory-policy', 'allkeys-lru'])
  const { changes } = await connectedReplica(t, redis.url)
  t.deepEqual(changes, [{ state: 'connected', problem: undefined }])
})

const secret = 'geh/eim:x@y'
const withLogin = (url: string, user: string, password: string) =>
  url.replace('//', `//${user}:${encodeURIComponent(password)}@`)

redisTest(
  'a wrong password is unavailable, is told of without the password, and heals when it is set right',
  async (t) => {
    const redis = await server(t, ['--requirepass', 'another'])
    const made = replica(t, withLogin(redis.url, '', secret))
    await made.reached('lost')
    t.is(await promptly(t, made.spend('a')), 'unavailable')
    t.is(await made.nonceKey(), undefined)
    const problem = made.changes[0]?.problem ?? ''
    t.regex(problem, /WRONGPASS/)
    t.false(problem.includes(secret) || problem.includes(encodeURIComponent(secret)))
    await redis.cli('-a', 'another', '--no-auth-warning', 'CONFIG', 'SET', 'requirepass', secret)
    await made.reached('connected')
    t.is(await made.spend('a'), 'fresh')
  },
)

redisTest('no password where one is needed is told of', async (t) => {
  const { url } = await server(t, ['--requirepass', secret])
  const made = replica(t, url)
  await made.reached('lost')
  t.regex(made.changes[0]?.problem ?? '', /NOAUTH/)
  t.is(await made.spend('a'), 'unavailable')
})

redisTest('the right password opens the server', async (t) => {
  const { url } = await server(t, ['--requirepass', secret])
  const { spend } = await connectedReplica(t, withLogin(url, '', secret))
  t.is(await spend('a'), 'fresh')
  t.is(await spend('a'), 'spent')
})

redisTest(
  'a user with few rights is enough: SET, GET, PING and SELECT on meshbind:*',
  async (t) => {
    const rights = ['on', `>${secret}`, '~meshbind:*', '+set', '+get', '+ping', '+select']
    const redis = await server(t)
    await redis.cli('ACL', 'SETUSER', 'mesh', ...rights)
    const made = await connectedReplica(t, `${withLogin(redis.url, 'mesh', secret)}/3`)
    t.is(await made.spend('a'), 'fresh')
    t.is((await made.nonceKey())?.length, 32)
    t.is(await redis.cli('-n', '3', 'EXISTS', 'meshbind:replay:a'), '1')
  },
)

redisTest(
  'a user without the right to write is told of, and so is a server that turns read-only',
  async (t) => {
    const redis = await server(t)
    await redis.cli('ACL', 'SETUSER', 'mesh', 'on', `>${secret}`, '~*', '+get', '+ping')
    const weak = replica(t, withLogin(redis.url, 'mesh', secret))
    await weak.reached('lost')
    t.regex(weak.changes[0]?.problem ?? '', /NOPERM/)
    const made = await connectedReplica(t, redis.url)
    await redis.cli('REPLICAOF', '127.0.0.1', '1')
    t.is(await made.spend('a'), 'unavailable')
    await made.reached('lost')
    t.regex(made.changes.at(-1)?.problem ?? '', /READONLY/)
    await redis.cli('REPLICAOF', 'NO', 'ONE')
    await made.reached('connected')
    t.is(await made.spend('a'), 'fresh')
  },
)

redisTest(
  'the nonce key is the same at every replica and stays, and a server that lost it is given it again',
  async (t) => {
    const redis = await server(t)
    const [one, other] = [
      await connectedReplica(t, redis.url),
      await connectedReplica(t, redis.url),
    ]
    const keys = await Promise.all([one.nonceKey(), other.nonceKey(), one.nonceKey()])
    t.is(keys[0]?.length, 32)
    for (const key of keys) t.deepEqual(key, keys[0])
    await redis.kill()
    await Promise.all([one.reached('lost'), other.reached('lost')])
    t.deepEqual(await one.nonceKey(), keys[0])
    await redis.restart()
    await Promise.all([one.reached('connected'), other.reached('connected')])
    t.deepEqual(await one.nonceKey(), keys[0])
    const third = await connectedReplica(t, redis.url)
    t.deepEqual(await third.nonceKey(), keys[0])
    t.deepEqual(await other.nonceKey(), keys[0])
  },
)

redisTest('there is no nonce key while the server is down, and one when it is up', async (t) => {
  const redis = await server(t)
  await redis.kill()
  const made = replica(t, redis.url)
  t.is(await made.nonceKey(), undefined)
  await redis.restart()
  await made.reached('connected')
  t.is((await made.nonceKey())?.length, 32)
})

redisTest(
  'a replica that comes back to a server with another nonce key takes that one',
  async (t) => {
    const redis = await server(t)
    const one = await connectedReplica(t, redis.url)
    const old = await one.nonceKey()
    await redis.cli('SET', 'meshbind:nonce-key', 'ab'.repeat(32))
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal')
    await until(() => one.changes.length === 3, 'connected again')
    await until(
      () => one.state.nonceKey()?.equals(Buffer.alloc(32, 0xab)) === true,
      'the other key',
    )
    t.notDeepEqual(one.state.nonceKey(), old)
  },
)

async function tlsFiles(t: ExecutionContext) {
  const authority = await createAuthority()
  const leaf = await authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-redis-tls-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const file = async (name: string, text: string) => {
    await writeFile(join(directory, name), text)
    return join(directory, name)
  }
  const files: TlsFiles = {
    certificate: await file('server.pem', leaf.pem),
    key: await file('server-key.pem', leaf.keyPem),
    ca: await file('ca.pem', authority.certificatePem),
  }
  return { files, ca: authority.certificatePem }
}

redisTest(
  'rediss:// is spoken with a server that the given CA vouches for, and again after a restart',
  async (t) => {
    const { files, ca } = await tlsFiles(t)
    const redis = await server(t, [], files)
    t.regex(redis.url, /^rediss:/)
    const made = await connectedReplica(t, redis.url, { ca })
    t.is(await made.spend('a'), 'fresh')
    t.is(await made.spend('a'), 'spent')
    await redis.restart()
    await until(() => made.changes.length === 3, 'lost and connected')
    t.is(await made.spend('b'), 'fresh')
  },
)

redisTest(
  'rediss:// is not spoken with a server that another CA vouches for, or none that is known',
  async (t) => {
    const { files } = await tlsFiles(t)
    const { url } = await server(t, [], files)
    const other = await createAuthority('another.example')
    for (const options of [{ ca: other.certificatePem }, {}]) {
      const made = replica(t, url, options)
      await made.reached('lost')
      t.regex(made.changes[0]?.problem ?? '', /certificate/)
      t.is(await made.spend('a'), 'unavailable')
    }
  },
)

test.serial('a server that repeats what it is sent gives no credential away', async (t) => {
  const parrot = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      socket.write(`-ERR unknown: ${data.toString().replaceAll('\r\n', ' ')}\r\n`)
    })
  })
  const made = replica(t, withLogin(await addressOf(t, parrot), 'alice', secret))
  await made.reached('lost')
  const problem = made.changes[0]?.problem ?? ''
  t.regex(problem, /ERR unknown: .*AUTH .*\*\*\*/)
  t.notRegex(problem, /geh|eim|alice/)
})

test.serial(
  'a server that accepts and never answers is lost, and tried again for ever',
  async (t) => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => {
      socket.on('error', () => {}).resume()
      sockets.push(socket)
    })
    const made = replica(t, await addressOf(t, mute))
    t.is(await promptly(t, made.spend('a')), 'unavailable')
    await until(() => sockets.length >= 2, 'tried again')
    t.deepEqual(
      made.changes.map(({ state }) => state),
      ['lost'],
    )
    await until(() => sockets.filter(({ destroyed }) => !destroyed).length <= 1, 'tidied up')
  },
)

async function addressOf(t: ExecutionContext, listener: ReturnType<typeof createServer>) {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void listener.close())
  const address = listener.address()
  return `redis://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

test.serial(
  'every replica learns since when the server remembers, and a server without its data begins anew',
  async (t) => {
    const redis = await server(t)
    let time = now
    const first = await connectedReplica(t, redis.url, { clock: () => time })
    t.is(first.state.replay.remembersSince, now)
    time += 100
    const second = await connectedReplica(t, redis.url, { clock: () => time })
    t.is(second.state.replay.remembersSince, now)
    await redis.kill()
    await first.reached('lost')
    await redis.restart()
    await first.reached('connected')
    await second.reached('connected')
    t.is(first.state.replay.remembersSince, now + 100)
    t.is(second.state.replay.remembersSince, now + 100)
  },
)

test('what is no Redis URL is refused without being cited', (t) => {
  for (const url of [
    '',
    'secret',
    'http://u:secret@h',
    'redis://u:secret@h/db',
    'redis://u:secret%@h',
    'redis://u:secret@h:99999',
    'unix:///secret',
  ]) {
    const error = t.throws(
      () => createSharedState({ url, clock: () => now, onChange: () => {} }),
      undefined,
      url,
    )
    t.false(JSON.stringify([error?.message, error?.cause, error?.stack]).includes('secret@'), url)
  }
})

test.serial('a listener that throws ends nothing', async (t) => {
  const state = createSharedState({
    url: 'redis://127.0.0.1:1',
    clock: () => now,
    onChange: () => {
      throw new Error('a bug')
    },
  })
  t.teardown(() => state.close())
  await sleep(300)
  t.is(await state.replay.spend('a', now + 60, now), 'unavailable')
})

const module = fileURLToPath(new URL('../../src/state/redis.ts', import.meta.url))

/** A process that makes a shared state, waits, closes it, and has nothing left to do. */
async function runAndClose(t: ExecutionContext, url: string, wait: string): Promise<void> {
  const script = `
    import { setTimeout as sleep } from 'node:timers/promises'
    import { createSharedState } from ${JSON.stringify(module)}
    let connected
    const connection = new Promise((resolve) => { connected = resolve })
    const state = createSharedState({
      url: ${JSON.stringify(url)},
      clock: () => 0,
      onChange: (change) => change === 'connected' && connected(),
    })
    ${wait}
    const open = state.replay.spend('k', 100, 50)
    await state.close()
    await state.close()
    console.log(await open, await state.replay.spend('l', 100, 50))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWithThisProcess(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  const timer = setTimeout(() => void end(child), limitMs)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  t.is(code, 0, output)
  t.regex(output, /^(fresh|unavailable) unavailable\n$/)
}

redisTest('close lets the process end: connected, hung, or with a call under way', async (t) => {
  const redis = await server(t)
  await runAndClose(t, redis.url, 'await connection')
  redis.pause()
  await runAndClose(t, redis.url, 'await sleep(300)')
})

test.serial(
  'close lets the process end: before the connection, and while the server is away',
  async (t) => {
    await Promise.all([
      runAndClose(t, 'redis://127.0.0.1:1', ''),
      runAndClose(t, 'redis://127.0.0.1:1', 'await sleep(500)'),
      // An address that swallows what is sent to it, if this machine has a route at all.
      runAndClose(t, 'redis://192.0.2.1:6379', 'await sleep(300)'),
      runAndClose(t, 'rediss://192.0.2.1:6379', 'await sleep(300)'),
    ])
  },
)
