/** The command of the fuzzer: what it says of itself, and how it ends where it cannot do what it is told. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { targets } from './targets.ts'

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const command = fileURLToPath(new URL('./fuzz.ts', import.meta.url))

function run(...options: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...options], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })
}

test('--help gives the usage, every grammar with its source, and two examples', async (t) => {
  const { code, stdout, stderr } = await run('--help')
  t.deepEqual([code, stderr], [0, ''])
  t.true(stdout.startsWith('Usage: npm run fuzz -- '))
  for (const { name, source } of targets)
    t.regex(stdout, new RegExp(`^  ${name} +\\S`, 'm'), source)
  t.is(stdout.split('\n  $ npm run fuzz -- ').length, 3)
})

for (const [title, options, said] of [
  ['an option that is not known', ['--secnods', '1'], /^Cannot: .*'--secnods'\nUsage: /],
  ['an option without its value', ['--seed'], /^Cannot: .*'--seed <value>'.*\nUsage: /],
  ['seconds that are no number', ['--seconds', 'x'], /^Cannot: --seconds is .*\nUsage: /],
  ['a seed that is no integer', ['--seed', '1.5'], /^Cannot: --seed is .*\nUsage: /],
  [
    'a grammar that is not there',
    ['host', 'nobody'],
    /^Cannot: there is no grammar nobody\nUsage: /,
  ],
] as const) {
  test(`${title} ends with the usage and exit code 2, and nothing is fuzzed`, async (t) => {
    const { code, stdout, stderr } = await run(...options)
    t.deepEqual([code, stdout], [2, ''])
    t.regex(stderr, said)
    t.notRegex(stderr, /^ {4}at /m)
  })
}
