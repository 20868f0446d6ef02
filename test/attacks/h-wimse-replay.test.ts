/** Attack group H, 154: a WPT is good for one request, and is spent last (wpt-01 §3.3; policy.md, Proofs and replay). */

import test from 'ava'
import { createMemoryReplay } from '../../src/state/memory.ts'
import type { ReplayStore } from '../../src/state/replay.ts'
import { createDpopClient } from '../support/dpop.ts'
import {
  agreed,
  checkRefusal,
  createWimseWorld,
  outcome,
  wimsePolicy,
  witJudge,
} from '../support/wit-judge.ts'

const setting = await createWimseWorld()
const { world, mesh, orders, thief, now, ask } = setting
const { refused } = witJudge(setting)
const skew = 30
const maxLifetime = 120
const wit = await orders.wit({ claims: { exp: now + 3600 } })
const client = await createDpopClient({ now: () => now })
const began = 'workload_proof_invalid may have been spent before the store began to remember'

/** Another process, with the same issuers: the WITs above are sound there. */
const process = (replay: ReplayStore, name = 'shop') =>
  createWimseWorld({ now, issuers: { mesh }, replay, policy: wimsePolicy({ name }) })

test('H154: a WPT is taken once, on whichever route, and the second time is a 400 (wpt-01 §3.3)', async (t) => {
  const wpt = await orders.proof({ wit, aud: agreed })
  t.is(outcome(await ask(wit, wpt)), 'allowed')
  for (const parts of [
    {},
    { path: '/v1/payments?x' },
    { path: '/callers' },
    { as: world.orders },
  ]) {
    const again = await ask(wit, wpt, parts)
    t.is(outcome(again), 'workload_proof_replayed')
    checkRefusal(t, again, [wit, wpt])
  }
})

test('H154: of twenty requests with one WPT at once, one is allowed', async (t) => {
  const wpt = await orders.proof({ wit })
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => ask(wit, wpt)))
  t.is(verdicts.filter(({ allowed }) => allowed).length, 1)
  t.is(verdicts.filter(({ reason }) => reason === 'workload_proof_replayed').length, 19)
})

test('H154: a new signature or a new WIT makes no new proof of a spent jti; another key does', async (t) => {
  const claims = { jti: 'shared' }
  t.is(outcome(await ask(wit, await orders.proof({ wit, claims }))), 'allowed')
  await refused(t, [wit, await orders.proof({ wit, claims })], 'workload_proof_replayed')
  const renewed = await orders.wit()
  const wpt = await orders.proof({ wit: renewed, claims: { ...claims, exp: now + 5 } })
  await refused(t, [renewed, wpt], 'workload_proof_replayed')
  const theirs = await thief.wit()
  t.is(outcome(await ask(theirs, await thief.proof({ wit: theirs, claims }))), 'allowed')
})

test('H154: nobody spends the jti of another’s key', async (t) => {
  const claims = { jti: 'mine' }
  const theirs = await thief.wit()
  t.is(outcome(await ask(theirs, await thief.proof({ wit: theirs, claims }))), 'allowed')
  await refused(t, [wit, await thief.proof({ wit, claims })], 'workload_proof_invalid signature')
  t.is(outcome(await ask(wit, await orders.proof({ wit, claims }))), 'allowed')
  for (const jti of ['a', 'a"', '"a', 'a","b', 'a\\', 'A', 'a ', '["a"]'])
    t.is(outcome(await ask(wit, await orders.proof({ wit, claims: { jti } }))), 'allowed', jti)
})

test('H154: a WPT is remembered for as long as it would be taken, to the second', async (t) => {
  for (const ahead of [1, 60, maxLifetime + skew]) {
    const own = await process(createMemoryReplay(now - 3600))
    const exp = now + ahead
    const wpt = await orders.proof({ wit, claims: { exp } })
    t.is(outcome(await own.ask(wit, wpt)), 'allowed', `${ahead}`)
    for (const at of [now, now + 1, exp, exp + skew - 1])
      t.is(outcome(await own.ask(wit, wpt, { at })), 'workload_proof_replayed', `${ahead} ${at}`)
    t.is(outcome(await own.ask(wit, wpt, { at: exp + skew })), 'workload_proof_invalid expired')
    // Replicas' clocks differ: what one has seen expire, another that is behind must still find spent.
    const later = await orders.proof({ wit, claims: { exp: exp + skew + 60 } })
    t.is(outcome(await own.ask(wit, later, { at: exp + 2 * skew })), 'allowed')
    const behind = { at: exp + skew - 1 }
    t.is(outcome(await own.ask(wit, wpt, behind)), 'workload_proof_replayed')
  }
})

test('docs/wimse.md: a request that is refused for something else leaves its WPT unspent', async (t) => {
  const theirs = await thief.wit()
  const wpt = await thief.proof({ wit: theirs, aud: agreed })
  for (let i = 0; i < 2; i++)
    t.is(outcome(await ask(theirs, wpt, { path: '/callers' })), 'caller_refused')
  t.regex(outcome(await ask(theirs, wpt, { as: world.orders })), /^workload_token_mismatch/)
  t.regex(outcome(await ask(theirs, wpt, { token: 'x.y.z' })), /^issuer_unknown/)
  t.is(outcome(await ask(theirs, wpt)), 'allowed')
  await refused(t, [theirs, wpt], 'workload_proof_replayed')

  const poor = await world.token({ cnf: undefined })
  const parts = { path: '/t/scoped', token: poor }
  const proof = await orders.proof({ wit, aud: agreed, accessToken: poor })
  for (let i = 0; i < 2; i++) t.is(outcome(await ask(wit, proof, parts)), 'scope_insufficient')
  t.is(outcome(await ask(wit, proof, { ...parts, path: '/t/wimse' })), 'allowed')
  t.is(outcome(await ask(wit, proof, parts)), 'scope_insufficient', 'spent is asked last')
})

test('H154: replicas with one store take a WPT once; with memories of their own each takes it once', async (t) => {
  const shared = createMemoryReplay(now - 3600)
  const [one, two, apart] = [
    await process(shared),
    await process(shared),
    await process(createMemoryReplay(now - 3600)),
  ]
  const wpt = await orders.proof({ wit })
  t.is(outcome(await one.ask(wit, wpt)), 'allowed')
  t.is(outcome(await two.ask(wit, wpt)), 'workload_proof_replayed')
  t.is(outcome(await apart.ask(wit, wpt)), 'allowed', 'the documented bound of --state memory')
})

test('policy.md, Proofs and replay: a gateway and a sidecar of other names each take a WPT once', async (t) => {
  const shared = createMemoryReplay(now - 3600)
  const [gateway, sidecar] = [await process(shared, 'gateway'), await process(shared, 'sidecar')]
  const wpt = await orders.proof({ wit })
  for (const expected of ['allowed', 'workload_proof_replayed'])
    for (const each of [gateway, sidecar]) t.is(outcome(await each.ask(wit, wpt)), expected)
})

test('docs/wimse.md: a memory takes no WPT that was made before it began, by iat where it says so', async (t) => {
  const young = await process(createMemoryReplay(now))
  const at = now + skew
  for (const iat of [now - 60, now, now + skew]) {
    const wpt = await orders.proof({ wit, claims: { iat, exp: at + 60 } })
    t.is(outcome(await young.ask(wit, wpt, { at })), began, `${iat - now}`)
  }
  const claims = { iat: now + skew + 1, exp: at + 60 }
  t.is(outcome(await young.ask(wit, await orders.proof({ wit, claims }), { at })), 'allowed')
})

test('docs/wimse.md: a WPT without iat counts as made maxLifetime before its exp; an early iat makes it no older', async (t) => {
  const young = await process(createMemoryReplay(now))
  const judge = async (exp: number, iat?: number) => {
    const wpt = await orders.proof({ wit, claims: { exp, iat } })
    return outcome(await young.ask(wit, wpt, { at: exp - 1 }))
  }
  const last = now + maxLifetime + skew
  t.is(await judge(last), began)
  t.is(await judge(last + 1), 'allowed')
  // No check could have taken it before: its exp lay too far ahead.
  t.is(await judge(last + 1, now - 9999), 'allowed')
})

test('H154, RFC 9449 §11.1: a WPT and a DPoP proof in one request are both spent', async (t) => {
  const token = await world.token({ cnf: { jkt: client.jkt } })
  const htu = 'https://payments.example/t/mixed'
  const dpopProof = () => client.proof(token, { htu })
  const wptProof = () => orders.proof({ wit, aud: agreed, accessToken: token })
  const asked = async (wpt: string, dpop: string) =>
    outcome(await ask(wit, wpt, { path: '/t/mixed', scheme: 'DPoP', token, headers: { dpop } }))
  const [wpt, dpop] = [await wptProof(), await dpopProof()]
  t.is(await asked(wpt, dpop), 'allowed')
  t.is(await asked(wpt, await dpopProof()), 'workload_proof_replayed')
  t.is(await asked(await wptProof(), dpop), 'proof_replayed')
  t.is(await asked(await wptProof(), await dpopProof()), 'allowed')
  const both = { wit, aud: agreed, accessToken: token, claims: { jti: 'same in both' } }
  const twin = await client.proof(token, { htu, jti: 'same in both' })
  t.is(await asked(await orders.proof(both), twin), 'allowed', 'a jti of each kind of proof')
})

test('G143 for WPTs: a store that is full, or does not answer, allows nothing (wpt-01 §3.3)', async (t) => {
  const full = await process(createMemoryReplay(now - 3600, { maxEntries: 1 }))
  t.is(outcome(await full.ask(wit, await orders.proof({ wit }))), 'allowed')
  const verdict = await full.ask(wit, await orders.proof({ wit }))
  t.is(outcome(verdict), 'state_unavailable the replay store is full')
  t.is(verdict.http, 503)
  const lost = await process({
    remembersSince: undefined,
    spend: async () => 'unavailable' as const,
  })
  t.regex(outcome(await lost.ask(wit, await orders.proof({ wit }))), /^state_unavailable/)
})
