/** `make faults`: faults with a real Envoy under load. Exit code 0: every criterion held; 1: one was missed; 2: bad usage. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, styleText } from 'node:util'
import { canRunRedis } from '../test/support/redis.ts'
import { publish } from './report.ts'
import type { Result } from './result.ts'
import { closeAllRigs } from './rig.ts'
import { runScenario } from './run.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios/index.ts'

const usage = `Usage: npm run faults -- COMMAND [OPTIONS]

Sends sound and hostile requests through a real Envoy while something breaks, and holds every answer against an oracle.

Commands:
  run [NAME...]   the named scenarios; without names those of the short form, or with --long all
  list            every scenario, what it covers, and what it leaves out

Options:
  --long          each scenario in its long form
  --rate N        requests per second (default 80 in the short form, 150 in the long one)
  --seed N        of the mix of requests (default 1)
  --resume        leave out what has a good result of this form and commit already
  --again         run what missed once more, unless it let something through: for a machine that is shared
  --json          results as JSON on standard output
  --write-docs    make docs/reliability.md from the results that are there
  --help

Examples:
  $ make faults                                        the short form: three minutes
  $ make faults LONG=1                                 everything, with an hour of soak
  $ npm run faults -- run kill redis-killed            two scenarios
  $ npm run faults -- run --long --resume              goes on where an earlier run was ended
  $ SOAK_MINUTES=10 npm run faults -- run soak --long  a shorter soak
  $ npm run faults -- run --long --write-docs          and the table in docs/reliability.md
`

const root = fileURLToPath(new URL('..', import.meta.url))
const resultsDirectory = fileURLToPath(new URL('./results/', import.meta.url))
const red = (text: string) => styleText('red', text, { stream: process.stderr })
const green = (text: string) => styleText('green', text, { stream: process.stderr })
const dim = (text: string) => styleText('dim', text, { stream: process.stderr })
const say = (text: string) => process.stderr.write(`${text}\n`)

interface Options {
  readonly long: boolean
  readonly rate: number
  readonly seed: number
  readonly resume: boolean
  readonly again: boolean
  readonly json: boolean
}

function fileOf(name: string, form: string): string {
  return join(resultsDirectory, `${name}.${form}.json`)
}

function earlierResult(name: string, form: string): Result | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(name, form), 'utf8')) as Result
  } catch {
    return undefined
  }
}

async function runAll(chosen: readonly Scenario[], options: Options): Promise<number> {
  const { long, rate, seed } = options
  const form = long ? 'long' : 'short'
  const results: Result[] = []
  const commit = describeCommit()
  const redis = chosen.some(needsRedis) ? canRunRedis() : true
  mkdirSync(resultsDirectory, { recursive: true })
  for (const [n, scenario] of chosen.entries()) {
    const { name, title } = scenario
    say(`${dim(`[${n + 1}/${chosen.length}]`)} ${name}: ${title}`)
    const earlier = options.resume ? earlierResult(name, form) : undefined
    if (earlier?.ok === true && earlier.commit === commit) {
      say(dim(`        as it was on ${earlier.startedAt}`))
      results.push(earlier)
      continue
    }
    const why = scenario.impossible?.() ?? (needsRedis(scenario) && !redis ? 'no Redis' : undefined)
    if (why !== undefined) {
      say(`        SKIPPED: ${why}`)
      continue
    }
    const progress = (message: string) => say(dim(`        ${message}`))
    const run = () => runScenario(scenario, { long, rate, seed, commit, progress })
    const first = await run()
    const repeated = options.again && !first.ok && falseAllowsOf(first) === 0
    if (repeated) {
      tell(first)
      say(`${dim(`[${n + 1}/${chosen.length}]`)} ${name}, once more`)
    }
    const result = repeated ? await run() : first
    writeFileSync(fileOf(name, form), `${JSON.stringify(result, null, 2)}\n`)
    results.push(result)
    tell(result)
  }
  const failed = results.filter(({ ok }) => !ok)
  say(`\n${results.length - failed.length} scenarios held, ${failed.length} did not`)
  for (const { scenario } of failed) say(red(`  ${scenario}`))
  if (options.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
  return failed.length === 0 && results.length > 0 ? 0 : 1
}

/** Of what is run; a page or a test that changes makes no result an old one. */
function describeCommit(): string {
  const paths = ['--', 'src', 'protos', 'faults', ':!faults/results', 'package-lock.json']
  const git = (...args: readonly string[]) =>
    execFileSync('git', [...args, ...paths], { cwd: root, encoding: 'utf8' }).trim()
  try {
    const changed = git('status', '--porcelain')
    return `${git('log', '-1', '--format=%h')}${changed === '' ? '' : ' with changes'}`
  } catch {
    return 'unknown'
  }
}

/** Never a matter of chance. */
function falseAllowsOf({ phases, lenient }: Result): number {
  const counts = Object.values(phases).map((phase) => phase?.falseAllows ?? 0)
  return [...counts, lenient?.falseAllows ?? 0].reduce((sum, count) => sum + count, 0)
}

const needsRedis = ({ rig }: Scenario) => rig?.state === 'redis' || rig?.replicas === 2

function tell(result: Result): void {
  for (const { claim, ok, got } of result.criteria)
    say(`    ${ok ? green('✓') : red('✗')} ${claim}: ${got}`)
  if (!result.ok) for (const example of result.examples) say(dim(`        ${example}`))
  const { lenient } = result
  if (lenient !== undefined)
    say(
      dim(
        `    behind failure_mode_allow: true Envoy itself let ${lenient.hostileUnjudged} hostile requests pass`,
      ),
    )
}

function list(): number {
  for (const { name, covers, title, short, without } of scenarios) {
    console.log(
      `${name.padEnd(22)} ${covers.join(' ').padEnd(7)} ${short ? 'short' : '     '}  ${title}`,
    )
    if (without !== undefined) console.log(`${''.padEnd(38)}without ${without}`)
  }
  return 0
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      long: { type: 'boolean', default: false },
      rate: { type: 'string' },
      seed: { type: 'string', default: '1' },
      resume: { type: 'boolean', default: false },
      again: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'write-docs': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const [command = 'run', ...names] = positionals
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  if (command === 'list') return list()
  const { long, resume, again, json } = values
  const rate = Number(values.rate ?? (long ? 150 : 80))
  const seed = Number(values.seed)
  const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (command !== 'run' || unknown.length > 0 || !(rate > 0) || !Number.isSafeInteger(seed)) {
    say(red(`Cannot: ${positionals.join(' ')}`))
    if (unknown.length > 0) say(`There is no scenario ${unknown.join(', ')}; see \`list\`.`)
    process.stderr.write(usage)
    return 2
  }
  const named = scenarios.filter(({ name, short }) =>
    names.length > 0 ? names.includes(name) : long || short,
  )
  const code = await runAll(named, { long, rate, seed, resume, again, json })
  if (values['write-docs']) publish(say)
  return code
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    say('\nEnding; --resume goes on from here.')
    closeAllRigs().finally(() => process.exit(130))
  })
}

try {
  process.exitCode = await main()
} catch (error) {
  say(red(`The faults could not be run: ${error instanceof Error ? error.stack : error}`))
  process.exitCode = 3
}
