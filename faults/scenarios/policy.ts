/** The policy file is broken, swapped in a storm, tightened (F8). */

import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RequestFacts } from '../facts.ts'
import { claim, type Scenario, type Stage } from '../scenario.ts'

/** Another generation of the policy: other callers and another scope for the route x5t. */
const other = { callers: 'spiffe://mesh.example/ns/batch/*', scope: 'payments.batch' }
const inForceWithinMs = 5000

function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
  for (let n = 1; n < 10; n++) {
    const aliases = Array(10)
      .fill(`*a${n - 1}`)
      .join(', ')
    lines.push(`a${n}: &a${n} [${aliases}]`)
  }
  return lines.join('\n')
}

const broken: Scenario = {
  ...{ name: 'policy-broken', covers: ['F8'], short: true, recoverySeconds: 1, soundDuring: 0.999 },
  title: 'the policy truncated, emptied, bombed, misspelt, deleted: the last good one stays',
  async fault({ rig, many, progress }) {
    const good = rig.policy()
    const reloads = () =>
      rig.services[0]?.metric('meshbind_policy_reload_total{result="invalid"}') ?? 0
    const before = await reloads()
    const texts = {
      truncated: good.slice(0, good.indexOf('  routes:')),
      empty: '',
      'alias bomb': bomb(),
      misspelt: good.replace('audiences:', 'audience:'),
      'not text': '\u0000\u0001\u0002',
    }
    for (const [what, text] of Object.entries(texts)) {
      progress(`policy: ${what}`)
      await writeFile(rig.policyFile, text)
      await sleep(many(900, 5500))
    }
    progress('policy: deleted')
    await rm(rig.policyFile)
    await sleep(many(1500, 5500))
    const failed = (await reloads()) - before
    await rig.writePolicy(good)
    return [claim('the failures are counted for an alarm', failed >= 1, `${failed} as invalid`)]
  },
}

const tighten: Scenario = {
  ...{ name: 'policy-tighten', covers: ['F8'], short: false, recoverySeconds: 1 },
  title: 'the policy loses its callers, and gets them back',
  async fault({ rig, load, traffic }) {
    const x5t = ({ route }: RequestFacts) => route === 'x5t'
    load.doubt(x5t)
    const passes = async () => {
      const outcome = await load.ask(traffic.sound('x5t', 'w0'))
      return outcome.kind === 'answered' && outcome.opened
    }
    const until = async (wanted: boolean) => {
      const startedAt = performance.now()
      while ((await passes()) !== wanted && performance.now() - startedAt < 2 * inForceWithinMs)
        await sleep(20)
      return Math.round(performance.now() - startedAt)
    }
    await rig.writePolicy(rig.policy(other))
    const tightenedMs = await until(false)
    await rig.writePolicy(rig.policy())
    const loosenedMs = await until(true)
    load.doubt(() => false)
    const text = `in force within ${inForceWithinMs} ms`
    return [
      claim(`the tighter policy is ${text}`, tightenedMs <= inForceWithinMs, `${tightenedMs} ms`),
      claim(`the earlier one is ${text}`, loosenedMs <= inForceWithinMs, `${loosenedMs} ms`),
    ]
  },
}

const storm: Scenario = {
  ...{ name: 'policy-storm', covers: ['F8'], short: false, recoverySeconds: 6 },
  title: 'two policies swapped 20 times a second; no request meets a mixture',
  async fault(stage: Stage) {
    const { rig, load, traffic, many } = stage
    const reloads = () => rig.services[0]?.metric('meshbind_policy_reload_total') ?? 0
    const before = await reloads()
    load.doubt(({ route }) => route === 'x5t')
    let swaps = 0
    let mixed = 0
    let asked = 0
    const until = performance.now() + many(6000, 60_000)
    while (performance.now() < until) {
      await rig.writePolicy(rig.policy(swaps++ % 2 === 0 ? other : {}))
      for (const crossed of [
        cross(traffic.sound('x5t', 'batch'), 'payments.write'),
        cross(traffic.sound('x5t', 'w0'), 'payments.batch'),
      ]) {
        const outcome = await load.ask(crossed)
        asked++
        if (outcome.kind === 'answered' && outcome.opened) mixed++
      }
      await sleep(35)
    }
    await rig.writePolicy(rig.policy())
    await sleep(inForceWithinMs)
    load.doubt(() => false)
    const taken = (await reloads()) - before
    return [
      claim('what neither policy allows is refused', mixed === 0, `${mixed} of ${asked} passed`),
      claim('policies were taken meanwhile', taken >= 2, `${taken} reloads of ${swaps} swaps`),
    ]
  },
}

/** The callers of one generation with the scope of the other. */
function cross(sound: RequestFacts, scope: string): RequestFacts {
  const token = sound.token && { ...sound.token, scope, id: `${sound.token.id}-${scope}` }
  return { ...sound, title: `x5t, ${scope}`, ...(token && { token }) }
}

export const policyScenarios = [broken, tighten, storm]
