/** `npm run fuzz`: fuzzes as long as it is told, and keeps in corpus/ what is new. Exit code 0: nothing was found; 1: something was; 2: bad usage. */

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { keepInCorpus, type Report } from './engine.ts'
import { startFuzzer } from './run.ts'
import { targets } from './targets.ts'

const options = {
  seconds: { type: 'string', default: '600' },
  seed: { type: 'string', default: String(randomInt(2 ** 31)) },
  keep: { type: 'boolean', default: true },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const usage = `Usage: npm run fuzz -- [OPTIONS] [GRAMMAR...]

Reads generated and mutated inputs with the code and with a slow reading, and tells the first on which they differ.

Options:
  --seconds N  for each grammar (default 600), after what is kept of it
  --seed N     of the inputs, to repeat a run; another one each time without it
  --no-keep    adds nothing to test/fuzz/corpus but a finding
  --help

Grammars (all of them where none is named):
${targets.map(({ name, source }) => `  ${name.padEnd(17)}${source}`).join('\n')}

Examples:
  $ npm run fuzz -- --seconds 60 xfcc htu              a minute for each of these two
  $ npm run fuzz -- --seconds 5 --seed 7 --no-keep     everything, as it was with this seed
`

interface Order {
  readonly seconds: number
  readonly seed: number
  readonly keep: boolean
  readonly names: readonly string[]
}

function readOrder(): Order | string | undefined {
  const names = targets.map(({ name }) => name)
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      allowNegative: true,
      options,
    })
    if (values.help) return undefined
    const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
    const unknown = positionals.filter((name) => !names.includes(name))
    if (unknown.length > 0) return `there is no grammar ${unknown.join(', ')}`
    if (!(seconds > 0 && seconds < Number.POSITIVE_INFINITY)) return '--seconds is a number over 0'
    if (!Number.isSafeInteger(seed)) return '--seed is an integer'
    return { seconds, seed, keep: values.keep, names: positionals.length > 0 ? positionals : names }
  } catch (error) {
    // What parseArgs says of an option that it does not know; the rest of its message is advice on quoting.
    return (error as Error).message.split('. ')[0] ?? ''
  }
}

/** In the corpus nothing is longer: it is replayed by every run of the tests. */
const maxKeptBytes = 4 * 1024
const maxKept = 64

function tell(name: string, seed: number, report: Report): void {
  const { executions, replayed, outcomes, novel, slowest, finding } = report
  const slow = `slowest ${slowest.milliseconds.toFixed(1)} ms of ${slowest.bytes} bytes`
  const counts = `${executions} inputs, ${replayed} of them kept, ${outcomes.size} outcomes, ${novel.length} new`
  process.stdout.write(`${name.padEnd(16)} ${counts}; ${slow}\n`)
  if (finding === undefined) return
  const file = keepInCorpus(name, Buffer.from(finding.input))
  process.stdout.write(`FINDING  seed ${seed}, input in ${file}\n${finding.error}\n`)
  process.exitCode = 1
}

async function run({ seconds, seed, keep, names }: Order): Promise<void> {
  process.stdout.write(`seed ${seed}, ${seconds} s for each grammar\n`)
  for (const name of names) {
    const fuzzer = await startFuzzer()
    const report = await fuzzer.run({ name, seed, budgetMs: seconds * 1000 })
    await fuzzer.close()
    tell(name, seed, report)
    if (!keep) continue
    const short = report.novel.filter(({ length }) => length <= maxKeptBytes)
    const room = Math.max(0, maxKept - report.replayed)
    for (const input of short.slice(0, room)) keepInCorpus(name, Buffer.from(input))
  }
}

const order = readOrder()
if (order === undefined) process.stdout.write(usage)
else if (typeof order === 'string') {
  process.stderr.write(`Cannot: ${order}\n${usage}`)
  process.exitCode = 2
} else await run(order)
