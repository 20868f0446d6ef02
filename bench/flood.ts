/**
 * `npm run bench:flood`: what floods do to memory and to those who were there before. A thousand tokens go on being used,
 * one check in ten, while junk and then valid tokens that nobody has seen before pour in; tells RSS and the share of the
 * thousand's checks that found their facts.
 */

import { readFile } from 'node:fs/promises'
import { startMeshbind } from '../test/support/meshbind.ts'
import { runLoad } from './http2-load.ts'
import { createMaterial, type Material } from './material.ts'

const junkTokens = Number(process.env['FLOOD_JUNK'] ?? 1_000_000)
const validTokens = Number(process.env['FLOOD_VALID'] ?? 200_000)
const batch = 20_000
const goodEvery = 10
const path = '/envoy.service.auth.v3.Authorization/Check'

const say = (text: string) => process.stderr.write(`… ${text}\n`)
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
  readonly title: string
  readonly count: number
  /** Fresh questions, as many as asked for; none of them is seen twice. */
  readonly make: (count: number) => Promise<Buffer[]> | Buffer[]
  /** How many of them become known, each as a miss of its own. */
  readonly known: boolean
}

async function pour(subject: Subject, { warm }: Material, flood: Flood) {
  const before = await figuresOf(subject)
  let peak = before.rssMebibytes
  let good = 0
  for (let sent = 0; sent < flood.count; sent += batch) {
    const strange = await flood.make(Math.min(batch, flood.count - sent))
    const messages = strange.flatMap((message, i) =>
      i % (goodEvery - 1) === 0 ? [message, warm[good++ % warm.length] as Buffer] : [message],
    )
    await runLoad({ port: subject.port, path, messages, count: messages.length, concurrency: 32 })
    peak = Math.max(peak, (await figuresOf(subject)).rssMebibytes)
    say(
      `${flood.title}: ${sent + strange.length} of ${flood.count}, RSS at most ${peak.toFixed(0)} MiB`,
    )
  }
  const after = await figuresOf(subject)
  const misses = after.misses - before.misses - (flood.known ? flood.count : 0)
  console.log(
    `  ${flood.title.padEnd(34)} ${flood.count.toLocaleString('en').padStart(10)}   RSS ${before.rssMebibytes.toFixed(0)} → at most ${peak.toFixed(0)} MiB, at the end ${after.rssMebibytes.toFixed(0)}   ${after.tokens} tokens known   known ones found ${(100 * (1 - misses / good)).toFixed(2)} %`,
  )
}

async function main(): Promise<void> {
  const material = await createMaterial()
  cleanups.push(() => material.close())
  const { port, pid, stop, lines } = await startMeshbind([
    ...['--policy', material.policyFile, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
    ...['--decision-log', 'off', '--deadline', '5s'],
  ])
  cleanups.push(stop)
  const admin = String(lines.find(({ message }) => message === 'listening')?.['admin'])
  const subject = { port, pid, admin }
  const { warm } = material
  await runLoad({ port, path, messages: warm, count: 30_000, concurrency: 32 })
  console.log(
    `\nNode ${process.versions.node}; a thousand good tokens, one check in ${goodEvery}\n`,
  )
  for (const flood of [
    {
      title: 'junk: no token at all',
      count: junkTokens / 2,
      make: material.nonsense,
      known: false,
    },
    {
      title: 'junk: altered signatures',
      count: junkTokens / 2,
      make: material.altered,
      known: false,
    },
    { title: 'valid, never seen', count: validTokens, make: material.cold, known: true },
  ])
    await pour(subject, material, flood)
}

try {
  await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
