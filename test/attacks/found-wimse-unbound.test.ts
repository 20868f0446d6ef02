/** Found by an attack: a token that names a workload, beside WITs, on a route that lets unbound tokens pass (docs/unbound.md, docs/wimse.md). */

import test from 'ava'
import { createWimseWorkload } from '../support/wimse.ts'
import {
  agreed,
  createWimseWorld,
  outcome,
  wimseOrdersId,
  wimsePolicy,
} from '../support/wit-judge.ts'

const routes = `
    - { name: token, match: { paths: [/t/wimse] }, require: { issuers: [corp], bindings: [wimse] } }
    - name: unbound
      match: { paths: [/u/wimse] }
      require: { issuers: [corp], bindings: [wimse], unbound: allow, maxLifetime: 15m, scopes: [pay] }
`
const setting = await createWimseWorld({ policy: wimsePolicy({ routes }) })
const { world, mesh, orders, thief, now, ask } = setting
const wimseOrders = await createWimseWorkload(mesh, wimseOrdersId, { now: () => now })
const wimseThief = await createWimseWorkload(mesh, 'wimse://mesh.example/ns/web/sa/blog', {
  now: () => now,
})

async function comes(workload: typeof orders, path: string, token: string) {
  const wit = await workload.wit()
  const wpt = await workload.proof({ wit, aud: agreed, accessToken: token })
  return outcome(await ask(wit, wpt, { path, token }))
}

test('docs/wimse.md: a token whose identity is the WIT’s sub is that workload’s, under wimse:// as under spiffe://', async (t) => {
  const token = await world.token({ sub: wimseOrdersId, cnf: undefined, scope: 'pay' })
  t.is(await comes(wimseOrders, '/t/wimse', token), 'allowed')
})

test('policy.md, Bindings: a stolen token of a wimse:// workload beside the thief’s WIT is refused, unbound or not', async (t) => {
  const token = await world.token({ sub: wimseOrdersId, cnf: undefined, scope: 'pay' })
  t.regex(await comes(wimseThief, '/u/wimse', token), /^binding_mismatch/)
})

test('docs/unbound.md: leaving the WIT out is no way around a mismatch that it would show', async (t) => {
  const token = await world.token({ cnf: undefined, scope: 'pay' })
  t.regex(await comes(thief, '/u/wimse', token), /^binding_mismatch/)
  const dropped = await ask(undefined, undefined, { path: '/u/wimse', token, as: world.thief })
  t.regex(outcome(dropped), /^(?:binding_mismatch|workload_token_missing)/)
})
