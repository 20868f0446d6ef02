/** `npm run fuzz -- --seconds 600 [--seed N] [grammar…]`: fuzzes as long as it is told, and keeps in corpus/ what is new. */

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { keepInCorpus, type Report } from './engine.ts'
import { startFuzzer } from './run.ts'
import { targets } from './targets.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    keep: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
const names = targets.map(({ name }) => name)
const unknown = positionals.find((name) => !names.includes(name))
if (unknown !== undefined || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write(`--seconds N, --seed N, and of the grammars: ${names.join(', ')}\n`)
  process.exit(2)
}

/** In the corpus nothing is longer: it is replayed by every run of the tests. */
const maxKeptBytes = 4 * 1024
const maxKept = 64

function tell(name: string, { executions, replayed, outcomes, novel, slowest, finding }: Report) {
  const slow = `slowest ${slowest.milliseconds.toFixed(1)} ms of ${slowest.bytes} bytes`
  const counts = `${executions} inputs, ${replayed} of them kept, ${outcomes.size} outcomes, ${novel.length} new`
  process.stdout.write(`${name.padEnd(16)} ${counts}; ${slow}\n`)
  if (finding === undefined) return
  const file = keepInCorpus(name, Buffer.from(finding.input))
  process.stdout.write(`FINDING  seed ${seed}, input in ${file}\n${finding.error}\n`)
  process.exitCode = 1
}

process.stdout.write(`seed ${seed}, ${seconds} s for each grammar\n`)
for (const name of positionals.length > 0 ? positionals : names) {
  const fuzzer = await startFuzzer()
  const report = await fuzzer.run({ name, seed, budgetMs: seconds * 1000 })
  await fuzzer.close()
  tell(name, report)
  if (!values.keep) continue
  const short = report.novel.filter(({ length }) => length <= maxKeptBytes)
  const room = Math.max(0, maxKept - report.replayed)
  for (const input of short.slice(0, room)) keepInCorpus(name, Buffer.from(input))
}
