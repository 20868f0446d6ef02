/** The clock that meshbind judges by is stepped and drifts (F7). */

import { setTimeout as sleep } from 'node:timers/promises'
import { claim, type Scenario, type Stage } from '../scenario.ts'
import { createTraffic } from '../traffic.ts'
import { replayAll } from './process.ts'

const hour = 3600
const day = 24 * hour
const clock = { meshbindOffsetSeconds: 0 }

/** While the order is carried out either clock may be the one that is asked. */
async function step({ rig, load, progress }: Stage, offsetSeconds: number): Promise<void> {
  progress(`clock: ${offsetSeconds} s from the true one`)
  load.doubtAll(true)
  await rig.services[0]?.order({ clockOffsetSeconds: offsetSeconds })
  clock.meshbindOffsetSeconds = offsetSeconds
  await sleep(300)
  load.doubtAll(false)
}

const without = 'faketime: Date.now is replaced inside meshbind'

const steps: Scenario = {
  ...{ name: 'clock', covers: ['F7'], short: true, recoverySeconds: 3, clock, without },
  title: 'the clock steps +1 h, -1 h, +400 d, and back; what was spent stays spent',
  async fault(stage) {
    const { load, traffic, many } = stage
    const spent = [...traffic.spentOnes]
    for (const offset of [hour, -hour, 400 * day]) {
      await step(stage, offset)
      await sleep(many(1500, 10_000))
    }
    await step(stage, 0)
    const { hostile } = load.tallies.during
    return [
      await replayAll(load, spent, 'once the clock is right again'),
      claim('much was out of its time meanwhile', hostile > 50, `${hostile} requests`),
    ]
  },
}

/** All clocks step, clients' too: a proof from the wrong hour is taken in that hour. */
async function stepTogether(stage: Stage) {
  const { rig, load, traffic } = stage
  const spent = [...traffic.spentOnes]
  await step(stage, hour)
  const ahead = createTraffic(rig.cast, { seed: 7, now: () => Date.now() / 1000 + hour })
  const outcome = await load.ask(ahead.sound('dpop'))
  const passed = outcome.kind === 'answered' && outcome.opened
  await step(stage, 0)
  return [
    claim('a proof of that hour passed in it', passed, passed ? 'it did' : outcome.kind),
    await replayAll(load, spent, 'once the clock is right again'),
  ]
}

const proofs: Scenario = {
  ...{ name: 'clock-proofs', covers: ['F7'], short: false, recoverySeconds: 3, clock, without },
  title: 'all clocks step +1 h and back; fresh proofs pass again, those of before do not (memory)',
  fault: stepTogether,
}

const sharedProofs: Scenario = {
  ...{ name: 'clock-shared', covers: ['F7'], short: false, recoverySeconds: 3, clock, without },
  title: 'the same, with proofs in Redis, whose own clock is right',
  rig: { state: 'redis' },
  fault: stepTogether,
}

const drift: Scenario = {
  ...{ name: 'clock-drift', covers: ['F7'], short: false, recoverySeconds: 3, clock },
  title: 'the clock gains 30 s a minute for two minutes, and is set right',
  without,
  async fault(stage) {
    const { rig, load, many } = stage
    await rig.services[0]?.order({ clockDrift: 0.5 })
    const startedAt = Date.now()
    const until = startedAt + many(10_000, 120_000)
    while (Date.now() < until) {
      clock.meshbindOffsetSeconds = ((Date.now() - startedAt) / 1000) * 0.5
      await sleep(50)
    }
    const { falseAllows } = load.tallies.during
    await step(stage, 0)
    return [claim('nothing past its end passes by the fast clock', falseAllows === 0, falseAllows)]
  },
}

const staleKeys: Scenario = {
  ...{ name: 'keys-stale', covers: ['F4', 'F7'], short: false, recoverySeconds: 15, clock },
  // What else a clock does to proofs is told by `clock-proofs`.
  kinds: ['x5t', 'jwk', 'spiffe', 'opaque'],
  title: 'the key server is down for over an hour (by meshbind’s clock): its tokens are refused',
  async fault(stage) {
    const { rig, load, many } = stage
    const later = 3700
    await rig.keys.stop()
    await step(stage, later)
    // Keys from files are read every three seconds.
    await sleep(many(4000, 4000))
    const now = () => Date.now() / 1000 + later
    const ahead = createTraffic(rig.cast, { seed: 7, now })
    const told: string[] = []
    // Sound, by that clock, and yet to be refused: the load must not count them.
    load.doubtAll(true)
    for (const kind of ['x5t', 'jwk', 'spiffe', 'dpop', 'wimse', 'opaque'] as const) {
      const outcome = await load.ask(ahead.sound(kind))
      const passed = outcome.kind === 'answered' && outcome.opened
      const reason = outcome.kind === 'answered' ? outcome.reason : outcome.kind
      told.push(`${kind} ${passed ? 'passed' : reason}`)
    }
    await rig.keys.resume()
    await step(stage, 0)
    const jwts = told.slice(0, 4)
    return [
      claim(
        'the issuer’s tokens are refused as keys_unavailable',
        jwts.every((text) => text.endsWith('keys_unavailable')),
        jwts.join(', '),
      ),
      claim(
        'other issuers’ pass',
        told.slice(4).every((text) => text.endsWith('passed')),
        told.slice(4).join(', '),
      ),
    ]
  },
}

export const clockScenarios = [steps, proofs, sharedProofs, drift, staleKeys]
