/** The partner's introspection endpoint is spoiled (F6). */

import { setTimeout as sleep } from 'node:timers/promises'
import { claim, type Scenario, type Stage } from '../scenario.ts'
import type { Outcome } from '../send.ts'
import type { Manner } from '../servers.ts'
import { withToken } from './tokens.ts'

async function spoil(stage: Stage, manners: readonly (Manner | 'down')[], holdMs: number) {
  const { rig, load, traffic, progress } = stage
  const told = new Map<string, number>()
  let slowestMs = 0
  // A token that the cache knows passes, and one that it does not know cannot: the load may meet either.
  load.doubt(({ route }) => route === 'opaque')
  for (const manner of manners) {
    progress(`introspection endpoint: ${manner}`)
    if (manner === 'down') await rig.partner.stop()
    else rig.partner.behave(manner)
    const until = performance.now() + holdMs
    for (let n = 0; performance.now() < until; n++) {
      // A token that nobody has asked about: no cache can help.
      const fresh = withToken(traffic.sound('opaque'), { id: `fresh-${manner}-${n}` })
      const outcome = await load.ask(fresh)
      slowestMs = Math.max(slowestMs, outcome.milliseconds)
      const reason = manner === 'wrong-json' ? wrongJsonReason(outcome) : reasonOf(outcome)
      told.set(reason, (told.get(reason) ?? 0) + 1)
      await sleep(50)
    }
    if (manner === 'down') await rig.partner.resume()
    rig.partner.behave('sound')
  }
  // Until it is known to be well again, `recoverySeconds` go by.
  await sleep(500)
  load.doubt(() => false)
  const others = [...told.keys()].filter((reason) => reason !== 'introspection_unavailable')
  return [
    claim(
      'tokens that nobody has asked about are refused as introspection_unavailable (wrong JSON: token_inactive)',
      told.size > 0 && others.length === 0,
      `${[...told].map(([reason, count]) => `${count} ${reason}`).join(', ')}; the slowest after ${Math.round(slowestMs)} ms`,
    ),
  ]
}

/** `active` that is not `true` is no word for active (RFC 7662 §2.2): that is an answer, and not the want of one. */
function wrongJsonReason(outcome: Outcome): string {
  const reason = reasonOf(outcome)
  return reason === 'token_inactive' ? 'introspection_unavailable' : reason
}

function reasonOf(outcome: Outcome): string {
  if (outcome.kind !== 'answered') return outcome.kind
  return outcome.opened ? 'passed' : outcome.reason || `envoy ${outcome.status}`
}

const hanging: Scenario = {
  ...{ name: 'introspection-hangs', covers: ['F6'], short: true, lenient: true },
  ...{ recoverySeconds: 3, soundDuring: 0.999 },
  title: 'introspection hangs: opaque tokens are refused in time, others pass as ever',
  fault: (stage) => spoil(stage, ['hanging'], stage.many(3000, 20_000)),
}

const spoiled: Scenario = {
  ...{ name: 'introspection-spoiled', covers: ['F6'], short: false, lenient: true },
  ...{ recoverySeconds: 3, soundDuring: 0.999 },
  title: 'introspection down, slow, half-open, 500, HTML, wrong JSON, 10 MB',
  fault: (stage) =>
    spoil(
      stage,
      ['down', 'slow', 'half-open', 'error', 'garbage', 'wrong-json', 'huge'],
      stage.many(1000, 5000),
    ),
}

export const introspectionScenarios = [hanging, spoiled]
