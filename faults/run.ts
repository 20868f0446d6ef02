/** Runs one scenario: load, warm-up, baseline, fault, recovery, and the standing criteria over all that was counted. */

import { setTimeout as sleep } from 'node:timers/promises'
import { judge } from './criteria.ts'
import { warmUp } from './direct.ts'
import { envoyTimeoutMs } from './envoy.ts'
import { type Load, startLoad } from './load.ts'
import type { Result } from './result.ts'
import { type Rig, startRig } from './rig.ts'
import type { Claim, Scenario, Stage } from './scenario.ts'
import type { Service } from './service.ts'
import { createTraffic } from './traffic.ts'

export interface RunOptions {
  readonly long: boolean
  /** Requests per second. */
  readonly rate: number
  readonly seed: number
  readonly commit: string
  readonly progress: (message: string) => void
}

/** Proofs from before the start are refused for clockSkew; then memory has to grow to what is usual. */
const warmingMs = { short: 3000, long: 10_000 }
const beforeMs = { short: 2000, long: 10_000 }
const inFlightMs = envoyTimeoutMs + 100
const afterMs = { short: 4000, long: 20_000 }

export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Result> {
  const startedAt = new Date()
  const rig = await startRig(scenario.rig)
  try {
    return await play(scenario, options, rig, startedAt)
  } finally {
    await rig.close()
  }
}

async function play(
  scenario: Scenario,
  options: RunOptions,
  rig: Rig,
  startedAt: Date,
): Promise<Result> {
  const { long, rate, seed, commit, progress } = options
  const form = long ? 'long' : 'short'
  const now = () => Date.now() / 1000
  if (scenario.clock !== undefined) scenario.clock.meshbindOffsetSeconds = 0
  const kinds = scenario.kinds === undefined ? {} : { kinds: scenario.kinds }
  const traffic = createTraffic(rig.cast, { seed, now, ...kinds })
  const meshbindNow = () => now() + (scenario.clock?.meshbindOffsetSeconds ?? 0)
  const common = { craft: rig.craft, sender: rig.sender, world: rig.world, now: meshbindNow }
  const strict = startLoad({ ...common, traffic, rate, port: () => rig.port('strict') })
  const lenient =
    scenario.lenient === true
      ? startLoad({ ...common, traffic, rate: rate / 3, port: () => rig.port('lenient') })
      : undefined
  const loads = lenient === undefined ? [strict] : [strict, lenient]
  const enter = (phase: Parameters<Load['enter']>[0]) => {
    for (const load of loads) load.enter(phase)
    progress(phase)
  }
  const many = (short: number, longer: number) => (long ? longer : short)
  const stage: Stage = { rig, traffic, load: strict, long, many, progress }
  try {
    await Promise.all([warmUp(rig, traffic), sleep(warmingMs[form])])
    await scenario.prepare?.(stage)
    enter('before')
    await sleep(beforeMs[form])
    const baseline = await memoryOf(rig.services)
    enter('during')
    // What was asked before is answered before the fault begins.
    await sleep(inFlightMs)
    const claims: Claim[] = [...(await scenario.fault(stage))]
    enter('settling')
    await sleep(scenario.recoverySeconds * 1000)
    enter('after')
    await sleep(afterMs[form])
    if (scenario.afterwards !== undefined) claims.push(...(await scenario.afterwards(stage)))
    for (const load of loads) await load.stop()
    const memory = await settledMemory(rig.services, baseline)
    const counters = await rig.counters()
    const leaks = rig.services.reduce((sum, service) => sum + service.leaks(), 0)
    const ended = rig.services.filter((service) => !service.running()).length
    const seen = { strict, lenient, baseline, memory, counters, leaks, ended, claims }
    return judge(scenario, { ...seen, form, rate, seed, startedAt, commit })
  } finally {
    for (const load of loads) await load.stop()
  }
}

/** After garbage was collected, of all services together; bytes. */
async function memoryOf(services: readonly Service[]): Promise<number> {
  let sum = 0
  for (const service of services) {
    await service.order({ collect: true })
    sum += service.rssBytes()
  }
  return sum
}

const memoryTries = 4
/** V8 gives pages back some eight seconds after the load has gone, and each collection that is asked for puts that off. */
const memoryTryMs = 9000
export const memoryTolerance = 1.1

async function settledMemory(services: readonly Service[], baseline: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let n = 0; n < memoryTries && least > baseline * memoryTolerance; n++) {
    if (n > 0) await sleep(memoryTryMs)
    least = Math.min(least, await memoryOf(services.filter((service) => service.running())))
  }
  return least
}
