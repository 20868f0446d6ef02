/**
 * Attack group K, 187-191, 200 and 201: what is remembered is a fact about a text, and never an answer.
 *
 * 194-196 and 199 are in k-decision-cache-texts.test.ts; 192, 193, 197 and 198 in k-decision-cache-reload.test.ts.
 * Held elsewhere as well: 193 by L213 in l-keys.test.ts, 200 by G138 in g-dpop-replay.test.ts.
 */

import test from 'ava'
import { createRevocationIndex } from '../../src/state/revocations.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createDpopClient } from '../support/dpop.ts'
import { audience } from '../support/issuer.ts'
import { edit } from '../support/policy-text.ts'
import { questionWith } from '../support/proofs.ts'
import { rememberIn } from '../support/remembered.ts'
import { basePolicy, createWorld, ordersId, type Question, thiefId } from '../support/world.ts'

const skew = 30
const policy = `${edit(basePolicy, '  routes:', '  dpop: { origins: [https://payments.example] }\n  routes:')}
    - name: proofs
      match: { paths: [/proofs] }
      require: { issuers: [corp], bindings: [dpop] }
`
let revoked = createRevocationIndex([])
const world = await createWorld({ policy, denylist: () => revoked })
const { now, at, ask, warm } = rememberIn(world)
const path = '/v1/payments'

test('K187: a token that passed for its owner is refused for another certificate, in any order and at once', async (t) => {
  const token = await warm()
  t.like(await ask(world.orders, token), { reason: '', cache: 'hit' })
  t.like(await ask(world.thief, token), { reason: 'binding_mismatch', cache: 'hit' })
  t.like(await ask(world.orders, token), { reason: '', cache: 'hit' })
  const fresh = await world.token({ jti: 'never-seen' })
  const both = [world.thief, world.orders, world.thief, world.orders]
  const answers = await Promise.all(both.map((leaf) => ask(leaf, fresh)))
  const mismatch = 'binding_mismatch'
  t.deepEqual(
    answers.map(({ reason }) => reason),
    [mismatch, '', mismatch, ''],
  )
})

test('K187: a certificate of the same workload and the same key is another certificate', async (t) => {
  const token = await warm()
  const twin = await world.authority.issue({ spiffeId: ordersId, keys: world.orders.keys })
  t.like(await ask(twin, token), { reason: 'binding_rotated', cache: 'hit' })
})

test('K188: what a route asks is judged anew for a token that passed on another', async (t) => {
  const token = await warm({ scope: 'admin.write', tenant: 'acme' })
  t.like(await ask(world.orders, token, { path: '/admin' }), { reason: '', cache: 'hit' })
  const plain = await warm()
  const answers = {
    '/v1/payments': '',
    '/v1/payments/7': '',
    '/any': '',
    '/identity': '',
    '/admin': 'claim_refused',
    '/admin/x': 'claim_refused',
    '/proofs': 'binding_unsupported',
    '/nowhere': 'route_unmatched',
  }
  for (const _ of [1, 2])
    for (const [path, reason] of Object.entries(answers))
      t.is((await ask(world.orders, plain, { path })).reason, reason, path)
})

test('K189: a token that is remembered ends at its exp and the clock skew, to the second', async (t) => {
  const token = await warm({ exp: now + 60 })
  t.like(await at(now + 60 + skew - 1, world.orders, token), { reason: '', cache: 'hit' })
  t.is((await at(now + 60 + skew, world.orders, token)).reason, 'token_expired')
})

test('K190: a certificate that is remembered ends after its notAfter, to the second', async (t) => {
  const notAfter = new Date((now + 60) * 1000)
  const leaf = await world.authority.issue({ spiffeId: ordersId, notAfter })
  const token = await warm({ cnf: { 'x5t#S256': leaf.x5tS256 } })
  t.is((await ask(leaf, token)).reason, '')
  t.is((await at(now + 60, leaf, token)).reason, '')
  t.is((await at(now + 61, leaf, token)).reason, 'presenter_expired')
  t.is((await at(now + 60, leaf, token)).reason, '')
})

test.serial(
  'K191: a token and a certificate that are remembered end with their revocation',
  async (t) => {
    const token = await warm({ jti: 'gone' })
    const until = Number.POSITIVE_INFINITY
    const entries = [
      [{ issuer: 'https://idp.example', jti: 'gone' }, 'token_revoked'],
      [{ issuer: 'https://idp.example', subject: ordersId }, 'token_revoked'],
      [{ issuer: 'https://idp.example', key: world.issuer.keyId }, 'token_revoked'],
      [{ presenter: ordersId }, 'presenter_revoked'],
      [{ certificate: world.orders.x5tS256 }, 'presenter_revoked'],
    ] as const
    t.teardown(() => {
      revoked = createRevocationIndex([])
    })
    for (const [revocation, reason] of entries) {
      t.like(await ask(world.orders, token), { reason: '', cache: 'hit' })
      revoked = createRevocationIndex([{ revocation, until }])
      t.is((await ask(world.orders, token)).reason, reason, JSON.stringify(revocation))
      revoked = createRevocationIndex([])
    }
    t.like(await ask(world.orders, token), { reason: '', cache: 'hit' })
  },
)

test('K200: everything about a proof is judged anew, also where all its facts are known', async (t) => {
  const client = await createDpopClient({ now: () => now })
  const token = await world.issuer.sign({ cnf: { jkt: client.jkt }, aud: audience })
  const htu = 'https://payments.example/proofs'
  const send = async (proof: string | undefined, parts: Question = {}) => {
    const { as: _, ...question } = questionWith(token, proof, { path: '/proofs', ...parts })
    return (await world.askBytes(encodeCheckRequest(question), now)).reason
  }
  const proof = await client.proof(token, { htu })
  t.is(await send(proof, { method: 'PUT' }), 'proof_invalid', 'another method')
  t.is(await send(proof), '')
  t.is(await send(proof), 'proof_replayed')
  t.is(await send(undefined), 'proof_missing')
  const [head, body, end = ''] = (await client.proof(token, { htu })).split('.')
  const flipped = `${head}.${body}.${end.startsWith('A') ? 'B' : 'A'}${end.slice(1)}`
  for (const _ of [1, 2]) t.is(await send(flipped), 'proof_invalid')
  t.is(await send(await client.proof(token, { htu })), '')
})

test('K201: the clock alone says whether a remembered token is in its time, wherever it is set', async (t) => {
  const token = await warm({ iat: now, exp: now + 300 })
  const halfHour = 1800
  const times = [
    [now + halfHour, 'token_expired'],
    [now - halfHour, 'token_not_yet_valid'],
    [now + 300 + skew, 'token_expired'],
    [now, ''],
  ] as const
  for (const [seconds, reason] of times)
    t.is((await at(seconds, world.orders, token)).reason, reason)
})

test('K201: a proof that was spent stays spent when the clock is set back, and when it goes forward', async (t) => {
  const own = await createWorld({ policy })
  const start = own.now()
  const client = await createDpopClient({ now: () => start })
  const token = await own.issuer.sign({ cnf: { jkt: client.jkt }, exp: start + 600 })
  const proof = await client.proof(token, { htu: 'https://payments.example/proofs' })
  const { as: _, ...question } = questionWith(token, proof, { path: '/proofs' })
  const at = async (now: number) => (await own.askBytes(encodeCheckRequest(question), now)).reason
  t.is(await at(start), '')
  t.is(await at(start + 90), 'proof_replayed')
  t.is(await at(start + 3600), 'token_expired')
  for (const back of [start + 90, start, start - skew + 5]) t.is(await at(back), 'proof_replayed')
  t.not(await at(start - 3600), '')
})

test('K187: facts of one issuer are not found under another that the route takes', async (t) => {
  const two = edit(
    basePolicy,
    '  routes:',
    `    other: { issuer: https://other.example, audiences: [${audience}], keys: { file: other.json } }
  routes:
    - { name: other, match: { paths: [/other] }, require: { issuers: [other], bindings: ["x5t#S256"] } }`,
  )
  const own = await createWorld({ policy: two })
  const token = await own.token()
  t.true((await own.ask({ path, token })).allowed)
  t.is((await own.ask({ path: '/other', token })).reason, 'issuer_unknown')
  t.is((await own.ask({ path, token, as: own.thief })).reason, 'binding_mismatch')
  t.is(own.thief.spiffeId, thiefId)
})
