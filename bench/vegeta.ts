/**
 * An open-loop load generator that takes client certificates: vegeta, found or built at a pinned version. A request is
 * sent when it is due, whether or not those before it have been answered, and its time counts from when it was due.
 */

import { type ChildProcess, execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { endWithThisProcess } from '../test/support/envoy.ts'
import { findGo, goModuleDirectory } from '../test/support/go-tools.ts'
import type { Leaf } from '../test/support/pki.ts'
import type { Sample } from './results.ts'

const run = promisify(execFile)
const module = 'github.com/tsenart/vegeta/v12'
const version = 'v12.13.0'
const sum = 'h1:J/UiNS3f69MkL0tsRLVUUV8uXXQZxdRUchtS+GYiSFc='
const cache = fileURLToPath(new URL('../.cache', import.meta.url))
const buildTimeoutMs = 600_000

/** `VEGETA_BIN`, then `vegeta` on PATH, then the pinned one, built with Go. */
export async function provideVegeta(onProgress: (message: string) => void): Promise<string> {
  const given = process.env['VEGETA_BIN'] ?? ''
  if (given !== '') {
    if (existsSync(given)) return given
    throw new Error(`VEGETA_BIN is ${given}, and there is no such file`)
  }
  const built = join(cache, `vegeta-${version}`)
  const found = [...(process.env['PATH'] ?? '').split(delimiter), built]
    .map((directory) => join(directory, 'vegeta'))
    .find((path) => existsSync(path))
  return found ?? buildVegeta(built, onProgress)
}

async function buildVegeta(to: string, onProgress: (message: string) => void): Promise<string> {
  const go = findGo()
  if (go === undefined)
    throw new Error('No vegeta: set VEGETA_BIN, have vegeta on PATH, or Go 1.22 or later')
  onProgress(`building vegeta ${version} with Go, once`)
  await goModuleDirectory(module, version, sum, go)
  const partial = await mkdtemp(`${to}.`)
  try {
    const building = run(go, ['install', `${module}@${version}`], {
      env: { ...process.env, GOBIN: partial },
      timeout: buildTimeoutMs,
    })
    endWithThisProcess(building.child as ChildProcess)
    await building
    await rename(partial, to)
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return join(to, 'vegeta')
}

export interface Attack {
  readonly vegeta: string
  readonly directory: string
  /** What is sent, in turn: URLs and headers in vegeta's own format. */
  readonly targets: string
  readonly client: Leaf
  readonly authorityPem: string
  readonly perSecond: number
  readonly seconds: number
}

/** Connections are opened in the first second, which does not count. */
const warmUpSeconds = 1

export interface Attacked {
  readonly sent: number
  readonly sample: Sample
}

export async function attack(plan: Attack): Promise<Attacked> {
  const at = (name: string) => join(plan.directory, name)
  const files = {
    'targets.txt': plan.targets,
    'client.pem': plan.client.pem,
    'client.key': plan.client.keyPem,
    'authority.pem': plan.authorityPem,
  }
  for (const [name, text] of Object.entries(files)) await writeFile(at(name), text)
  const attacking = run(plan.vegeta, [
    ...['attack', '-targets', at('targets.txt'), '-output', at('results.bin')],
    ...['-rate', `${plan.perSecond}/s`, '-duration', `${plan.seconds + warmUpSeconds}s`],
    ...['-cert', at('client.pem'), '-key', at('client.key'), '-root-certs', at('authority.pem')],
    ...['-http2=false', '-timeout', '10s', '-max-body', '0'],
  ])
  endWithThisProcess(attacking.child as ChildProcess)
  await attacking
  await run(plan.vegeta, ['encode', '-to', 'csv', '-output', at('results.csv'), at('results.bin')])
  const lines = (await readFile(at('results.csv'), 'utf8')).trimEnd().split('\n')
  return { sent: lines.length, sample: readSample(lines, plan.perSecond) }
}

/** Some request was answered with anything but success: the figures of all would mean nothing. */
export class FailedRequests extends Error {}

/**
 * The figures of an attack from vegeta's CSV: nanoseconds since 1970, status, latency in nanoseconds, …, number. vegeta
 * times a request from its sending. When it was due follows from its number: the most punctual of all was in time.
 */
export function readSample(lines: readonly string[], perSecond: number): Sample {
  const sendings = lines.map(readLine)
  const refused = sendings.filter(({ status }) => status !== 200)
  if (refused.length > 0)
    throw new FailedRequests(
      `${refused.length} of ${sendings.length} requests failed, one with ${refused[0]?.error}`,
    )
  const origin = sendings.reduce(
    (least, { at }) => (at < least ? at : least),
    sendings[0]?.at ?? 0n,
  )
  const offsets = sendings.map(({ at, number }) => milliseconds(at - origin) - dueAt(number))
  const first = Math.min(...offsets)
  const counted = sendings.flatMap(({ latency, number }, i) =>
    number < warmUpSeconds * perSecond ? [] : [{ late: (offsets[i] ?? 0) - first, latency }],
  )
  const answered = counted.map(({ late, latency }) => late + latency)
  return {
    p50Milliseconds: quantile(answered, 0.5),
    p99Milliseconds: quantile(answered, 0.99),
    lateMilliseconds: quantile(
      counted.map(({ late }) => late),
      0.99,
    ),
  }

  function dueAt(number: number): number {
    return (number / perSecond) * 1000
  }
}

const milliseconds = (nanoseconds: bigint) => Number(nanoseconds) / 1e6

function readLine(line: string) {
  const [at = '0', status, latency = '0', , , error = '', , , number] = line.split(',')
  return {
    at: BigInt(at),
    status: Number(status),
    latency: milliseconds(BigInt(latency)),
    error,
    number: Number(number),
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
