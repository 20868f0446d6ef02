/** C61: a DPoP proof and a WPT in one request. Each that the token or the route demands must hold; neither makes up for the other. */

import test from 'ava'
import { createDpopClient } from '../support/dpop.ts'
import { agreed, createWimseWorld, outcome } from '../support/wit-judge.ts'

const path = '/t/mixed'
const { world, orders, thief, ask, now } = await createWimseWorld()
const client = await createDpopClient({ now: () => now })
const htu = { htu: `https://payments.example${path}` }
const wit = await orders.wit()
const bound = await world.token({ cnf: { jkt: client.jkt }, iat: now })
const byIdentity = await world.token({ cnf: undefined, iat: now, jti: 'by-identity' })

async function told(token: string, dpop: string, wpt: string): Promise<string> {
  const scheme = token === bound ? 'DPoP' : 'Bearer'
  return outcome(await ask(wit, wpt, { path, token, scheme, headers: { dpop } }))
}
const soundWpt = (accessToken: string) => orders.proof({ wit, aud: agreed, accessToken })

test('C61: a token bound by jkt beside a WIT: both proofs hold, and it is allowed', async (t) => {
  t.is(await told(bound, await client.proof(bound, htu), await soundWpt(bound)), 'allowed')
})

test('C61: a sound WPT does not make up for a DPoP proof that is not (RFC 9449 §7)', async (t) => {
  const stranger = await createDpopClient({ now: () => now })
  const cases = {
    'binding_mismatch proof by another key': await stranger.proof(bound, htu),
    'proof_invalid htu is of another path': await client.proof(bound),
    'proof_invalid ath': await client.proof(byIdentity, htu),
    'proof_invalid not three parts': 'x',
  }
  for (const [expected, dpop] of Object.entries(cases))
    t.is(await told(bound, dpop, await soundWpt(bound)), expected)
  const wpt = await soundWpt(bound)
  t.is(outcome(await ask(wit, wpt, { path, token: bound, scheme: 'DPoP' })), 'proof_missing')
})

test('C61: a sound DPoP proof does not make up for a WPT that is not (wpt-01 §3.3)', async (t) => {
  const wpts = {
    'workload_proof_invalid ath': await soundWpt(byIdentity),
    'workload_proof_invalid signature': await thief.proof({ wit, aud: agreed, accessToken: bound }),
    'workload_proof_invalid not three parts': 'x',
  }
  for (const [expected, wpt] of Object.entries(wpts))
    t.is(await told(bound, await client.proof(bound, htu), wpt), expected)
})

test('C61: a request that is refused for one of its proofs has spent neither', async (t) => {
  const dpop = await client.proof(bound, htu)
  const wpt = await soundWpt(bound)
  t.is(await told(bound, dpop, 'x'), 'workload_proof_invalid not three parts')
  t.is(await told(bound, 'x', wpt), 'proof_invalid not three parts')
  t.is(await told(bound, dpop, wpt), 'allowed')
  t.is(await told(bound, dpop, await soundWpt(bound)), 'proof_replayed')
  t.is(await told(bound, await client.proof(bound, htu), wpt), 'workload_proof_replayed')
})

test('C61: a DPoP header beside a token that is not bound to its key proves nothing, and takes nothing away', async (t) => {
  for (const dpop of ['x', await client.proof(byIdentity, htu), await client.proof(bound)])
    t.is(await told(byIdentity, dpop, await soundWpt(byIdentity)), 'allowed')
  const unbound = await world.token({ cnf: undefined, sub: 'alice', iat: now, jti: 'unbound' })
  const dpop = await client.proof(unbound, htu)
  t.is((await told(unbound, dpop, await soundWpt(unbound))).split(' ')[0], 'binding_missing')
})
