import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const shop = fileURLToPath(new URL('../../examples/shop', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'meshbind-policy-test-'))
test.after.always(() => rm(directory, { recursive: true, force: true }))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One at a time: many processes that start at once on two cores would take longer than each may. */
function testPolicies(...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'policy', 'test', ...args], {
    cwd: directory,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
}

const health = `apiVersion: meshbind/v1alpha1
kind: PolicyTest
policy: ./policy.yaml
now: 2026-01-01T12:00:00Z
tests:
  - { name: public, request: { method: GET, host: a.example, path: /healthz }, expect: allow }
`

/** A directory of its own for each test, with the policy of examples/shop. */
async function place(name: string, files: { readonly [file: string]: string }): Promise<string> {
  await mkdir(join(directory, name))
  await cp(join(shop, 'policy.yaml'), join(directory, name, 'policy.yaml'))
  for (const [file, text] of Object.entries(files))
    await writeFile(join(directory, name, file), text)
  return name
}

test.serial(
  'contract §1: examples/shop passes in full: exit 0, plain text, nothing on stderr',
  async (t) => {
    const { code, stdout, stderr } = await testPolicies('--require-coverage', shop)
    t.deepEqual([code, stderr], [0, ''])
    t.regex(stdout, /\n {2}✓ a stolen token is refused {2}deny: binding_mismatch\n/)
    t.regex(stdout, /\n26 passed, 0 failed\n$/)
    t.false(stdout.includes('\x1b'))
  },
)

test.serial(
  'contract §1: a test that fails: exit 1, with what was expected, what came, and the place',
  async (t) => {
    const name = await place('fails', { 'a.test.yaml': health.replace('allow', 'deny') })
    const { code, stdout, stderr } = await testPolicies(name)
    t.deepEqual([code, stderr], [1, ''])
    t.regex(stdout, /✗ public\n +expected +deny\n +got +allow\n/)
    t.regex(stdout, / at +fails\/a\.test\.yaml:6\n/)
  },
)

test.serial(
  'a route that no test reaches is a warning, and exit 1 with --require-coverage',
  async (t) => {
    const name = await place('gaps', { 'a.test.yaml': health })
    const free = await testPolicies(name)
    const strict = await testPolicies(name, '--require-coverage')
    t.deepEqual([free.code, strict.code], [0, 1])
    t.regex(free.stdout, /\nwarning: gaps\/policy\.yaml: no test reaches the route `refunds`\n/)
    t.regex(strict.stdout, /\nerror: gaps\/policy\.yaml: no test reaches the route `refunds`\n/)
  },
)

for (const [reporter, beginning] of [
  ['json', '{'],
  ['junit', '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites '],
  ['github', '::error file=examples-'],
] as const) {
  test.serial(`contract §1: --reporter ${reporter}, and no token in it`, async (t) => {
    const name = await place(`examples-${reporter}`, {
      'a.test.yaml': health.replace('allow', 'deny'),
    })
    const { code, stdout } = await testPolicies('--reporter', reporter, name, shop)
    t.is(code, 1)
    t.true(stdout.startsWith(beginning), stdout.slice(0, 100))
    t.false(stdout.includes('eyJ'))
  })
}

const bad: readonly (readonly [
  name: string,
  files: { readonly [file: string]: string },
  said: RegExp,
])[] = [
  ['no-tests', {}, /^no test found in no-tests: give a directory .*\.test\.yaml$/m],
  [
    'typo',
    { 'a.test.yaml': health.replace('expect', 'expcet') },
    /^typo\/a\.test\.yaml:6:80: error: unknown key `expcet` .*\n.*\n +\| +\^\n += Did you mean `expect`\?/m,
  ],
  [
    'no-policy',
    { 'a.test.yaml': health.replace('./policy', '../gone') },
    /^no-policy\/a\.test\.yaml:3:9: error: cannot be read: gone\.yaml: there is no such file/m,
  ],
  [
    'bad-policy',
    { 'a.test.yaml': health, 'policy.yaml': 'kind: BindingPolicy\n' },
    /^bad-policy\/policy\.yaml:1:1: error: required key `apiVersion` is missing/m,
  ],
]
for (const [name, files, said] of bad) {
  test.serial(`contract §1: bad input is exit 2, and says what to do: ${name}`, async (t) => {
    const { code, stdout, stderr } = await testPolicies(await place(name, files))
    t.deepEqual([code, stdout], [2, ''])
    t.regex(stderr, said)
  })
}

test.serial('contract §1: a directory that is not there: exit 2', async (t) => {
  const { code, stderr } = await testPolicies('gone')
  t.is(code, 2)
  t.is(stderr, 'gone: there is no such file or directory\n')
})

test.serial(
  'tests are found below the directory, but not in hidden directories nor in installed packages',
  async (t) => {
    const name = await place('deep', {})
    for (const inner of ['a', '.hidden', 'node_modules']) {
      await mkdir(join(directory, name, inner))
      const text = health.replace('./policy', '../policy')
      await writeFile(join(directory, name, inner, 'x.test.yaml'), text)
    }
    const { code, stdout } = await testPolicies(name)
    t.is(code, 0)
    t.regex(stdout, /^deep\/a\/x\.test\.yaml /)
    t.regex(stdout, /\n1 passed, 0 failed\n$/)
  },
)
