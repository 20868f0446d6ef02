/** Every grammar is fuzzed for a moment, its kept inputs first; FUZZ_SECONDS makes it longer, and CONTRIBUTING.md says how to go on by hand. */

import { randomInt } from 'node:crypto'
import test from 'ava'
import { startFuzzer } from './run.ts'
import { allowsItsOwner } from './targets/question.ts'
import { targets } from './targets.ts'

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 1.5)
const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31))

test('control: in the world of the fuzzed questions the owner of the token is allowed', async (t) => {
  t.true(await allowsItsOwner())
})

for (const { name, source } of targets) {
  test.serial(
    `fuzz: any input as ${name} is read as the slow reading reads it, or refused (${source})`,
    async (t) => {
      t.timeout(seconds * 1000 + 100_000, 'longer than its budget and a hang together')
      const fuzzer = await startFuzzer()
      t.teardown(() => fuzzer.close())
      const report = await fuzzer.run({ name, seed, budgetMs: seconds * 1000 })
      t.log(`seed ${seed}: ${report.executions} inputs, ${report.outcomes.size} outcomes`)
      const { finding } = report
      if (finding !== undefined) {
        const input = Buffer.from(finding.input)
        t.log(`seed ${seed}, base64 of the input: ${input.toString('base64')}`)
        return t.fail(`${finding.error}\n${JSON.stringify(input.toString('latin1'))}`)
      }
      t.true(report.replayed > 0, 'inputs are kept in corpus/')
      const outcomes = [...report.outcomes.keys()]
      t.true(
        name === 'check-request' ||
          outcomes.some((outcome) => /^taken|^spiffe|^wimse/.test(outcome)),
      )
      t.true(outcomes.some((outcome) => !/^taken|^spiffe|^wimse/.test(outcome)))
    },
  )
}
