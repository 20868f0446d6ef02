/** Attack group G, 138-143 and the nonces of 147: a proof is good for one request (RFC 9449 §8, §9, §11.1). */

import test from 'ava'
import { check, type Tools } from '../../src/check.ts'
import { type Confirmed, spendProof, type Unspent } from '../../src/confirmation/confirm.ts'
import { createNonceKeeper } from '../../src/confirmation/nonce.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { createMemoryReplay } from '../../src/state/memory.ts'
import type { ReplayStore } from '../../src/state/replay.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest, type UpstreamCheckResponse } from '../support/check-request.ts'
import { createDpopClient, target } from '../support/dpop.ts'
import { audience, type Claims, createTestIssuer } from '../support/issuer.ts'
import { questionWith } from '../support/proofs.ts'
import {
  createWorld,
  headerOf,
  ordersId,
  type Question,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const maxAge = 60
const skew = 30
const start = Math.floor(Date.now() / 1000)
const issuer = await createTestIssuer()
const client = await createDpopClient()
const stranger = await createDpopClient()
const bind = (jkt: string, claims: Claims = {}) => issuer.sign({ cnf: { jkt }, ...claims })
/** Issued early enough that no time below is before it. */
const token = await bind(client.jkt, { iat: start - 300, exp: start + 300 })

const policyOf = (nonce = 'disabled', name = 'shop', age = maxAge) => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: ${name} }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example], maxAge: ${age}s, nonce: ${nonce} }
  routes:
    - { name: public, match: { paths: [/public] }, require: none }
    - { name: bound, match: { paths: [/v1/payments] }, require: { issuers: [corp], bindings: [dpop] } }
    - { name: mixed, match: { paths: [/mixed] }, require: { issuers: [corp], bindings: ["x5t#S256", dpop] } }
    - { name: cert, match: { paths: [/cert] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
    - name: scoped
      match: { paths: [/scoped] }
      require: { issuers: [corp], bindings: [dpop], scopes: [admin] }
    - name: callers
      match: { paths: [/callers] }
      require: { issuers: [corp], bindings: [dpop], callers: [${ordersId}] }
`
/** A process of its own: its own memory, unless it is given one. */
const process = (nonce?: string, options: WorldOptions = {}) =>
  createWorld({ policy: policyOf(nonce), issuer, ...options })

const question = (proof: string | undefined, parts?: Question) => questionWith(token, proof, parts)

/** The reason at a time, '' for an allow; nobody's certificate comes with the question. */
async function at(world: World, now: number, proof: string, parts: Question = {}) {
  return (await world.askBytes(encodeCheckRequest(question(proof, parts)), now)).reason
}

const world = await process()
const onPath = (path: string) => ({ htu: `https://payments.example${path}` })

test('G138: a proof is taken once, and the second time is a 401 invalid_dpop_proof (RFC 9449 §11.1)', async (t) => {
  const proof = await client.proof(token)
  t.true((await world.ask(question(proof))).allowed)
  for (const parts of [
    {},
    { path: '/v1/payments?x' },
    { host: 'other.example' },
    { as: world.orders },
  ]) {
    const again = await world.ask(question(proof, parts))
    t.is(again.reason, 'proof_replayed')
    t.is(again.http, 401)
    t.is(
      again.challenge,
      'DPoP realm="shop", error="invalid_dpop_proof", error_description="The DPoP proof was used before", algs="ES256 EdDSA Ed25519"',
    )
  }
})

test('G138: of twenty requests with one proof at once, one is allowed', async (t) => {
  const proof = await client.proof(token)
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => world.ask(question(proof))))
  t.is(verdicts.filter(({ allowed }) => allowed).length, 1)
  t.is(verdicts.filter(({ reason }) => reason === 'proof_replayed').length, 19)
})

test('G138: a new signature, or a new token, makes no new proof of a spent jti (RFC 9449 §11.1)', async (t) => {
  const claims = { jti: 'spent once' }
  t.true((await world.ask(question(await client.proof(token, claims)))).allowed)
  t.is((await world.ask(question(await client.proof(token, claims)))).reason, 'proof_replayed')
  const other = await bind(client.jkt, { jti: 'another' })
  const proof = await client.proof(other, claims)
  t.is((await world.ask(question(proof, { token: other }))).reason, 'proof_replayed')
})

test('G139: replicas with one store take a proof once; with memories of their own each takes it once', async (t) => {
  const replay = createMemoryReplay(start - 3600)
  const [one, two] = [await process('disabled', { replay }), await process('disabled', { replay })]
  const proof = await client.proof(token)
  t.is((await one.ask(question(proof))).reason, '')
  t.is((await two.ask(question(proof))).reason, 'proof_replayed')
  const apart = await process()
  t.is((await apart.ask(question(proof))).reason, '', 'the documented bound of --state memory')
})

test('G140: nobody spends the jti of another’s key, nor of one that he names and does not have', async (t) => {
  const claims = { jti: 'shared' }
  const theirs = await bind(stranger.jkt)
  t.is(
    (await world.ask(question(await stranger.proof(theirs, claims), { token: theirs }))).reason,
    '',
  )
  t.is((await world.ask(question(await stranger.proof(token, claims)))).reason, 'binding_mismatch')
  const forged = await stranger.proof(token, claims, { jwk: client.publicJwk })
  t.is((await world.ask(question(forged))).reason, 'proof_invalid')
  t.is((await world.ask(question(await client.proof(token, claims)))).reason, '')
})

test('G140: keys and jti that join to one text stay two (RFC 9449 §11.1)', async (t) => {
  for (const jti of ['a', 'a"', '"a', 'a","b', 'a\\', 'A', 'a ', '["a"]'])
    t.is((await world.ask(question(await client.proof(token, { jti })))).reason, '', jti)
})

test('G141: another spelling of htu or of the method is no second chance (RFC 9449 §11.1)', async (t) => {
  const jti = 'respelled'
  t.is((await world.ask(question(await client.proof(token, { jti })))).reason, '')
  const again = [
    'HTTPS://PAYMENTS.example:443/v1/payments',
    `${target}?x`,
    `${target}/../%70ayments`,
  ]
  for (const htu of again)
    t.is(
      (await world.ask(question(await client.proof(token, { jti, htu })))).reason,
      'proof_replayed',
    )
  const lower = question(await client.proof(token, { jti, htm: 'post' }), { method: 'post' })
  t.is((await world.ask(lower)).reason, 'proof_replayed')
  const elsewhere = { jti, htm: 'PUT', ...onPath('/mixed') }
  const put = question(await client.proof(token, elsewhere), { method: 'PUT', path: '/mixed' })
  t.is((await world.ask(put)).reason, 'proof_replayed')
})

test('G142: a proof is remembered for as long as it would be taken, to the second (RFC 9449 §11.1)', async (t) => {
  for (const ahead of [skew, 0, -maxAge - skew]) {
    const own = await process()
    const iat = start + ahead
    const proof = await client.proof(token, { iat })
    t.is(await at(own, start, proof), '', `${ahead}`)
    const last = iat + maxAge + skew
    for (const now of [start, iat, start + 1, last - 1, last])
      if (now >= start && now <= last)
        t.is(await at(own, now, proof), 'proof_replayed', `${ahead} ${now}`)
    t.is(await at(own, last + 1, proof), 'proof_invalid', `${ahead}`)
    t.is(await at(own, iat - skew - 1, proof), 'proof_invalid', `${ahead}`)
  }
  const late = await client.proof(token, { iat: start + skew + 1 })
  t.is(await at(world, start, late), 'proof_invalid')
})

test('G142: the same when the clock of the process moves on, second by second', async (t) => {
  const own = await process()
  const proof = await client.proof(token, { iat: start + skew })
  t.is(await at(own, start, proof), '')
  for (let now = start; now <= start + 2 * skew + maxAge; now++)
    t.is(await at(own, now, proof), 'proof_replayed', `${now - start}`)
  own.setNow(start + 2 * skew + maxAge + 2)
  t.is((await own.ask(question(proof))).reason, 'proof_invalid')
  own.setNow(start)
  t.is((await own.ask(question(proof))).allowed, false, 'a clock that is set back')
})

test('G142: a request that is refused for something else leaves its proof unspent (policy Proofs and replay)', async (t) => {
  const scoped = await bind(client.jkt, { scope: 'admin' })
  const poor = { jti: 'kept', ...onPath('/scoped') }
  const denied = await world.ask(question(await client.proof(token, poor), { path: '/scoped' }))
  t.is(denied.reason, 'scope_insufficient')
  t.is(denied.http, 403)
  t.regex(denied.challenge, /^DPoP realm="shop", error="insufficient_scope".*scope="admin", algs=/)
  const rich = question(await client.proof(scoped, poor), { token: scoped, path: '/scoped' })
  t.is((await world.ask(rich)).reason, '')
  t.is((await world.ask(rich)).reason, 'proof_replayed')
  const caller = question(await client.proof(token, onPath('/callers')), { path: '/callers' })
  t.is((await world.ask({ ...caller, as: world.thief })).reason, 'caller_refused')
  t.is((await world.ask(caller)).reason, 'presenter_missing')
  t.is((await world.ask({ ...caller, as: world.orders })).reason, '')
  t.is((await world.ask({ ...caller, as: world.orders })).reason, 'proof_replayed')
})

test('G143: a full store refuses new proofs with 503 and still knows the old ones', async (t) => {
  const full = await process('disabled', {
    replay: createMemoryReplay(start - 3600, { maxEntries: 2 }),
  })
  const proofs = await Promise.all([1, 2, 3].map(() => client.proof(token, { iat: start })))
  const [one = '', two = '', three = ''] = proofs
  t.is(await at(full, start, one), '')
  t.is(await at(full, start, two), '')
  const refused = await full.askBytes(encodeCheckRequest(question(three)), start)
  t.is(refused.reason, 'state_unavailable')
  t.is(refused.detail, 'the replay store is full')
  t.is(refused.http, 503)
  t.is(refused.challenge, '')
  for (const proof of [one, two]) t.is(await at(full, start, proof), 'proof_replayed')
  const later = start + maxAge + 2 * skew + 1
  const fresh = await client.proof(token, { iat: later })
  t.is(await at(full, later, fresh), '', 'there is room once the old ones have expired')
})

test('G143: 200,000 distinct jti take no more than the bound, and none that lives is forgotten', (t) => {
  const bound = 50_000
  const replay = createMemoryReplay(start - 3600, { maxEntries: bound })
  const proofOf = (i: number) => ({
    method: 'dpop' as const,
    proofs: [
      {
        replayKey: `key-${i}`,
        takenFrom: start - skew,
        rememberUntil: start + maxAge + 2 * skew,
        reasons: { invalid: 'proof_invalid', replayed: 'proof_replayed' } as const,
      },
    ],
  })
  const reasonOf = (i: number) => {
    const spent = spendProof(proofOf(i) as unknown as Unspent, replay, start) as Confirmed
    return isRefusal(spent) ? spent.refused : ''
  }
  const found = Array.from({ length: 200_000 }, (_, i) => reasonOf(i))
  t.is(replay.size, bound)
  t.true(found.every((reason, i) => reason === (i < bound ? '' : 'state_unavailable')))
  for (let i = 0; i < bound; i += 997) t.is(reasonOf(i), 'proof_replayed')
  t.is(reasonOf(bound), 'state_unavailable')
})

test('G143: a store that does not answer, or fails, allows nothing', async (t) => {
  const spend = async () => 'unavailable' as const
  const replay: ReplayStore = { remembersSince: undefined, spend }
  const lost = await process('disabled', { replay })
  const verdict = await lost.ask(question(await client.proof(token)))
  t.is(verdict.reason, 'state_unavailable')
  t.is(verdict.http, 503)
  t.is(verdict.challenge, '')
})

test('policy Proofs and replay: a memory refuses what was issued before it began, and for the skew after', async (t) => {
  const young = await process('disabled', { replay: createMemoryReplay(start) })
  for (const iat of [start - 5, start, start + skew]) {
    const proof = await client.proof(token, { iat })
    const verdict = await young.askBytes(encodeCheckRequest(question(proof)), start + skew)
    t.is(verdict.reason, 'proof_invalid')
    t.is(verdict.detail, 'may have been spent before the store began to remember')
  }
  const late = await client.proof(token, { iat: start + skew + 1 })
  t.is(await at(young, start + skew + 1, late), '')
})

test('G142: a proof dated ahead within the skew, spent before a restart, is not taken after it', async (t) => {
  const before = await process('disabled', { replay: createMemoryReplay(start - 3600) })
  const after = await process('disabled', { replay: createMemoryReplay(start + 5) })
  const proof = await client.proof(token, { iat: start + skew })
  t.is(await at(before, start, proof), '')
  t.not(await at(after, start + 6, proof), '')
})

test('policy Proofs and replay: a gateway and a sidecar of other names each take a proof once', async (t) => {
  const replay = createMemoryReplay(start - 3600)
  const named = (name: string) =>
    createWorld({ policy: policyOf('disabled', name), issuer, replay })
  const [gateway, sidecar, twin] = [
    await named('gateway'),
    await named('sidecar'),
    await named('gateway'),
  ]
  const proof = await client.proof(token)
  t.is((await gateway.ask(question(proof))).reason, '')
  t.is((await sidecar.ask(question(proof))).reason, '')
  for (const other of [gateway, sidecar, twin])
    t.is((await other.ask(question(proof))).reason, 'proof_replayed')
})

const nonceOf = (response: UpstreamCheckResponse): string => {
  const ok = response.ok_response as { response_headers_to_add?: never[] } | null | undefined
  const added: { header: { key: string; value: string } }[] = ok?.response_headers_to_add ?? []
  const found = added.filter(({ header }) => header.key === 'dpop-nonce')
  return found.map(({ header }) => header.value).join() || headerOf(response, 'dpop-nonce')
}
const foreign = createNonceKeeper(() => Buffer.alloc(32, 8))
const ours = createNonceKeeper(() => Buffer.alloc(32, 7))
const issued = (keeper: typeof ours, by: number) => keeper.issue(start + by) ?? ''
const untimely = [issued(ours, -maxAge - skew - 1), issued(ours, skew + 1)]
const strange = [issued(foreign, 0), ...untimely, `${issued(ours, 0)}A`, issued(ours, 0).slice(1)]
const notNonces = [...strange, 'eyJ7S_zG.eyJH0-Z.HX4w-7v', '', null, 1, [issued(ours, 0)], {}]
const fresh = [issued(ours, 0), issued(ours, -maxAge - skew), issued(ours, skew)]

test('G147: required: a nonce that is missing, stale, early, foreign or malformed is a use_dpop_nonce (RFC 9449 §9)', async (t) => {
  const own = await process('required')
  for (const nonce of [undefined, ...notNonces]) {
    const proof = await client.proof(token, { nonce, iat: start })
    const verdict = await own.askBytes(encodeCheckRequest(question(proof)), start)
    t.is(verdict.reason, 'proof_nonce_required', String(nonce))
    t.is(verdict.http, 401)
    t.is(
      verdict.challenge,
      'DPoP realm="shop", error="use_dpop_nonce", error_description="The DPoP proof needs a nonce", algs="ES256 EdDSA Ed25519"',
    )
    const next = nonceOf(verdict.response)
    t.is(await at(own, start, await client.proof(token, { nonce: next, iat: start })), '')
  }
  for (const nonce of fresh)
    t.is(await at(own, start, await client.proof(token, { nonce, iat: start })), '')
})

test('G147: optional takes no nonce or a fresh one of ours, disabled reads none (policy Proofs and replay)', async (t) => {
  const own = await process('optional')
  for (const nonce of [undefined, ...fresh])
    t.is(await at(own, start, await client.proof(token, { nonce, iat: start })), '')
  for (const nonce of notNonces)
    t.is(await at(own, start, await client.proof(token, { nonce, iat: start })), 'proof_invalid')
  for (const nonce of [undefined, ...fresh, ...notNonces])
    t.is(await at(world, start, await client.proof(token, { nonce, iat: start })), '')
})

test('RFC 9449 §8: a nonce of a replica with the same key is taken, and may be used again with another jti', async (t) => {
  const [one, two] = [await process('required'), await process('required')]
  const nonce = nonceOf((await one.ask(question(undefined))).response)
  for (const replica of [two, one, two])
    t.is((await replica.ask(question(await client.proof(token, { nonce })))).reason, '')
})

test('RFC 9449 §8.2: a required route gives a nonce on every answer, one that is then taken', async (t) => {
  const own = await process('required')
  const nonce = nonceOf((await own.ask(question(undefined))).response)
  const proof = await client.proof(token, { nonce })
  const certified = await issuer.sign({ cnf: { 'x5t#S256': own.orders.x5tS256 } })
  const scoped = await client.proof(token, { nonce, ...onPath('/scoped') })
  const answers: readonly (readonly [string, Question])[] = [
    ['', question(proof)],
    ['proof_replayed', question(proof)],
    ['proof_missing', question(undefined)],
    ['proof_invalid', question('junk')],
    ['credential_missing', {}],
    ['credential_malformed', { headers: { authorization: 'DPoP' } }],
    ['token_malformed', question(undefined, { token: 'junk' })],
    ['scheme_mismatch', question(undefined, { scheme: 'Bearer' })],
    ['binding_mismatch', question(await stranger.proof(token, { nonce }))],
    ['scope_insufficient', question(scoped, { path: '/scoped' })],
    ['presenter_invalid', question(proof, { certificate: 'junk' })],
    ['', { token: certified, path: '/mixed', as: own.orders }],
  ]
  for (const [reason, asked] of answers) {
    const verdict = await own.ask(asked)
    t.is(verdict.reason, reason)
    const next = nonceOf(verdict.response)
    t.regex(next, /^[\x21\x23-\x5b\x5d-\x7e]+$/, reason)
    t.is((await own.ask(question(await client.proof(token, { nonce: next })))).reason, '')
  }
})

test('RFC 9449 §8.2: nothing else gives a nonce', async (t) => {
  const own = await process('required')
  const certified = await issuer.sign({ cnf: { 'x5t#S256': own.orders.x5tS256 } })
  for (const asked of [
    { path: '/public' },
    { path: '/none' },
    { path: '/cert', scheme: 'Bearer' },
    { path: '/a/../b' },
  ])
    t.is(nonceOf((await own.ask(question(undefined, asked))).response), '', asked.path)
  t.is(nonceOf((await own.ask({ token: certified, path: '/cert' })).response), '')
  for (const mode of ['optional', 'disabled']) {
    const other = await process(mode)
    for (const proof of [undefined, 'junk', await client.proof(token), await stranger.proof(token)])
      t.is(nonceOf((await other.ask(question(proof))).response), '', mode)
  }
})

test('RFC 9449 §9: a use_dpop_nonce comes with a nonce on a route that lists no dpop, too', async (t) => {
  const own = await process('required')
  const cnf = { jkt: client.jkt, 'x5t#S256': own.orders.x5tS256 }
  const both = await issuer.sign({ cnf })
  const proof = await client.proof(both, onPath('/cert'))
  const parts = { token: both, path: '/cert', as: own.orders }
  const verdict = await own.ask(question(proof, parts))
  t.is(verdict.reason, 'proof_nonce_required')
  const nonce = nonceOf(verdict.response)
  t.not(nonce, '')
})

test('a nonce key that is not known yet allows no proof that needs it, and gives no nonce', async (t) => {
  const outcomes = { required: 'state_unavailable', optional: 'state_unavailable', disabled: '' }
  for (const [mode, reason] of Object.entries(outcomes)) {
    const own = await process(mode)
    const nonces = createNonceKeeper(() => undefined)
    const tools: Tools = { ...own.tools, proofs: { ...own.tools.proofs, nonces } }
    const proof = await client.proof(token, { nonce: issued(ours, 0), iat: start })
    const request = decodeCheckRequest(encodeCheckRequest(question(proof)))
    if (isRefusal(request)) return t.fail()
    const decision = await check(request, own.policy, tools, start)
    t.is(decision.verdict === 'deny' ? decision.reason : '', reason, mode)
    t.deepEqual(decision.responseHeaders, [])
  }
})
