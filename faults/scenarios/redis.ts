/** The shared store goes away: killed, paused, flushed (F16). */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Scenario, Stage } from '../scenario.ts'
import { onlyRefusedAs, replayAll } from './process.ts'

/** Routes whose proofs must be remembered are refused; nothing else is. */
const closed = ['state_unavailable']

async function killIt({ rig, load, traffic, many }: Stage) {
  const spent = [...traffic.spentOnes]
  await rig.redis?.kill()
  await sleep(many(3000, 20_000))
  const refusals = onlyRefusedAs(load, closed)
  await rig.redis?.restart()
  return [refusals, await replayAll(load, spent, 'by a store that came back empty')]
}

const killed: Scenario = {
  ...{ name: 'redis-killed', covers: ['F16'], short: true, lenient: true, recoverySeconds: 5 },
  title: 'Redis is killed and comes back empty; DPoP and WIMSE are closed, others pass',
  rig: { state: 'redis' },
  fault: killIt,
}

const paused: Scenario = {
  ...{ name: 'redis-paused', covers: ['F16'], short: false, lenient: true, recoverySeconds: 5 },
  title: 'Redis accepts connections and answers nothing, then goes on',
  rig: { state: 'redis' },
  async fault({ rig, load, traffic, many }) {
    const spent = [...traffic.spentOnes]
    rig.redis?.pause()
    await sleep(many(3000, 20_000))
    const refusals = onlyRefusedAs(load, closed)
    rig.redis?.resume()
    return [refusals, await replayAll(load, spent, 'by the store that hung')]
  },
}

const flushed: Scenario = {
  ...{ name: 'redis-flushed', covers: ['F16'], short: false, recoverySeconds: 5 },
  title: 'FLUSHALL on a Redis that is connected: what it forgot is not taken again',
  rig: { state: 'redis' },
  async fault({ rig, load, traffic }) {
    await sleep(1000)
    const spent = [...traffic.spentOnes]
    await rig.redis?.cli('FLUSHALL')
    return [await replayAll(load, spent, 'by the store that was flushed')]
  },
}

export const redisScenarios = [killed, paused, flushed]
