import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'meshbind-validate-'))
test.after.always(() => rm(directory, { recursive: true, force: true }))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function validate(
  args: readonly string[],
  input = '',
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'policy', 'validate', ...args], {
    cwd: directory,
    env: { PATH: process.env['PATH'], ...environment },
    timeout: 40_000,
    killSignal: 'SIGKILL',
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
}

const good = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [a], keys: { file: jwks.json } }
  routes:
    - { name: health, match: { paths: [/healthz] }, require: none }
    - { name: rest, require: { issuers: [corp], bindings: ["x5t#S256", jwk] } }
`
const bad = good.replace('audiences', 'audience').replace('[corp]', '[crop]')
const warned = good
  .replace('spec:', 'spec:\n  unmatched: allow')
  .replace('{ paths: [/healthz] }', '{ hosts: [a.example] }')
const revisionOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)
const indented = (text: string, by: string) => text.replace(/^(?=.)/gm, by)
const manifest = (policy: string) => `apiVersion: v1
kind: ConfigMap
metadata:
  name: meshbind
data:
  policy.yaml: |
${indented(policy, '    ')}`

/** The files of each test have names of their own. */
async function file(name: string, text: string): Promise<string> {
  await writeFile(join(directory, name), text)
  return name
}

test('contract §1: a valid policy: exit 0, name, revision and what each route asks, nothing on stderr', async (t) => {
  const { code, stdout, stderr } = await validate([await file('good.yaml', good)])
  t.is(code, 0)
  t.is(stderr, '')
  t.deepEqual(stdout.trimEnd().split('\n'), [
    `valid  good.yaml: policy shop, revision ${revisionOf(good)}`,
    '  health  enforce   unprotected',
    '  rest    enforce   one of x5t#S256, jwk',
  ])
})

test('contract §1: an invalid policy: exit 2, every problem with file:line:col, the line, a caret and advice', async (t) => {
  const { code, stdout, stderr } = await validate([await file('bad.yaml', bad)])
  t.is(code, 2)
  t.is(stderr, '')
  const lines = bad.split('\n')
  t.deepEqual(stdout.trimEnd().split('\n'), [
    'bad.yaml:7:11: error: required key `audiences` is missing (spec.issuers.corp.audiences)',
    `  7 | ${lines[6]}`,
    `    | ${' '.repeat(10)}^`,
    'bad.yaml:7:42: error: unknown key `audience` (spec.issuers.corp.audience)',
    `  7 | ${lines[6]}`,
    `    | ${' '.repeat(41)}^`,
    '    = Did you mean `audiences`?',
    'bad.yaml:10:42: error: there is no issuer `crop` (spec.routes[1].require.issuers[0])',
    `  10 | ${lines[9]}`,
    `     | ${' '.repeat(41)}^`,
    '     = Did you mean `corp`?',
    'INVALID  bad.yaml: 3 errors, 0 warnings',
  ])
})

test('contract §1: a warning is shown and the policy is valid: exit 0', async (t) => {
  const { code, stdout } = await validate([await file('warned.yaml', warned)])
  t.is(code, 0)
  t.regex(stdout, /^warned\.yaml:5:14: warning: the client chooses the Host header/)
  t.regex(stdout, /^valid {2}warned\.yaml: policy shop/m)
})

test('contract §1: --output json holds the same as data', async (t) => {
  const files = [
    await file('a.yaml', good),
    await file('b.yaml', bad),
    await file('c.yaml', warned),
  ]
  const { code, stdout } = await validate(['--output', 'json', ...files])
  t.is(code, 2)
  const report = JSON.parse(stdout)
  t.deepEqual(
    report.files.map((entry: { file: string }) => entry.file),
    files,
  )
  t.deepEqual(report.files[0].policies, [
    { valid: true, name: 'shop', revision: revisionOf(good), problems: [] },
  ])
  const [broken] = report.files[1].policies
  t.like(broken, { valid: false, name: null, revision: null })
  t.deepEqual(broken.problems[2], {
    severity: 'error',
    message: 'there is no issuer `crop`',
    advice: 'Did you mean `corp`?',
    line: 10,
    column: 42,
    path: 'spec.routes[1].require.issuers[0]',
  })
  t.is(report.files[2].policies[0].problems[0].severity, 'warning')
})

test('contract §1: several files are all shown; one that is invalid makes it exit 2', async (t) => {
  const files = [
    await file('one.yaml', good),
    await file('two.yaml', bad),
    await file('three.yaml', good),
  ]
  const { code, stdout } = await validate(files)
  t.is(code, 2)
  t.deepEqual(stdout.match(/^(?:valid|INVALID) {2}\w+/gm), [
    'valid  one',
    'INVALID  two',
    'valid  three',
  ])
  t.is((await validate(['one.yaml', 'three.yaml'])).code, 0)
})

test('contract §1: - reads standard input', async (t) => {
  const valid = await validate(['-'], good)
  t.is(valid.code, 0)
  t.regex(valid.stdout, /^valid {2}standard input: policy shop/)
  const invalid = await validate(['-'], bad)
  t.is(invalid.code, 2)
  t.regex(invalid.stdout, /^standard input:7:42: error: unknown key/m)
  t.is((await validate(['-'], '')).code, 2)
})

test('contract §1: a problem inside a ConfigMap manifest is placed in the manifest', async (t) => {
  const text = manifest(bad)
  const { code, stdout } = await validate([await file('configmap.yaml', text)])
  t.is(code, 2)
  const line = text.split('\n').findIndex((each) => each.includes('audience:')) + 1
  const column = (text.split('\n')[line - 1] ?? '').indexOf('audience:') + 1
  t.true(
    stdout.includes(`configmap.yaml:${line}:${column}: error: unknown key \`audience\``),
    stdout,
  )
  t.true(stdout.includes(`  ${line} | ${text.split('\n')[line - 1]}\n`), stdout)
})

test('contract §1: a valid ConfigMap manifest is valid, with the revision of the policy itself', async (t) => {
  for (const [name, text] of Object.entries({
    'block.yaml': manifest(good),
    'quoted.yaml': `kind: ConfigMap\ndata: { policy.yaml: ${JSON.stringify(good)} }\n`,
    'manifest.json': JSON.stringify({ kind: 'ConfigMap', data: { 'policy.yaml': good } }, null, 2),
  })) {
    const { code, stdout } = await validate([await file(name, text)])
    t.is(code, 0, stdout)
    t.true(stdout.includes(`revision ${revisionOf(good)}`), stdout)
  }
})

test('contract §1: a manifest in one line of JSON is read as one of many lines', async (t) => {
  const text = JSON.stringify({ kind: 'ConfigMap', data: { 'policy.yaml': good } })
  const { code, stdout } = await validate([await file('one-line.json', text)])
  t.is(code, 0, stdout)
})

test('contract §1: a blank first line of the policy in a manifest does not move its columns', async (t) => {
  const text = manifest(`\n${bad}`)
  const { stdout } = await validate([await file('blank.yaml', text)])
  const line = text.split('\n').findIndex((each) => each.includes('audience:')) + 1
  const column = (text.split('\n')[line - 1] ?? '').indexOf('audience:') + 1
  t.true(stdout.includes(`blank.yaml:${line}:${column}: error: unknown key \`audience\``), stdout)
})

test('contract §1: a problem in a quoted policy is placed where the manifest holds the policy', async (t) => {
  const text = `kind: ConfigMap\nmetadata:\n  name: x\ndata:\n  policy.yaml: ${JSON.stringify(bad)}\n`
  const { code, stdout } = await validate([await file('quoted-bad.yaml', text)])
  t.is(code, 2)
  const lines = [...stdout.matchAll(/^quoted-bad\.yaml:(\d+):\d+: error/gm)].map(([, line]) => line)
  t.deepEqual(lines, ['5', '5', '5'])
})

test('contract §1: a missing file: exit 2, its name on stderr, nothing that looks like a report', async (t) => {
  const { code, stdout, stderr } = await validate(['missing.yaml'])
  t.deepEqual([code, stdout, stderr], [2, '', 'missing.yaml: there is no such file\n'])
})

test('contract §1: no colours when not on a terminal, whatever NO_COLOR says', async (t) => {
  await file('plain.yaml', bad)
  for (const environment of [{}, { NO_COLOR: '1' }, { TERM: 'xterm-256color' }]) {
    const { stdout, code } = await validate(['plain.yaml'], '', environment)
    t.is(code, 2)
    t.false(stdout.includes('\u001b'))
    t.true(stdout.includes('INVALID  plain.yaml'))
  }
})

test('M225: an empty, binary or UTF-16 file: exit 2 and a problem, no crash', async (t) => {
  const contents = {
    empty: Buffer.alloc(0),
    zeros: Buffer.alloc(100),
    utf16: Buffer.from(good, 'utf16le'),
  }
  for (const [name, bytes] of Object.entries(contents)) {
    await writeFile(join(directory, name), bytes)
    const { code, stdout, stderr } = await validate([name])
    t.is(code, 2, stderr)
    t.regex(stdout, new RegExp(`^INVALID {2}${name}: `, 'm'))
  }
})
