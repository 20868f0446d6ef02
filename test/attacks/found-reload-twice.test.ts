/** Found by attacks: a WPT that was spent, across two reloads one after the other, and across one by a clock that was set back (policy.md, Proofs and replay). */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { createReloadRig, type Parts, proof, start } from '../support/wimse-reload.ts'

/** What a single reload does is told in test/service/wimse-reload.test.ts; here the second one forgets what the first has moved. */
const twoReloads: {
  readonly [what: string]: readonly [
    wpt: readonly [exp: number, iat: number | undefined],
    policies: readonly [Parts, Parts, Parts],
    later: number,
  ]
} = {
  'a smaller clock skew, then another name': [
    [100, start + 29],
    [{}, { skew: '0s' }, { name: 'b', skew: '0s' }],
    29,
  ],
  'a shorter maxLifetime, then another name': [
    [600, undefined],
    [{ maxLifetime: '10m' }, { maxLifetime: '1m' }, { name: 'b', maxLifetime: '1m' }],
    545,
  ],
  'another name and a smaller clock skew, then a longer maxLifetime': [
    [100, start + 29],
    [
      {},
      { name: 'b', skew: '0s', maxLifetime: '1m' },
      { name: 'b', skew: '0s', maxLifetime: '2m' },
    ],
    29,
  ],
}

for (const [what, [[life, iat], [before, between, after], later]] of Object.entries(twoReloads)) {
  test(`policy.md, Proofs and replay: a WPT that was spent is not taken again after ${what}`, async (t) => {
    const { take, ask, setNow } = await createReloadRig(t, before)
    const wpt = await proof(start + life, iat)
    t.is(await ask(wpt), '')
    await take(between)
    await take(after)
    for (const at of [start, start + 1, start + later]) {
      setNow(at)
      t.regex(await ask(wpt), /^workload_proof_(?:replayed|invalid)/, `${at - start}`)
    }
  })
}

test('policy.md, Proofs and replay; F7: a WPT that was spent is not taken again where the policy is renamed while the clock is wrong', async (t) => {
  const { take, ask, setNow, keeper } = await createReloadRig(t, {})
  const wpt = await proof(start + 60, start)
  t.is(await ask(wpt), '')
  // The keeper looks at the clock once a second: it has seen this hour before it is set back.
  await sleep(1500)
  setNow(start - 1000)
  await take({ name: 'b' })
  t.true((keeper.current.proofsSince ?? 0) >= start)
  setNow(start + 1)
  t.regex(await ask(wpt), /^workload_proof_(?:replayed|invalid)/)
})
