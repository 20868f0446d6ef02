/** The key server is spoiled, or its keys rotate (F4, F5). */

import { setTimeout as sleep } from 'node:timers/promises'
import { createTestIssuer } from '../../test/support/issuer.ts'
import type { RequestFacts } from '../facts.ts'
import { corpIssuer } from '../policy.ts'
import { claim, type Scenario, type Stage } from '../scenario.ts'
import type { Manner } from '../servers.ts'

/** A fetch because of an unknown key is made once in this time (docs/architecture.md, "Keys"). */
const cooldownSeconds = 10

/** A token whose key is in no set: what makes meshbind ask the key server. */
export async function askWithUnknownKey({ rig, load, traffic }: Stage): Promise<void> {
  const keyId = 'never-published'
  if (!rig.cast.issuers.has(keyId)) {
    const issuer = await createTestIssuer(corpIssuer, { keyId })
    // Not the last of the map: that one signs the sound tokens.
    const others = [...rig.cast.issuers]
    rig.cast.issuers.clear()
    for (const [id, each] of [[keyId, issuer] as const, ...others]) rig.cast.issuers.set(id, each)
  }
  const sound = traffic.sound('x5t')
  const token = sound.token && { ...sound.token, keyId, id: 'unknown-key' }
  await load.ask({ ...sound, title: 'x5t, by an unknown key', ...(token && { token }) })
}

const manners: readonly (Manner | 'down')[] = [
  ...(['down', 'slow', 'error', 'garbage', 'empty-set', 'huge'] as const),
]

async function spoilKeys(stage: Stage, chosen: readonly (Manner | 'down')[]) {
  const { rig, progress } = stage
  const fetches = () => rig.services[0]?.metric('meshbind_keys_fetch_total') ?? 0
  const before = await fetches()
  const startedAt = performance.now()
  for (const manner of chosen) {
    progress(`key server: ${manner}`)
    if (manner === 'down') await rig.keys.stop()
    else rig.keys.behave(manner)
    const until = performance.now() + (cooldownSeconds + 1) * 1000
    while (performance.now() < until) {
      await askWithUnknownKey(stage)
      await sleep(100)
    }
    if (manner === 'down') await rig.keys.resume()
  }
  rig.keys.behave('sound')
  const seconds = (performance.now() - startedAt) / 1000
  const fetched = (await fetches()) - before
  // Two sources have a timer of their own; a slow answer may end after its time.
  const budget = Math.ceil(seconds / cooldownSeconds) + 2
  return [
    claim(
      'it was asked during the fault, and seldom',
      fetched >= 1 && fetched <= budget + wits(seconds),
      `${fetched} reads in ${seconds.toFixed(0)} s`,
    ),
  ]
}

/** The WIT issuer's file is read every three seconds, and counted beside it. */
const wits = (seconds: number) => Math.ceil(seconds / 3) + 1

const spoiled: Scenario = {
  ...{ name: 'keys-spoiled', covers: ['F4'], short: false, recoverySeconds: 1 },
  title: 'JWKS down, slow, 500, HTML, empty, 10 MB; known keys serve on',
  soundDuring: 0.999,
  without: 'ten minutes of it; the limits of p99 (recorded only)',
  fault: (stage) => spoilKeys(stage, manners),
}

const garbage: Scenario = {
  ...{ name: 'keys-garbage', covers: ['F4'], short: false, recoverySeconds: 0, soundDuring: 0.999 },
  title: 'JWKS answers HTML; known keys serve on',
  fault: (stage) => spoilKeys(stage, ['garbage']),
}

const rotate: Scenario = {
  ...{ name: 'keys-rotate', covers: ['F5'], short: false, recoverySeconds: 1 },
  title: 'JWKS rotates again and again, the old key removed each time',
  without: 'every 5 s: a removal is seen with the next read, which an unknown key brings about',
  async fault(stage) {
    const { rig, load, traffic, many, progress } = stage
    const { issuers } = rig.cast
    const jwts = new Set(['x5t', 'jwk', 'spiffe', 'dpop'])
    let slowestMs = 0
    let oldPassed = 0
    for (let n = 2; n < 2 + many(1, 6); n++) {
      const old = traffic.sound('x5t')
      await load.ask(old)
      const keyId = `key-${n}`
      issuers.set(keyId, await createTestIssuer(corpIssuer, { keyId }))
      const changing = ({ route }: RequestFacts) => jwts.has(route)
      load.doubt(changing)
      rig.world.keyIds.add(keyId)
      rig.published.clear()
      rig.published.add(keyId)
      const startedAt = performance.now()
      const limit = startedAt + (cooldownSeconds + 2) * 1000
      while (!passed(await load.ask(traffic.sound('x5t'))) && performance.now() < limit)
        await sleep(100)
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      rig.world.keyIds.clear()
      rig.world.keyIds.add(keyId)
      load.doubt(() => false)
      if (passed(await load.ask(old))) oldPassed++
      progress(`key ${n} in force after ${Math.round(performance.now() - startedAt)} ms`)
    }
    return [
      claim(
        `tokens of the new key pass within ${cooldownSeconds + 1} s`,
        slowestMs <= (cooldownSeconds + 1) * 1000,
        `${Math.round(slowestMs)} ms at most`,
      ),
      claim('tokens of the removed key, known before, are refused', oldPassed === 0, oldPassed),
    ]
  },
}

const passed = (outcome: Awaited<ReturnType<Stage['load']['ask']>>): boolean =>
  outcome.kind === 'answered' && outcome.opened

export const keyScenarios = [garbage, spoiled, rotate] satisfies readonly Scenario[]
