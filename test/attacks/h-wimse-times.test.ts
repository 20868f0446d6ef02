/** Attack group H, 155: how long a workload identity token is good, judged on every request (workload-creds-02 §3.1, WIT-SVID §3.2). */

import test from 'ava'
import { createWimseWorld, outcome, wimsePolicy, witJudge } from '../support/wit-judge.ts'

const setting = await createWimseWorld()
const { world, orders, now, ask } = setting
const { judgeWit } = witJudge(setting)

test('workload-creds-02 §3.1, WIT-SVID §3.2: exp must be there and not past; the leeway is clockSkew', async (t) => {
  for (const exp of [undefined, null, '9999999999', [], true, 0, -1])
    await judgeWit(t, { claims: { exp } }, 'exp')
  await judgeWit(t, { claims: { exp: now - 29 } }, '')
  await judgeWit(t, { claims: { exp: now - 30 } }, 'expired')
})

test('docs/wimse.md: exp of a WIT lies a day ahead at most, nbf is honoured, iat and jti bound nothing', async (t) => {
  const day = 24 * 3600
  await judgeWit(t, { claims: { exp: now + day + 30 } }, '')
  await judgeWit(t, { claims: { exp: now + day + 31 } }, 'exp is over a day ahead')
  await judgeWit(t, { claims: { exp: (now + 300) * 1000 } }, 'exp is over a day ahead')
  await judgeWit(t, { claims: { nbf: now + 30 } }, '')
  await judgeWit(t, { claims: { nbf: now + 31 } }, 'nbf')
  for (const nbf of ['x', null, []]) await judgeWit(t, { claims: { nbf } }, 'nbf')
  for (const iat of ['x', null, []]) await judgeWit(t, { claims: { iat } }, 'iat')
  for (const iat of [undefined, 0, now + 9999]) await judgeWit(t, { claims: { iat } }, '')
  for (const name of ['iss', 'jti']) {
    for (const value of ['', 1, null, {}, 'x'.repeat(2049)])
      await judgeWit(t, { claims: { [name]: value } }, name)
    for (const value of [undefined, 'x']) await judgeWit(t, { claims: { [name]: value } }, '')
  }
})

test('WIT-SVID §3.2: the leeway of a WIT is two minutes at most, even where clockSkew is 5m', async (t) => {
  for (const [skew, leeway] of [
    ['5m', 120],
    ['2m', 120],
    ['119s', 119],
    ['0s', 0],
  ] as const) {
    const policy = wimsePolicy({ spec: `clockSkew: ${skew}` })
    const own = await createWimseWorld({ now, policy })
    const { judgeWit: judge } = witJudge(own)
    await judge(t, { claims: { exp: now - leeway } }, 'expired')
    await judge(t, { claims: { exp: now - leeway + 1 } }, '')
    await judge(t, { claims: { nbf: now + leeway + 1 } }, 'nbf')
    await judge(t, { claims: { nbf: now + leeway } }, '')
  }
})

test('docs/wimse.md: the time of a remembered WIT is judged on every request', async (t) => {
  const short = await orders.wit({ claims: { exp: now + 10, nbf: now } })
  const at = async (later: number) => {
    const claims = { exp: now + later + 60 }
    return outcome(
      await ask(short, await orders.proof({ wit: short, claims }), { at: now + later }),
    )
  }
  t.is(await at(0), 'allowed')
  t.is(await at(39), 'allowed')
  t.is(await at(40), 'workload_token_invalid expired')
  t.is(await at(-31), 'workload_token_invalid nbf')
  t.true((world.policy.workloads?.cache.lookups.hits ?? 0) > 0, 'it was remembered')
})
