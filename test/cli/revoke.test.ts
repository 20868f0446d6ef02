/** `meshbind revoke` as operators and preStop hooks run it: the real command against a real Redis. */

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import anyTest, { type TestFn } from 'ava'
import { revocationsName } from '../../src/state/redis-revocations.ts'
import { canRunRedis, type RunningRedis, startRedis } from '../support/redis.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const password = 'geheim-4711'
const issuer = 'https://idp.example'
const job = 'spiffe://mesh.example/ns/batch/sa/job-42'
const x5t = 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2'

interface Context {
  redis: RunningRedis
  state: string
}
const test = anyTest as TestFn<Context>
/** One after another: they share the server, which each finds empty. */
const redisTest = canRunRedis() ? test.serial : test.serial.skip

test.before(async (t) => {
  if (!canRunRedis()) return
  const redis = await startRedis()
  await redis.cli('ACL', 'SETUSER', 'writer', 'on', `>${password}`, '~*', '+@all')
  t.context = { redis, state: redis.url.replace('//', `//writer:${password}@`) }
})
test.beforeEach(async ({ context }) => {
  if (context.redis !== undefined) await context.redis.cli('FLUSHALL')
})
test.after.always(({ context }) => context.redis?.stop())

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function revoke(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const env = { PATH: process.env['PATH'], ...environment }
  const options = { env, timeout: 60_000, killSignal: 'SIGKILL' as const }
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, 'revoke', ...args],
      options,
      (error, stdout, stderr) =>
        resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr }),
    )
  })
}

const subject = (sub: string) => ['--issuer', issuer, '--subject', sub]

redisTest('contract §1: every example of --help does what it shows', async (t) => {
  const { redis } = t.context
  const pages = await Promise.all(
    [['--help'], ['list', '--help'], ['undo', '--help']].map((args) => revoke(args)),
  )
  const lines = pages.flatMap(({ stdout }) =>
    stdout.split('\n').filter((line) => line.includes('$ meshbind ')),
  )
  t.true(lines.length >= 7, lines.join('\n'))
  for (const line of lines) {
    const words = line.trim().split(' ').slice(3)
    const { code, stderr } = await revoke(
      words.map((word) => word.replace('redis://redis:6379', redis.url)),
    )
    t.deepEqual([code, stderr], [0, ''], line)
  }
})

redisTest('contract §1: what is revoked is listed, undone, and then listed no more', async (t) => {
  const { state } = t.context
  const env = { MESHBIND_STATE: state }
  const done = await revoke([...subject('jane'), '--before', '2026-11-22T10:00:00Z'], env)
  t.deepEqual([done.code, done.stderr], [0, ''])
  t.is(
    done.stdout,
    'revoked: subject jane of https://idp.example, tokens issued before 2026-11-22T10:00:00Z\n' +
      'In force on every replica within 2 s; forgotten at 2026-12-22T10:05:00Z.\n',
  )
  t.is(
    (await revoke(['list'], env)).stdout,
    'subject jane of https://idp.example, tokens issued before 2026-11-22T10:00:00Z  (forgotten at 2026-12-22T10:05:00Z)\n',
  )
  const undone = await revoke(['undo', ...subject('jane')], env)
  t.deepEqual(
    [undone.code, undone.stdout],
    [0, 'undone: subject jane of https://idp.example (1)\n'],
  )
  t.deepEqual(await revoke(['undo', ...subject('jane')], env), {
    code: 1,
    stdout: 'no such entry\n',
    stderr: '',
  })
  t.deepEqual(await revoke(['list'], env), { code: 0, stdout: 'nothing is revoked\n', stderr: '' })
})

redisTest(
  'contract §1: --output json is one value, the same for revoke, list and undo',
  async (t) => {
    const { state } = t.context
    const json = async (...args: string[]) =>
      JSON.parse((await revoke([...args, '--state', state, '--output', 'json'])).stdout)
    const entries = [
      [['--issuer', issuer, '--key', 'key-1'], { issuer, key: 'key-1', kind: 'key', until: null }],
      [['--presenter', job], { presenter: job, kind: 'presenter', until: null }],
      [['--certificate', x5t], { certificate: x5t, kind: 'certificate', until: null }],
      [
        ['--issuer', issuer, '--session', 's'],
        { issuer, session: 's', kind: 'session', until: null },
      ],
    ] as const
    for (const [args, expected] of entries) t.deepEqual(await json(...args), expected)
    const found = await json('list')
    t.deepEqual(found.map(({ kind }: { kind: string }) => kind).sort(), [
      'certificate',
      'key',
      'presenter',
      'session',
    ])
    for (const [args] of entries) t.deepEqual(await json('undo', ...args), { removed: 1 })
    t.deepEqual(await json('list'), [])
  },
)

redisTest(
  'contract §1: --before now hits tokens of this very second, --for ends the entry',
  async (t) => {
    const { redis, state } = t.context
    const from = Math.floor(Date.now() / 1000)
    const args = [
      '--presenter',
      job,
      '--before',
      'now',
      '--for',
      '30m',
      '--state',
      state,
      '--output',
      'json',
    ]
    const { stdout } = await revoke(args)
    const to = Math.floor(Date.now() / 1000)
    const { before, until } = JSON.parse(stdout)
    t.true(before > from && before <= to + 1)
    t.is(Date.parse(until) / 1000, before - 1 + 1800)
    t.is(
      await redis.cli('ZRANGE', revocationsName, '0', '-1'),
      JSON.stringify({ before, presenter: job }),
    )
  },
)

const state = ['--state', 'redis://127.0.0.1:1']
const jti = ['--issuer', issuer, '--jti', 'a']
const bad: readonly (readonly [what: string, args: readonly string[], says: RegExp])[] = [
  ['nothing to revoke', state, /exactly one of --jti, --subject/],
  ['two things', [...state, ...jti, '--subject', 'b'], /exactly one of/],
  ['no issuer', [...state, '--jti', 'a'], /--jti needs the --issuer/],
  [
    'an issuer too many',
    [...state, '--issuer', issuer, '--presenter', job],
    /--issuer does not go with --presenter/,
  ],
  ['an empty jti', [...state, '--issuer', issuer, '--jti', ''], /--jti: is empty/],
  ['an empty issuer', [...state, '--issuer', '', '--jti', 'a'], /--issuer: is empty/],
  [
    'an issuer without end',
    [...state, '--issuer', 'i'.repeat(9000), '--jti', 'a'],
    /--issuer: is empty or too long/,
  ],
  ['no SPIFFE ID', [...state, '--presenter', 'job-42'], /--presenter: is no SPIFFE ID/],
  [
    'a trust domain',
    [...state, '--presenter', 'spiffe://mesh.example'],
    /--presenter: is no SPIFFE ID/,
  ],
  [
    'a wildcard',
    [...state, '--presenter', 'spiffe://mesh.example/*'],
    /--presenter: is no SPIFFE ID/,
  ],
  ['no thumbprint', [...state, '--certificate', 'ab:cd'], /--certificate: is no x5t#S256/],
  ['before for a jti', [...state, ...jti, '--before', 'now'], /--before does not go with --jti/],
  ['no time', [...state, ...subject('a'), '--before', 'yesterday'], /--before: is no time/],
  ['no duration', [...state, ...jti, '--for', '5'], /--for: `5` is no duration/],
  ['no time at all', [...state, ...jti, '--for', '0s'], /--for: `0s` is no duration/],
  ['an unknown word', ['lits', ...state], /too many arguments|unknown command/],
  ['an unknown flag', [...state, ...jti, '--froce'], /unknown option/],
  ['no state', jti, /--state: needs the Redis/],
  ['memory', [...jti, '--state', 'memory'], /memory is known to its own process alone/],
  [
    'another URL',
    [...jti, '--state', `http://u:${password}@h`],
    /--state: neither memory nor a Redis URL/,
  ],
]
for (const [what, args, says] of bad) {
  test.serial(
    `contract §1: ${what} is bad usage: exit code 2, a message, nothing on stdout`,
    async (t) => {
      const { code, stdout, stderr } = await revoke(args)
      t.deepEqual([code, stdout], [2, ''])
      t.regex(stderr, says)
      t.notRegex(stderr, /geheim|\n\s+at /)
    },
  )
}

redisTest(
  'contract §1: a Redis that cannot be used is exit code 3, and no output holds its password',
  async (t) => {
    const { redis } = t.context
    await redis.cli(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      `>${password}`,
      '~*',
      '+@connection',
      '+@read',
      '+info',
      '+set',
    )
    await redis.cli('ACL', 'SETUSER', 'other', 'on', `>${password}`, '~meshbind:since', '+@all')
    const as = (user: string, secret = password) => redis.url.replace('//', `//${user}:${secret}@`)
    await revoke([...jti, '--state', as('writer')])
    for (const [what, args, url] of [
      ['nobody there', jti, `redis://writer:${password}@127.0.0.1:1`],
      ['a wrong password', jti, as('writer', `${password}-wrong`)],
      ['no right to write', jti, as('reader')],
      ['no right to write: undo', ['undo', ...jti], as('reader')],
      ['no right to the entries', ['list'], as('other')],
    ] as const) {
      const { code, stdout, stderr } = await revoke([...args, '--state', url])
      t.deepEqual([code, stdout], [3, ''], `${what}: ${stderr}`)
      t.notRegex(stderr, /geheim|writer|reader/, what)
      t.notRegex(stderr, /\n\s+at /, `${what}: a message, no stack`)
    }
  },
)

redisTest(
  'revoke list shows what strangers have written to the set as text, and does not fail over it',
  async (t) => {
    const { redis, state: url } = t.context
    await revoke(['--issuer', issuer, '--jti', '\u001b[2J\u202eevil\n', '--state', url])
    const { stdout } = await revoke(['list', '--state', url])
    t.regex(stdout, /^jti \\u\{1b\}\[2J\\u\{202e\}evil\\u\{a\} of https:\/\/idp\.example {2}\(/)
    for (const [score, before] of [
      ['1e300', 1],
      ['+inf', Number.MAX_SAFE_INTEGER],
    ] as const) {
      await redis.cli('ZADD', revocationsName, score, JSON.stringify({ before, presenter: job }))
      const listed = await revoke(['list', '--state', url])
      t.is(listed.code, 0, listed.stderr)
      t.regex(listed.stdout, /presenter spiffe/)
    }
  },
)

redisTest('the longest --for that is taken can be shown', async (t) => {
  const { code, stderr } = await revoke([...jti, '--state', t.context.state, '--for', '9999999h'])
  t.deepEqual([code, stderr], [0, ''])
})

redisTest('docs/revocation.md: the rights that it names are enough', async (t) => {
  const { redis } = t.context
  const guide = await readFile(new URL('../../docs/revocation.md', import.meta.url), 'utf8')
  const rights = /^ACL SETUSER meshbind (.*)$/m.exec(guide)?.[1]?.split(' ') ?? []
  t.true(rights.includes('~meshbind:*'))
  await redis.cli(
    'ACL',
    'SETUSER',
    'meshbind',
    ...rights.filter((right) => !right.startsWith('>')),
    `>${password}`,
  )
  await redis.cli('ACL', 'LOG', 'RESET')
  const url = redis.url.replace('//', `//meshbind:${password}@`)
  for (const args of [jti, ['list'], ['undo', ...jti]]) {
    const { code, stderr } = await revoke([...args, '--state', url])
    t.deepEqual([code, stderr], [0, ''], args[0])
  }
  t.is(await redis.cli('ACL', 'LOG'), '', 'nothing was refused on the way')
})
