import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { createLineReader } from '../../src/line-reader.ts'
import { dayOf, logLine } from '../support/rollout.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'meshbind-rollout-'))
test.after.always(() => rm(directory, { recursive: true, force: true }))

interface Ended {
  /** null where it had to be killed because it did not end. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function rollout(args: readonly string[], input = ''): Promise<Ended> {
  const env = { PATH: process.env['PATH'] }
  const options = { cwd: directory, env, timeout: 60_000, killSignal: 'SIGKILL' as const }
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, 'rollout', ...args],
      options,
      (error, stdout, stderr) =>
        resolve({ code: error?.killed ? null : child.exitCode, stdout, stderr }),
    )
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

const linesOf = (observations: ReturnType<typeof dayOf>) =>
  `${observations.map((one) => logLine(one)).join('\n')}\n`
const safe = linesOf(dayOf(200))
const broken = linesOf(dayOf(3, { route: 'orders', reason: 'binding_missing' }))

async function save(name: string, text: string): Promise<string> {
  await writeFile(join(directory, name), text)
  return name
}

test.serial(
  'contract §1: rollout reads several logs and says per route what is safe to enforce',
  async (t) => {
    const files = [await save('one.log', safe), await save('two.log', broken)]
    const { code, stdout, stderr } = await rollout(files)
    t.deepEqual([code, stderr], [0, ''])
    t.regex(stdout, /^ROUTE +MODE +CHECKS +REFUSED +SHARE +UNBOUND +VERDICT$/m)
    t.regex(stdout, /^payments +audit +200 +0 +0 % +0 +Safe to enforce$/m)
    t.regex(stdout, /Safe to enforce: 0 of 200 checks in 24 h would be refused\./)
    t.regex(stdout, /^orders +audit +3 +3 +100 % +0 +Not safe yet$/m)
  },
)

test.serial(
  'contract §1: rollout - reads standard input, and --output json is for programs',
  async (t) => {
    const { code, stdout } = await rollout(['-', '--output', 'json'], safe)
    t.is(code, 0)
    t.like(JSON.parse(stdout), {
      input: { lines: 200, decisions: 200, damaged: 0, tooLong: 0 },
      firstSeen: '2026-11-22T08:00:00.000Z',
      lastSeen: '2026-11-23T08:00:00.000Z',
      shares: 'upper bound',
      routes: [{ route: 'payments', mode: 'audit', checks: 200, verdict: { level: 'safe' } }],
    })
  },
)

test.serial(
  'a log of --decision-log deny is named as one that holds no allows, and shows no share',
  async (t) => {
    const { code, stdout } = await rollout(['-'], broken)
    t.is(code, 0)
    t.regex(stdout, /holds no allows, so no share of refusals can be told/)
    t.false(stdout.includes('%'))
  },
)

test.serial('lines that are too long or no JSON are counted and named, never fatal', async (t) => {
  const input = `${'x'.repeat(200_000)}\nnot json\n{"type":"app"}\n${safe}{"cut`
  const { code, stdout, stderr } = await rollout(['-'], input)
  t.is(code, 0)
  t.true(stdout.includes('200 checks'))
  t.is(
    stderr,
    'Lines that could not be read: 2 that are no JSON or no decision line of version 1, 1 over 64 KiB. They are not counted.\n',
  )
})

test.serial(
  'contract §1: input without a decision line ends with 2 and says what to do',
  async (t) => {
    const empty = await rollout(['-'], '{"type":"app","message":"ready"}\n')
    t.deepEqual([empty.code, empty.stdout], [2, ''])
    t.regex(empty.stderr, /no decision line in standard input \(1 lines read\)/)
    t.regex(empty.stderr, /meshbind serve --decision-log all/)
  },
)

test.serial('contract §1: a file that cannot be read ends with 2 and is named', async (t) => {
  const missing = await rollout(['missing.log'])
  t.deepEqual([missing.code, missing.stderr], [2, 'missing.log: there is no such file\n'])
  const folder = await rollout(['.'])
  t.deepEqual([folder.code, folder.stderr], [2, '.: is a directory\n'])
})

test.serial(
  '--html writes the page beside the report; a log is never overwritten by it',
  async (t) => {
    const log = await save('page.log', safe)
    t.is((await rollout([log, '--html', 'report.html'])).code, 0)
    const page = await readFile(join(directory, 'report.html'), 'utf8')
    t.regex(page, /^<!doctype html>\n<html lang="en">/)
    const own = await rollout([log, '--html', './page.log'])
    t.is(own.code, 2)
    t.is(await readFile(join(directory, log), 'utf8'), safe)
    const nowhere = await rollout([log, '--html', 'nowhere/report.html'])
    t.is(nowhere.code, 2)
    t.regex(nowhere.stdout, /Safe to enforce/, 'the report is there all the same')
    t.regex(nowhere.stderr, /--html nowhere\/report\.html: there is no such directory/)
  },
)

test.serial('a hostile log puts no control character on the terminal', async (t) => {
  const hostile = '\u001b]0;owned\u0007\u202e'
  const { code, stdout } = await rollout(
    ['-'],
    `${logLine({ route: hostile, presenter: hostile })}\n`,
  )
  t.is(code, 0)
  t.false(/[^\P{Cc}\n]|\p{Cf}/u.test(stdout))
  t.true(stdout.includes('owned'))
})

test.serial('lines are the same however the bytes come in pieces', (t) => {
  const bytes = Buffer.from('ä\n\nbb\ntoo long\nxyz')
  for (let size = 1; size <= bytes.length; size++) {
    const seen: (string | undefined)[] = []
    const reader = createLineReader(4, (line) => seen.push(line))
    for (let i = 0; i < bytes.length; i += size) reader.push(bytes.subarray(i, i + size))
    reader.end()
    t.deepEqual(seen, ['ä', '', 'bb', undefined, 'xyz'], `pieces of ${size}`)
  }
})
