/** Others than Envoy reach meshbind and flood it (F12); more is asked than it can answer (F13). */

import { setTimeout as sleep } from 'node:timers/promises'
import { askDirectly } from '../direct.ts'
import {
  continueForEver,
  dripData,
  openIdle,
  openSlowStreams,
  type Rogue,
  resetRapidly,
} from '../rogue.ts'
import { claim, type Scenario, type Stage } from '../scenario.ts'

async function flood(stage: Stage, large: boolean) {
  const { rig, progress } = stage
  const [port = 0] = rig.ports
  const [service] = rig.services
  const files = service?.openFiles() ?? 0
  const floods: readonly (readonly [string, () => Promise<Rogue>])[] = [
    ['idle connections', () => openIdle(port, large ? 8000 : 1000)],
    ['streams that never end', () => openSlowStreams(port, large ? 100 : 8, 100)],
    ['rapid reset', () => resetRapidly(port, large ? 100_000 : 20_000)],
    ['CONTINUATION without end', () => continueForEver(port, large ? 4000 : 1000)],
    ['frames of one byte', () => dripData(port, large ? 10 : 2, 4_000_000)],
  ]
  for (const [name, begin] of floods) {
    progress(`flood: ${name}`)
    const rogue = await begin()
    await sleep(large ? 5000 : 800)
    progress(`${rogue.open()} of its connections are still open`)
    rogue.close()
    await sleep(200)
  }
  await sleep(1000)
  const after = service?.openFiles() ?? 0
  return [claim('open files are back', after <= files + 8, `${files} → ${after}`)]
}

const rogue: Scenario = {
  ...{ name: 'rogue', covers: ['F12'], short: false, recoverySeconds: 2, soundDuring: 0.99 },
  title:
    'a rogue peer: idle connections, endless streams, rapid reset, CONTINUATION, one-byte DATA',
  without: '10,000 connections from several hosts; 8,000 in the long form, 1,000 in the short one',
  fault: (stage) => flood(stage, stage.long),
}

const connections = 12
/** Together three times what meshbind takes at once (--max-in-flight, 1,024). */
const eachInFlight = 256

const peakCount = (stage: Stage) => connections * stage.many(2000, 8000)
/** On each connection: together three quarters of what meshbind takes at once. */
const peakInFlight = 64

/** Over all connections; per second. */
async function loadAll(
  load: (count: number, concurrency: number) => Promise<unknown>,
  count: number,
  inFlight: number,
): Promise<number> {
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: connections }, () => load(count / connections, inFlight)))
  return count / ((performance.now() - startedAt) / 1000)
}

const overload: Scenario = {
  ...{ name: 'overload', covers: ['F13'], short: false, recoverySeconds: 5 },
  title: 'three times as many checks at once as it takes, straight at its port',
  without:
    'a load that makes it refuse: a check of known facts gives way to none, so what is too much waits in the sockets',
  // Memory at full speed is what it is compared with.
  async prepare(stage) {
    const { load } = await askDirectly(stage.rig, stage.traffic)
    for (let n = 0; n < 3; n++) await loadAll(load, peakCount(stage), peakInFlight)
  },
  async fault(stage) {
    const { many, progress } = stage
    const { counted, load } = await askDirectly(stage.rig, stage.traffic)
    const peakPerSecond = await loadAll(load, peakCount(stage), peakInFlight)
    progress(`peak: ${Math.round(peakPerSecond)} a second`)
    const allowedAtPeak = counted.allows
    counted.allows = 0
    const count = Math.round((peakPerSecond * many(4, 60)) / connections) * connections
    const perSecond = await loadAll(load, count, eachInFlight)
    const { allows } = counted
    const goodput = (perSecond * allows) / count
    const share = goodput / peakPerSecond
    const told = `${Math.round(goodput)} of ${Math.round(peakPerSecond)} a second; ${count - allows} refused`
    return [
      claim('at its peak all are allowed', allowedAtPeak === peakCount(stage), allowedAtPeak),
      claim('goodput under overload ≥ 80 % of the peak', share >= 0.8, told),
    ]
  },
}

export const floodScenarios = [rogue, overload]
