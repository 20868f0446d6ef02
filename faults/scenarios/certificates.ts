/** Certificates end and are renewed while connections live (F14). */

import { setTimeout as sleep } from 'node:timers/promises'
import type { RequestFacts } from '../facts.ts'
import { claim, type Scenario } from '../scenario.ts'
import { replaced } from './tokens.ts'

/** Time enough to open connections, and then to ask over them until the end. */
const lifetimeSeconds = 5

const certificates: Scenario = {
  ...{ name: 'certificates', covers: ['F14'], short: false, recoverySeconds: 1 },
  // Once its certificate has ended, a workload gets no new connection from Envoy.
  breaksConnections: true,
  title: 'a certificate of 5 s ends on connections that live on, and is renewed',
  without: 'resumed TLS sessions (test/e2e/envoy.test.ts has them)',
  async fault({ rig, load, traffic, many, progress }) {
    const { cast, sender } = rig
    const holder = 'w0'
    const ofIt = ({ presenter }: RequestFacts) => presenter?.holder === holder
    const change = async (seconds: number) => {
      load.doubt(ofIt)
      await cast.renew(holder, seconds)
      sender.forget(holder)
      await sleep(400)
      load.doubt(() => false)
    }
    let ended = 0
    let spiffeRefused = 0
    let oldPassed = 0
    for (let n = 0; n < many(1, 6); n++) {
      const old = traffic.sound('x5t', holder)
      await change(lifetimeSeconds)
      progress(`a certificate that ends in ${lifetimeSeconds} s`)
      // The token of the certificate before, presented with the one that there is now.
      const stale = replaced(old, cast.presenter(holder))
      const late = await load.ask(stale)
      if (late.kind === 'answered' && late.opened) oldPassed++
      const until = performance.now() + (lifetimeSeconds - 2.5) * 1000
      while (performance.now() < until) {
        const outcome = await load.ask(traffic.sound('spiffe', holder))
        if (outcome.kind !== 'answered' || !outcome.opened) spiffeRefused++
        await sleep(100)
      }
      await sleep(4500)
      for (let ask = 0; ask < 5; ask++) {
        const outcome = await load.ask(traffic.sound('x5t', holder))
        if (outcome.kind === 'answered' && outcome.reason === 'presenter_expired') ended++
      }
      await change(12 * 3600)
    }
    return [
      claim('over living connections it is refused as presenter_expired', ended > 0, ended),
      claim('tokens of the certificate before are refused', oldPassed === 0, oldPassed),
      claim('tokens bound to the identity pass all the while', spiffeRefused === 0, spiffeRefused),
    ]
  },
}

export const certificateScenarios = [certificates]
