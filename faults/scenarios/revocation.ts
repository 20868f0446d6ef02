/** A token is revoked while two replicas know it (F15). */

import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../../test/support/meshbind.ts'
import type { Listener } from '../envoy.ts'
import { corpIssuer } from '../policy.ts'
import { claim, type Scenario } from '../scenario.ts'
import { withToken } from './tokens.ts'

const inForceWithinMs = 2000

const revocation: Scenario = {
  ...{ name: 'revocation', covers: ['F15'], short: false, recoverySeconds: 1, soundDuring: 0.999 },
  title: 'meshbind revoke, for a token that both replicas have just let through',
  rig: { replicas: 2 },
  without:
    'a revocation feed that is down for five minutes (test/e2e/revocation.test.ts has what comes of it)',
  async fault({ rig, load, traffic, many }) {
    let slowestMs = 0
    let passedLate = 0
    let knownBefore = 0
    for (let n = 0; n < many(2, 10); n++) {
      const facts = withToken(traffic.sound('x5t'), { id: `revoked-${n}` })
      const wire = await rig.craft(facts)
      const passes = async (listener: Listener) => {
        const outcome = await rig.sender.send(wire, rig.port(listener))
        return outcome.kind === 'answered' && outcome.opened
      }
      for (let ask = 0; ask < 6; ask++) if (await passes('strict')) knownBefore++
      if (await passes('second')) knownBefore++
      const named = ['--issuer', corpIssuer, '--jti', `revoked-${n}`]
      await runCommand(['revoke', '--state', rig.redis?.url ?? '', ...named])
      const startedAt = performance.now()
      while ((await passes('second')) && performance.now() - startedAt < 5000) await sleep(20)
      while ((await passes('strict')) && performance.now() - startedAt < 5000) await sleep(20)
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      await sleep(Math.max(0, inForceWithinMs - (performance.now() - startedAt)))
      rig.world.revokedIds.add(`revoked-${n}`)
      for (let ask = 0; ask < 20; ask++) {
        const outcome = await load.ask(facts, wire)
        if (outcome.kind === 'answered' && outcome.opened) passedLate++
      }
    }
    const limit = `${inForceWithinMs} ms`
    return [
      claim('each was known to both replicas before', knownBefore === many(14, 70), knownBefore),
      claim(
        `in force within ${limit}`,
        slowestMs <= inForceWithinMs,
        `${Math.round(slowestMs)} ms`,
      ),
      claim(`none passes after ${limit}, on either replica`, passedLate === 0, passedLate),
    ]
  },
}

export const revocationScenarios = [revocation]
