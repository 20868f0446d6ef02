/** WIMSE across a reload of the policy: keys go on, and a WPT that was spent is not taken once more (policy.md, Proofs and replay). */

import test from 'ava'
import { createReloadRig, type Parts, proof, start } from '../support/wimse-reload.ts'

const witReads = (reads: readonly string[]) => reads.filter((use) => use === 'wimse mesh.example')

test('architecture §8: a policy that says the same of wimse goes on with its keys and its remembered WITs', async (t) => {
  const { keeper, reads, take, ask } = await createReloadRig(t, {})
  t.is(await ask(await proof(start + 60)), '')
  const { workloads } = keeper.current.policy
  const before = witReads(reads).length
  await take({ route: 'other', maxLifetime: '1m' })
  t.is(keeper.current.policy.routes[0]?.name, 'other')
  t.is(keeper.current.policy.workloads, workloads)
  t.is(workloads?.cache.size, 1)
  t.is(witReads(reads).length, before, 'its keys were not read anew')
  t.is(await ask(await proof(start + 60)), '')
})

test('architecture §8: other schemes forget the WITs and keep the keys; another source is read at once', async (t) => {
  const { keeper, reads, take, ask } = await createReloadRig(t, {})
  t.is(await ask(await proof(start + 60)), '')
  const before = witReads(reads).length
  await take({ schemes: '[wimse]' })
  t.is(witReads(reads).length, before)
  t.is(keeper.current.policy.workloads?.cache.size, 0)
  t.regex(await ask(await proof(start + 60)), /not for identifiers of the scheme spiffe$/)
  await take({ keys: 'same.json' })
  t.is(witReads(reads).length, before + 1)
  t.is(await ask(await proof(start + 60)), '')
})

/** How far ahead `exp` lies, the two policies, and how long after the reload the WPT comes again; seconds. */
const changes: {
  readonly [what: string]: readonly [exp: number, before: Parts, after: Parts, later: number]
} = {
  'another name': [60, {}, { name: 'b' }, 1],
  'a longer maxLifetime': [100, { maxLifetime: '2m' }, { maxLifetime: '10m' }, 110],
  'a shorter maxLifetime': [600, { maxLifetime: '10m' }, { maxLifetime: '1m' }, 545],
  'a larger clock skew': [60, { skew: '0s' }, { skew: '5m' }, 200],
  'another name and a smaller clock skew': [
    300,
    { skew: '5m', maxLifetime: '1m' },
    { name: 'b', skew: '0s', maxLifetime: '5m' },
    250,
  ],
}

for (const [what, [life, before, after, later]] of Object.entries(changes)) {
  test(`policy.md, Proofs and replay: a WPT that was spent is not taken again after a reload with ${what}`, async (t) => {
    for (const iat of [undefined, start]) {
      const { take, ask, setNow } = await createReloadRig(t, before)
      const wpt = await proof(start + life, iat)
      t.is(await ask(wpt), '')
      await take(after)
      for (const at of [start, start + 1, start + later]) {
        setNow(at)
        t.regex(await ask(wpt), /^workload_proof_(?:replayed|invalid)/, `${iat} ${at - start}`)
      }
      const long = start + 1200
      setNow(long)
      t.is(await ask(await proof(long + 30, iat && long)), '', 'a new one is taken')
    }
  })
}

test('policy.md, Proofs and replay: a longer maxLifetime has older proofs refused that may have been forgotten', async (t) => {
  const { keeper, take, ask, setNow } = await createReloadRig(t, { maxLifetime: '1m' })
  t.is(keeper.current.proofsSince, undefined)
  setNow(start + 5)
  await take({ maxLifetime: '10m' })
  t.is(keeper.current.proofsSince, start + 5)
  const began = 'workload_proof_invalid may have been spent before the store began to remember'
  t.is(await ask(await proof(start + 60, start)), began)
  t.is(await ask(await proof(start + 60)), began)
  setNow(start + 40)
  t.is(await ask(await proof(start + 100, start + 36)), '')
  await take({ maxLifetime: '5m' })
  t.true((keeper.current.proofsSince ?? 0) >= start + 5, 'what was not known then is not known now')
})

// A WPT that says no `iat` is dated by `exp` and maxLifetime: under a shorter one it seems to be made later, after the
// reload even. So `proofsSince` has to move by what the whole window (maxLifetime + clockSkew) shrinks, not by the skew.
test('policy.md, Proofs and replay: a WPT without iat is not taken again under another name and a shorter maxLifetime', async (t) => {
  const { take, ask, setNow } = await createReloadRig(t, { skew: '0s', maxLifetime: '10m' })
  const wpt = await proof(start + 600)
  t.is(await ask(wpt), '')
  setNow(start + 1)
  await take({ name: 'b', skew: '0s', maxLifetime: '1m' })
  setNow(start + 560)
  t.regex(await ask(wpt), /^workload_proof_invalid/)
})

// A WPT is taken until `exp` + clockSkew, whatever maxLifetime is. So a larger skew outlasts what the store remembers
// even where maxLifetime shrinks by as much: whether proofs are forgotten has to be asked of the skew by itself.
test('policy.md, Proofs and replay: a WPT is not taken again under a larger clock skew and windows that are no longer', async (t) => {
  const before = { skew: '0s', maxLifetime: '6m', maxAge: '6m' }
  const { take, ask, setNow } = await createReloadRig(t, before)
  const wpt = await proof(start + 60)
  t.is(await ask(wpt), '')
  await take({ skew: '5m', maxLifetime: '1m', maxAge: '1m' })
  // Another WPT, so that the store passes on to the second and lets go of what is over.
  setNow(start + 62)
  await ask(await proof(start + 100))
  t.regex(await ask(wpt), /^workload_proof_(?:replayed|invalid)/)
})
