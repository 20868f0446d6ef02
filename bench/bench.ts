/**
 * `make bench`: meshbind beside its floor, a constant-answer grpc-js server, driven in turn with the same realistic
 * CheckRequests by one load generator. Prints ratios; absolute figures only say which machine this was.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { startMeshbind } from '../test/support/meshbind.ts'
import type { Rate, Work } from './jose-rate.ts'
import { certificates, createMaterial, tokens } from './material.ts'
import { measure, type Sample, type Subject } from './measure.ts'
import { loadCore, pin, serverCore } from './pin.ts'

const repetitions = Number(process.env['BENCH_REPETITIONS'] ?? 5)
const warmCount = 30_000
const coldCount = 8000

const say = (text: string) => process.stderr.write(`… ${text}\n`)

async function startFloor(): Promise<{ child: ChildProcess; subject: Subject }> {
  const child = fork(fileURLToPath(new URL('./floor.ts', import.meta.url)))
  const { port } = await new Promise<{ port: number }>((resolve) =>
    child.once('message', (message) => resolve(message as { port: number })),
  )
  return { child, subject: { name: 'floor', port, pid: child.pid ?? 0 } }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function spread(values: readonly number[], digits = 2): string {
  return `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`
}

/** The machine's plain ES256 rate: jose alone, in a process of its own. */
async function verifyPlainly(child: ChildProcess, work: Work): Promise<Sample> {
  const rate = await new Promise<Rate>((resolve) => {
    child.once('message', (message) => resolve(message as Rate))
    child.send(work)
  })
  return { ...rate, p50: Number.NaN, p99: Number.NaN }
}

const cleanups: (() => unknown)[] = []

async function startSubject(policyFile: string): Promise<Subject> {
  const { port, pid, stop } = await startMeshbind([
    ...['--policy', policyFile, '--listen', '127.0.0.1:0', '--admin', 'off'],
    ...['--decision-log', 'deny', '--deadline', '5s'],
  ])
  cleanups.push(stop)
  return { name: 'meshbind', port, pid }
}

interface Samples {
  readonly floor: Sample[]
  readonly warm: Sample[]
  readonly hops: Sample[]
  readonly crowded: Sample[]
  readonly cold: Sample[]
  readonly proofs: Sample[]
  readonly workloads: Sample[]
  readonly introspected: Sample[]
  readonly neverIntrospected: Sample[]
  /** One after the other, and 32 at once. */
  readonly jose: Sample[]
  readonly joseAtOnce: Sample[]
  readonly floorAlone: Sample[]
  readonly warmAlone: Sample[]
}

async function main(): Promise<void> {
  say(`making ${certificates} certificates, ${tokens} tokens and the questions about them`)
  const material = await createMaterial()
  cleanups.push(() => material.close())
  const { warm, hops } = material

  say('starting meshbind and the floor')
  const floor = await startFloor()
  cleanups.push(() => floor.child.kill())
  const subject = await startSubject(material.policyFile)
  const crowd = await startSubject(material.crowdedPolicyFile)

  const jose = fork(fileURLToPath(new URL('./jose-rate.ts', import.meta.url)))
  cleanups.push(() => jose.kill())
  const verify = async (atOnce: number) => {
    const proofs = await material.bareProofs(coldCount)
    return verifyPlainly(jose, { key: material.proofKey, proofs, atOnce })
  }

  if (process.env['BENCH_PIN'] === '1') {
    const servers = [floor.subject.pid, subject.pid, crowd.pid, jose.pid ?? 0]
    for (const pid of servers) await pin(pid, serverCore)
    await pin(process.pid, loadCore)
    say(`servers on core ${serverCore}, load on core ${loadCore}`)
  }

  say('warming up')
  for (const each of [floor.subject, subject]) await measure(each, warm, warmCount, 32)
  await measure(subject, hops, warmCount, 32)
  await measure(crowd, warm, warmCount, 32)
  await measure(subject, await material.proofs(coldCount), coldCount, 32)
  await measure(subject, await material.workloads(coldCount), coldCount, 32)
  await measure(subject, material.opaque, warmCount, 32)
  for (const atOnce of [1, 32]) await verify(atOnce)

  const samples: Samples = {
    ...{
      floor: [],
      warm: [],
      hops: [],
      crowded: [],
      cold: [],
      proofs: [],
      jose: [],
      joseAtOnce: [],
    },
    ...{ floorAlone: [], warmAlone: [], workloads: [], introspected: [], neverIntrospected: [] },
  }
  for (let r = 0; r < repetitions; r++) {
    say(`repetition ${r + 1} of ${repetitions}`)
    const cold = await material.cold(coldCount)
    const proofs = await material.proofs(coldCount)
    samples.floor.push(await measure(floor.subject, warm, warmCount, 32))
    samples.warm.push(await measure(subject, warm, warmCount, 32))
    samples.hops.push(await measure(subject, hops, warmCount, 32))
    samples.crowded.push(await measure(crowd, warm, warmCount, 32))
    samples.floorAlone.push(await measure(floor.subject, warm, warmCount / 5, 1))
    samples.warmAlone.push(await measure(subject, warm, warmCount / 5, 1))
    samples.cold.push(await measure(subject, cold, coldCount, 32))
    samples.proofs.push(await measure(subject, proofs, coldCount, 32))
    const workloads = await material.workloads(coldCount)
    samples.workloads.push(await measure(subject, workloads, coldCount, 32))
    samples.introspected.push(await measure(subject, material.opaque, warmCount, 32))
    const unknown = material.neverIntrospected(coldCount)
    samples.neverIntrospected.push(await measure(subject, unknown, coldCount, 32))
    samples.jose.push(await verify(1))
    samples.joseAtOnce.push(await verify(32))
  }
  report(samples, warm)
}

const rate = (sample: Sample) => sample.perSecond
const perCore = (sample: Sample) => 1e6 / sample.cpuMicroseconds

function ratios(of: readonly Sample[], base: readonly Sample[], pick: (sample: Sample) => number) {
  return spread(of.map((sample, i) => pick(sample) / pick(base[i] as Sample)))
}

function report(samples: Samples, warm: readonly Buffer[]): void {
  const bytes = Math.round(warm.reduce((sum, message) => sum + message.length, 0) / warm.length)
  const model = cpus()[0]?.model ?? 'unknown CPU'
  const columns = (...texts: readonly string[]) =>
    console.log(`  ${texts.map((text, i) => text.padEnd(i === 0 ? 27 : 24)).join(' ')}`.trimEnd())
  console.log(
    `\nNode ${process.versions.node}, ${cpus().length} × ${model}; a CheckRequest is ${bytes} bytes; median (min–max) of ${repetitions} repetitions\n`,
  )
  columns('', 'checks per second', 'of the floor', 'CPU per check (µs)', 'of the floor, per core')
  const row = (title: string, of: readonly Sample[], base: readonly Sample[]) =>
    columns(
      title,
      spread(of.map(rate), 0),
      of === base ? '' : ratios(of, base, rate),
      spread(
        of.map(({ cpuMicroseconds }) => cpuMicroseconds),
        1,
      ),
      of === base ? '' : ratios(of, base, perCore),
    )
  row('floor, 32 in flight', samples.floor, samples.floor)
  row('warm', samples.warm, samples.floor)
  row('warm, two hops (XFCC)', samples.hops, samples.floor)
  row('warm, 1,000 routes', samples.crowded, samples.floor)
  row('token never seen', samples.cold, samples.floor)
  row('DPoP, fresh proof each', samples.proofs, samples.floor)
  row('WIT, fresh WPT each', samples.workloads, samples.floor)
  row('introspected, known', samples.introspected, samples.floor)
  row('introspected, never seen', samples.neverIntrospected, samples.floor)
  row('floor, one at a time', samples.floorAlone, samples.floorAlone)
  row('warm, one at a time', samples.warmAlone, samples.floorAlone)
  row('jose, ES256, in turn', samples.jose, samples.jose)
  row('jose, ES256, 32 at once', samples.joseAtOnce, samples.joseAtOnce)
  const against = (title: string, of: readonly Sample[], base: readonly Sample[]) =>
    columns(title, ratios(of, base, rate), '', '', ratios(of, base, perCore))
  console.log()
  columns('', 'by rate', '', '', 'per core')
  against('two hops / warm', samples.hops, samples.warm)
  against('1,000 routes / warm', samples.crowded, samples.warm)
  against('DPoP / jose in turn', samples.proofs, samples.jose)
  against('DPoP / jose 32 at once', samples.proofs, samples.joseAtOnce)
  against('WIT and WPT / jose in turn', samples.workloads, samples.jose)
  against('introspected / warm', samples.introspected, samples.warm)
  against('never seen / jose in turn', samples.cold, samples.jose)
  against('never seen / jose 32', samples.cold, samples.joseAtOnce)
  console.log()
  columns('latency (ms)', 'p50', 'p99')
  for (const [title, of] of [
    ['floor, 32 in flight', samples.floor],
    ['warm', samples.warm],
    ['warm, two hops (XFCC)', samples.hops],
    ['token never seen', samples.cold],
    ['DPoP, fresh proof each', samples.proofs],
    ['WIT, fresh WPT each', samples.workloads],
    ['introspected, known', samples.introspected],
    ['introspected, never seen', samples.neverIntrospected],
  ] as const) {
    columns(title, spread(of.map(({ p50 }) => p50)), spread(of.map(({ p99 }) => p99)))
  }
}

try {
  await main()
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
