/** `npm test`: runs AVA, shows what fails as it fails, and ends with one plain line of counts. */

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findEnvoy } from './support/envoy.ts'
import { provideHelm } from './support/helm.ts'
import { provideKubeSchemas } from './support/kube-sources.ts'

const ava = fileURLToPath(new URL('../node_modules/ava/entrypoints/cli.js', import.meta.url))
const terminal = process.stderr.isTTY

/** Fetched before the tests start, so that no test waits for it. Its absence is the tests' own affair. */
const say = (message: string) => process.stderr.write(`… ${message}\n`)
await findEnvoy(say).catch(() => {})

/** Only for the tests of the chart: where there is no Helm, to build one takes minutes. */
const chosen = process.argv.slice(2).filter((argument) => argument.endsWith('.test.ts'))
if (chosen.length === 0 || chosen.some((file) => /helm|chart|release/.test(file)))
  for (const provide of [provideHelm, provideKubeSchemas])
    await provide(say).catch((error: Error) => say(error.message))

/** Every test file and every meshbind that it starts loads the same modules: they are compiled once. */
const compileCache = fileURLToPath(new URL('../.cache/compile', import.meta.url))

const child = spawn(process.execPath, [ava, '--tap', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { NODE_COMPILE_CACHE: compileCache, ...process.env },
})
const exited = new Promise<number>((resolve) =>
  child.once('exit', (code, signal) => {
    if (signal !== null) process.stdout.write(`The test run was ended by ${signal}.\n`)
    resolve(code ?? 1)
  }),
)
const counts = { passed: 0, failed: 0, skipped: 0 }
let inFailure = false

for await (const line of createInterface({ input: child.stdout })) {
  const [, not, rest = ''] = /^(not )?ok \d+ (.*)$/.exec(line) ?? []
  if (/^(not )?ok \d+ /.test(line)) {
    const kind = / # (SKIP|TODO)/i.test(rest) ? 'skipped' : not === undefined ? 'passed' : 'failed'
    counts[kind]++
    inFailure = kind === 'failed'
    if (kind !== 'passed') process.stdout.write(`${line}\n`)
    if (terminal) process.stderr.write(`\r… ${counts.passed} passed`)
  } else if (inFailure || line.startsWith('#')) {
    if (!/^# (tests|pass|fail|skip|todo|before|after)/.test(line)) process.stdout.write(`${line}\n`)
    if (line.trim() === '...') inFailure = false
  }
}

const code = await exited
const strict = process.env['CI'] === 'true' && counts.skipped > 0
if (strict) process.stdout.write('Under CI=true nothing may skip.\n')
if (terminal) process.stderr.write('\n')
process.stdout.write(
  `\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`,
)
const ranNothing = counts.passed + counts.failed === 0
process.exitCode = code === 0 && (strict || ranNothing) ? 1 : code
