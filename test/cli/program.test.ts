import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function meshbind(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const env = { PATH: process.env['PATH'], ...environment }
  const options = { env, timeout: 30_000, killSignal: 'SIGKILL' as const }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr })
    })
    child.stdin?.end()
  })
}

const commands = [
  ...[
    '',
    'serve',
    'policy',
    'policy validate',
    'policy test',
    'policy schema',
    'explain',
    'inspect',
  ],
  ...['doctor', 'check', 'revoke', 'revoke list', 'revoke undo', 'rollout', 'version'],
]
for (const command of commands) {
  test(`contract §1: meshbind ${command} --help explains itself with examples and ends with 0`, async (t) => {
    const words = command.split(' ').filter((word) => word !== '')
    const { code, stdout, stderr } = await meshbind([...words, '--help'])
    t.deepEqual([code, stderr], [0, ''])
    t.true(stdout.startsWith(`Usage: ${['meshbind', ...words].join(' ')}`), stdout)
    t.regex(stdout, /\nExamples:\n {2}\$ .*meshbind /)
  })
}

test('contract §3: serve --help names every flag with its environment variable and default', async (t) => {
  const { stdout } = await meshbind(['serve', '--help'])
  const text = stdout.replace(/\s+/g, ' ')
  const flags: { readonly [flag: string]: string } = {
    '--policy': 'env: MESHBIND_POLICY',
    '--listen': 'default: 127.0.0.1:9191, env: MESHBIND_LISTEN',
    '--tls-cert': 'env: MESHBIND_TLS_CERT',
    '--tls-key': 'env: MESHBIND_TLS_KEY',
    '--tls-client-ca': 'env: MESHBIND_TLS_CLIENT_CA',
    '--admin': 'default: "127.0.0.1:9464", env: MESHBIND_ADMIN',
    '--probe': 'default: "off", env: MESHBIND_PROBE',
    '--max-connection-age': 'default: "off", env: MESHBIND_MAX_CONNECTION_AGE',
    '--replicas': 'default: "1", env: MESHBIND_REPLICAS',
    '--shutdown-delay': 'default: "0s", env: MESHBIND_SHUTDOWN_DELAY',
    '--deadline': 'default: "150ms", env: MESHBIND_DEADLINE',
    '--max-in-flight': 'default: "1024", env: MESHBIND_MAX_IN_FLIGHT',
    '--log-level': 'default: "info", env: MESHBIND_LOG_',
    '--decision-log': 'default: "deny", env: MESHBIND_LOG_',
    '--drain': 'default: "10s", env: MESHBIND_DRAIN',
  }
  for (const [flag, said] of Object.entries(flags)) {
    const own = text.slice(text.indexOf(` ${flag} `) + 1).split(/ (?=--)/)[0] ?? ''
    t.true(own.startsWith(flag) && own.includes(said), `${flag}: ${own}`)
  }
})

const usage: readonly (readonly [args: string, said: RegExp])[] = [
  ['serv', /unknown command 'serv'\s+\(Did you mean serve\?\)/],
  ['policy validat x', /unknown command 'validat'\s+\(Did you mean validate\?\)/],
  ['nothing', /unknown command 'nothing'\s.*--help/s],
  ['policy', /Usage: meshbind policy/],
  ['', /Usage: meshbind/],
  ['version --outpt json', /unknown option '--outpt'\s+\(Did you mean --output\?\)/],
  ['version --output yaml', /'yaml' is invalid\. Allowed choices are text, json/],
  ['version extra', /too many arguments/],
  ['policy validate', /missing required argument 'file'/],
  ['policy validate --strict x', /unknown option '--strict'/],
  ['serve', /required option '--policy <file>' not specified/],
  ['serve --policy', /'--policy <file>' argument missing/],
]
for (const [args, said] of usage) {
  test(`contract §1: bad usage is exit code 2 and a message on stderr: meshbind ${args}`, async (t) => {
    const { code, stdout, stderr } = await meshbind(args.split(' ').filter((word) => word !== ''))
    t.deepEqual([code, stdout], [2, ''])
    t.regex(stderr, said)
    t.notRegex(stderr, / at .*:\d+:\d+/)
  })
}

const aDuration = /is no duration; write it like 150ms, 10s or 1m/
const tooLong = /is too long; the longest is 28800m \(20 days\)/
const anAddress = /is no address; write host:port \(127\.0\.0\.1:9191\) or unix:\/absolute\/path/
const together = /--tls-cert and --tls-key go together; --tls-client-ca needs both/
const values: readonly (readonly [flag: string, given: readonly string[], said: RegExp])[] = [
  ['--deadline', ['5', '0ms', '-1s', '1.5s', '1h', '150 ms', '9999999ms', 'Infinity'], aDuration],
  ['--drain', ['forever', '10', '1e3s', '010s', '0s'], aDuration],
  ['--drain', ['28801m', '999999m'], tooLong],
  ['--shutdown-delay', ['off', '0', '00s', '-1s', '5'], aDuration],
  ['--shutdown-delay', ['28801m'], tooLong],
  ['--max-connection-age', ['5', '0s', 'on', 'OFF'], aDuration],
  ['--max-connection-age', ['999ms', '1ms'], /is too short; write 1s or more, or off/],
  ['--max-connection-age', ['28801m'], tooLong],
  ['--max-in-flight', ['0', '-1', '1e3', '1.5', '0x10', 'many'], /is no positive whole number/],
  ['--replicas', ['0', '-1', '1.5', 'two'], /is no positive whole number/],
  ['--listen', ['nowhere', ':80', 'unix:relative', '127.0.0.1', 'a b:1', '::1:80'], anAddress],
  [
    '--admin',
    ['on', '9464', 'http://127.0.0.1:9464/', 'unix:/a'],
    /write host:port \(127\.0\.0\.1:9464\) or off/,
  ],
  ['--probe', ['on', '9465', 'unix:/a'], /write host:port \(127\.0\.0\.1:9464\) or off/],
  ['--log-level', ['loud', 'INFO'], /Allowed choices are debug, info, warn, error/],
  ['--decision-log', ['some', 'sample', 'sample:0', 'sample:x', 'ALL'], /all, deny, sample:N, off/],
  ['--tls-cert', ['a.pem'], together],
  ['--tls-key', ['a.pem'], together],
  ['--tls-client-ca', ['a.pem'], together],
]
for (const [flag, given, said] of values) {
  test(`contract §3: a bad value of ${flag}, such as ${given[0]}, is exit code 2 with the fix in the message`, async (t) => {
    for (const value of given) {
      const { code, stdout, stderr } = await meshbind([
        'serve',
        '--policy',
        'none.yaml',
        flag,
        value,
      ])
      t.deepEqual([code, stdout], [2, ''], value)
      t.regex(stderr, said)
      t.true(stderr.includes(flag), stderr)
    }
  })
}

test('contract §3: a port over 65535 is no address', async (t) => {
  const { code, stderr } = await meshbind(['serve', '--policy', 'none.yaml', '--listen', 'h:65536'])
  t.is(code, 2)
  t.regex(stderr, anAddress)
})

test('contract §3: environment variables are judged like flags, and a flag goes before one', async (t) => {
  const environment = { MESHBIND_POLICY: 'none.yaml', MESHBIND_DEADLINE: 'soon' }
  const bad = await meshbind(['serve'], environment)
  t.is(bad.code, 2)
  t.regex(bad.stderr, aDuration)
  const overridden = await meshbind(['serve', '--deadline', '1s'], environment)
  t.deepEqual([overridden.code, overridden.stderr], [2, 'none.yaml: there is no such file\n'])
})

test('contract §3: MESHBIND_LISTEN takes several addresses, as --listen does', async (t) => {
  const environment = { MESHBIND_POLICY: 'none.yaml', MESHBIND_LISTEN: 'h:1,unix:/x.sock' }
  t.is((await meshbind(['serve'], environment)).stderr, 'none.yaml: there is no such file\n')
  const one = await meshbind(['serve'], { ...environment, MESHBIND_LISTEN: 'h:1,nowhere' })
  t.regex(one.stderr, /--listen: `nowhere` is no address/)
})

test('contract §1: serve with a policy that cannot be used is exit code 2, with the problems', async (t) => {
  const { code, stdout, stderr } = await meshbind(['serve', '--policy', main])
  t.deepEqual([code, stdout], [2, ''])
  t.true(stderr.startsWith(`${main}:`), stderr)
  t.regex(stderr, /The policy is not valid; nothing was started\.\n$/)
})

test('contract §1: version tells version, commit and Node, as text and as JSON', async (t) => {
  const { version } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  const text = await meshbind(['version'])
  const node = process.versions.node
  t.deepEqual([text.code, text.stderr], [0, ''])
  t.regex(text.stdout, /^meshbind \S+ \(commit \S+, Node \S+\)\n$/)
  t.true(
    text.stdout.startsWith(`meshbind ${version} (commit `) && text.stdout.includes(`Node ${node})`),
  )
  const json = await meshbind(['version', '--output', 'json'])
  t.is(json.code, 0)
  const { commit, ...others } = JSON.parse(json.stdout)
  t.deepEqual(others, { version, node })
  t.regex(commit, /^(unknown|[0-9a-f]{7,40})$/)
})
