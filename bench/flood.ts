/**
 * `npm run bench:flood`: what floods do to memory and to those who were there before. A thousand tokens go on being used,
 * one check in ten, while junk and then valid tokens that nobody has seen before pour in; tells RSS and the share of the
 * thousand's checks that found their facts. And what one remembered text takes, of each kind.
 */

import { fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { startCommand } from '../test/support/meshbind.ts'
import type { CachedBytes } from './cached-bytes.ts'
import { runLoad } from './http2-load.ts'
import { describeRun, keepSection, say, scale } from './keep.ts'
import { createMaterial, type Material } from './material.ts'
import { type Comparison, type MeasuredRow, roundSample, tellSection } from './results.ts'

/** What the chart's `nodeOptions` come to with its memory limit, 512Mi. */
const nodeOptions = '--max-old-space-size=384 --max-semi-space-size=16'
const junkTokens = 1_000_000 * scale
const validTokens = 200_000 * scale
const batch = 20_000
const goodEvery = 10
const path = '/envoy.service.auth.v3.Authorization/Check'

const cleanups: (() => unknown)[] = []

interface Subject {
  readonly port: number
  readonly pid: number
  readonly admin: string
}

interface Figures {
  readonly rssMebibytes: number
  readonly tokens: number
  readonly hits: number
  readonly misses: number
}

async function figuresOf({ pid, admin }: Subject): Promise<Figures> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? 0)
  return {
    rssMebibytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    tokens: read('meshbind_cache_entries\\{cache="token"\\}'),
    hits: read('meshbind_cache_requests_total\\{cache="token",result="hit"\\}'),
    misses: read('meshbind_cache_requests_total\\{cache="token",result="miss"\\}'),
  }
}

interface Flood {
  readonly id: string
  readonly title: string
  readonly sent: string
  readonly count: number
  /** Fresh questions, as many as asked for; none of them is seen twice. */
  readonly make: (count: number) => Promise<Buffer[]> | Buffer[]
  /** How many of them become known, each as a miss of its own. */
  readonly known: boolean
}

async function pour(subject: Subject, { warm }: Material, flood: Flood): Promise<MeasuredRow> {
  const { id, title, count } = flood
  const before = await figuresOf(subject)
  let peak = before.rssMebibytes
  let good = 0
  for (let sent = 0; sent < count; sent += batch) {
    const strange = await flood.make(Math.min(batch, count - sent))
    const messages = strange.flatMap((message, i) =>
      i % (goodEvery - 1) === 0 ? [message, warm[good++ % warm.length] as Buffer] : [message],
    )
    await runLoad({ port: subject.port, path, messages, count: messages.length, concurrency: 32 })
    peak = Math.max(peak, (await figuresOf(subject)).rssMebibytes)
    say(`${title}: ${sent + strange.length} of ${count}, RSS at most ${peak.toFixed(0)} MiB`)
  }
  const after = await figuresOf(subject)
  const misses = after.misses - before.misses - (flood.known ? count : 0)
  const sample = roundSample({
    rssBeforeMebibytes: before.rssMebibytes,
    rssMebibytes: peak,
    foundPercent: 100 * (1 - misses / good),
    tokens: after.tokens,
  })
  return { id, title, sent: `${count.toLocaleString('en')} ${flood.sent}`, samples: [sample] }
}

async function measureCached(): Promise<MeasuredRow[]> {
  const child = fork(fileURLToPath(new URL('./cached-bytes.ts', import.meta.url)), {
    execArgv: ['--expose-gc'],
  })
  cleanups.push(() => child.kill())
  const kinds = await new Promise<readonly CachedBytes[]>((resolve, reject) => {
    child.once('message', (message) => resolve(message as readonly CachedBytes[]))
    child.once('exit', () => reject(new Error('bytes could not be measured')))
  })
  return kinds.map(({ title, count, bytesEach }) => ({
    ...{
      id: title,
      title,
      sent: `${count.toLocaleString('en')} of them, in a process of their own`,
    },
    samples: [roundSample({ bytesEach })],
  }))
}

const found = (of: string, title: string): Comparison => ({
  ...{ of, title: `of the thousand found (%), ${title}`, figure: 'foundPercent' },
  target: { bound: 'at least', value: 95 },
})
const bounded = (of: string, title: string): Comparison => ({
  ...{ of, title: `RSS (MiB), ${title}`, figure: 'rssMebibytes' },
  target: { bound: 'at most', value: 512 },
})
const comparisons: readonly Comparison[] = [
  found('nonsense', 'no token at all'),
  found('altered', 'altered signatures'),
  found('cold', 'valid, never seen'),
  bounded('nonsense', 'no token at all'),
  bounded('altered', 'altered signatures'),
  bounded('cold', 'valid, never seen, after all of it'),
]

async function main(): Promise<void> {
  const material = await createMaterial()
  cleanups.push(() => material.close())
  const { port, pid, stop, lines } = await startCommand(
    [
      ...['serve', '--policy', material.policyFile, '--listen', '127.0.0.1:0'],
      ...['--admin', '127.0.0.1:0', '--decision-log', 'off', '--deadline', '5s'],
    ],
    { env: { ...process.env, NODE_OPTIONS: nodeOptions } },
  )
  cleanups.push(stop)
  const admin = String(lines.find(({ message }) => message === 'listening')?.['admin'])
  const subject = { port, pid, admin }
  const { warm } = material
  await runLoad({ port, path, messages: warm, count: 30_000, concurrency: 32 })
  const rows: MeasuredRow[] = []
  for (const flood of [
    {
      ...{ id: 'nonsense', title: 'junk: no token at all', known: false },
      sent: 'texts that are no token, each another one',
      count: junkTokens / 2,
      make: material.nonsense,
    },
    {
      ...{ id: 'altered', title: 'junk: altered signatures', known: false },
      sent: 'good tokens, the signature of each altered in its own way',
      count: junkTokens / 2,
      make: material.altered,
    },
    {
      ...{ id: 'cold', title: 'valid, never seen', known: true },
      sent: 'good tokens, each seen once',
      count: validTokens,
      make: material.cold,
    },
  ])
    rows.push(await pour(subject, material, flood))
  const notes = [
    `A thousand good tokens go on being used, one check in ${goodEvery}.`,
    `meshbind runs with ${nodeOptions}, as the chart has it for a limit of 512Mi.`,
  ]
  const made = await describeRun(notes, 1)
  await keepSection('memory', tellSection(made, [...rows, ...(await measureCached())], comparisons))
}

try {
  await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
