/** Attack group H, 158: whose keys sign a WIT: those of its trust domain, for its scheme, as long as they are in force (workload-creds-02 §3.2). */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { parseSpiffeId } from '../../src/evidence/spiffe-id.ts'
import { createRevocationIndex, type Revocation } from '../../src/state/revocations.ts'
import { createWimseWorkload, createWitIssuer, type WitIssuer } from '../support/wimse.ts'
import {
  agreed,
  checkRefusal,
  createWimseWorld,
  outcome,
  type WimseWorld,
  wimseOrdersId,
  wimsePolicy,
  witJudge,
} from '../support/wit-judge.ts'
import { createWorld, ordersId } from '../support/world.ts'
import vectors from '../vectors/spiffe-ids.json' with { type: 'json' }

const setting = await createWimseWorld()
const { world, mesh, other, orders, now } = setting
const clock = () => now
const signer = (parts: Partial<Parameters<typeof createWitIssuer>[0]> = {}) =>
  createWitIssuer({ trustDomain: 'mesh.example', now: clock, ...parts })

/** What comes of a sound WIT for `sub` by the issuer, and its proof. */
async function comes(issuer: WitIssuer, sub: string, on: Pick<WimseWorld, 'ask'> = setting) {
  const workload = await createWimseWorkload(issuer, sub, { now: clock })
  const wit = await workload.wit()
  const wpt = await workload.proof({ wit, aud: agreed })
  return { wit, wpt, verdict: await on.ask(wit, wpt) }
}
const outcomeOf = async (...asked: Parameters<typeof comes>) => {
  const { verdict } = await comes(...asked)
  return outcome(verdict)
}

test('H158: the keys of one trust domain sign for no other, though both use the same kid (workload-creds-02 §3.2)', async (t) => {
  t.is(mesh.keyId, other.keyId)
  const path = '/ns/shop/sa/orders'
  for (const [issuer, domain, expected] of [
    [mesh, 'mesh.example', 'allowed'],
    [other, 'other.example', 'allowed'],
    [other, 'mesh.example', 'workload_token_invalid signature'],
    [mesh, 'other.example', 'workload_token_invalid signature'],
  ] as const) {
    const { wit, wpt, verdict } = await comes(issuer, `spiffe://${domain}${path}`)
    t.is(outcome(verdict), expected, domain)
    if (expected !== 'allowed') checkRefusal(t, verdict, [wit, wpt])
  }
})

test('H158: a trust domain without anchors is nobody here, whatever iss says (workload-creds-02 §3.2)', async (t) => {
  const detail = 'there are no trust anchors for the domain of sub'
  const { judgeWit } = witJudge(setting)
  for (const domain of [
    'evil.example',
    'sub.mesh.example',
    'mesh.example.evil',
    'mesh',
    '__proto__',
  ])
    await judgeWit(t, { claims: { sub: `spiffe://${domain}/x`, iss: 'mesh.example' } }, detail)
})

test('H158: sub is one identifier of a workload, in its one spelling (WIT-SVID §3.2, SPIFFE-ID §2)', async (t) => {
  const { judgeWit } = witJudge(setting)
  const detail = 'sub is no workload identifier'
  const spellings = [
    ...['orders', '', 'spiffe://mesh.example', 'spiffe://mesh.example/', 'https://mesh.example/x'],
    ...['SPIFFE://mesh.example/x', 'spiffe://MESH.example/x', 'Wimse://mesh.example/x'],
    ...['spiffe://mesh.example:443/x', 'spiffe://u@mesh.example/x', 'spiffe://mesh.example/x?y'],
    ...['spiffe://mesh.example/../x', 'spiffe://mesh.example/%78', ' spiffe://mesh.example/x'],
    ...['wimse://mesh.example', 'wimse://mesh.example/a//b', 'spiffe://wimse://mesh.example/x'],
  ]
  for (const sub of [undefined, null, 1, {}, [], [ordersId], ...spellings])
    await judgeWit(t, { claims: { sub } }, detail)
})

test('docs/wimse.md: keys for spiffe://td say nothing of wimse://td, unless the anchor lists the scheme', async (t) => {
  const detail =
    'workload_token_invalid the trust anchors are not for identifiers of the scheme wimse'
  t.is(await outcomeOf(other, 'wimse://other.example/x'), detail)
  t.is(await outcomeOf(mesh, wimseOrdersId), 'allowed')
  const policy = wimsePolicy({ anchors: { 'mesh.example': '[wimse]' } })
  const own = await createWimseWorld({ now, policy, issuers: { mesh, other } })
  t.is(
    await outcomeOf(mesh, ordersId, own),
    'workload_token_invalid the trust anchors are not for identifiers of the scheme spiffe',
  )
  t.is(await outcomeOf(mesh, wimseOrdersId, own), 'allowed')
})

const prefix = 'workload_token_invalid'
const counterexamples: { readonly [subject: string]: string } = {
  'wimse://trust.example/service/payroll-attacker': 'caller_refused',
  'wimse://trust.example/service/pay/../admin': `${prefix} sub is no workload identifier`,
  'wimse://trust.example/service/pay/%2e%2e/admin': `${prefix} sub is no workload identifier`,
  'wimse://attacker.example/service/pay/worker': `${prefix} signature`,
  'wimse://trust.example/service/%70ayment': `${prefix} sub is no workload identifier`,
  'wimse://trust.example/service/payment': `${prefix} the trust anchors are not for identifiers of the scheme wimse`,
  'wimse://prod.example/service/admin': `${prefix} signature`,
}

for (const { policy: caller, issuer_origin: origin, subject } of vectors.matching_counterexamples) {
  test(`draft-ietf-wimse-identifier counterexample: ${subject} is not let in by ${caller ?? `the keys of ${origin}`}`, async (t) => {
    const signing = await signer()
    const [scheme = '', rest = ''] = (origin ?? caller ?? '').split('://')
    const signs = rest.replace(/\/.*/, '')
    const asked = subject.replace(/^.*:\/\//, '').replace(/\/.*/, '')
    const others = (await signer()).jwks
    const witKeys = { [asked]: others, [signs]: signing.jwks }
    const anchors = { [asked]: '[wimse]', [signs]: `[${scheme}]` }
    const routes = `
    - { name: only, require: { bindings: [wimse], callers: ["${caller ?? subject}"] } }
`
    const policy = wimsePolicy({ anchors, routes })
    const own = await createWimseWorld({ now, policy, witKeys })
    t.is(await outcomeOf(signing, subject, own), counterexamples[subject] ?? 'not listed here')
    if (caller !== undefined) t.is(await outcomeOf(signing, caller, own), 'allowed', 'control')
  })
}

/** A world with these as the keys of mesh.example. */
const worldWith = (...keys: object[]) =>
  createWimseWorld({ now, issuers: { mesh, other }, witKeys: { 'mesh.example': { keys } } })

test('WIT-SVID §5: in a SPIFFE bundle only keys of use wit-svid sign WITs, and each needs its kid', async (t) => {
  const { publicJwk: jwk } = mesh
  const { kid, ...nameless } = jwk
  const second = (await signer({ keyId: 'second' })).publicJwk
  const authority = { ...second, use: 'x509-svid' }
  const unknown = 'workload_token_invalid the key is not known'
  t.is(await outcomeOf(mesh, ordersId, await worldWith(jwk, authority)), 'allowed')
  for (const use of ['x509-svid', 'jwt-svid', 'sig', undefined, 'enc', 'WIT-SVID'])
    t.is(await outcomeOf(mesh, ordersId, await worldWith({ ...jwk, use }, second)), unknown, use)
  // With a nameless one beside another algorithm's, a WIT that names no key either would find it.
  const named = await signer({ keyId: 'second', algorithm: 'ES384' })
  const workload = await createWimseWorkload(mesh, wimseOrdersId, { now: clock })
  const own = await worldWith(nameless, named.publicJwk)
  const { judgeWit } = witJudge(own, workload)
  await judgeWit(t, { header: { kid: undefined } }, 'the key is not known')
  const { judgeWit: control } = witJudge(await worldWith(jwk, named.publicJwk), workload)
  await control(t, { header: { kid: undefined } }, '')
})

test('RFC 7517 §4.2: in a plain JWK Set a key says sig, or nothing', async (t) => {
  const { publicJwk: jwk } = mesh
  for (const [use, expected] of [
    [undefined, 'allowed'],
    ['sig', 'allowed'],
    ['enc', 'keys_unavailable'],
    ['', 'keys_unavailable'],
  ] as const)
    t.is(await outcomeOf(mesh, ordersId, await worldWith({ ...jwk, use })), expected)
})

test('RFC 7517 §4.5: a kid that two keys of the trust domain share names neither', async (t) => {
  const twin = await signer({ keyId: mesh.keyId })
  const own = await worldWith(mesh.publicJwk, twin.publicJwk)
  t.is(await outcomeOf(mesh, ordersId, own), 'workload_token_invalid the key is not known')
})

test('workload-creds-02 §3.2: without keys of the trust domain the answer is 503, and no WIT is believed', async (t) => {
  const own = await createWimseWorld({ now, issuers: { mesh, other }, witKeys: {} })
  const { verdict } = await comes(mesh, ordersId, own)
  t.is(outcome(verdict), 'keys_unavailable')
  t.is(verdict.http, 503)
})

test('H158, K193: a key that was withdrawn takes the WITs with it that it had signed, remembered or not', async (t) => {
  const next = await signer({ keyId: 'next' })
  let jwks: object = mesh.jwks
  const own = await createWimseWorld({
    now,
    issuers: { mesh, other },
    witKeys: { 'mesh.example': () => jwks },
  })
  const wit = await orders.wit()
  const asked = async () => outcome(await own.ask(wit, await orders.proof({ wit })))
  t.is(await asked(), 'allowed')
  t.is(await asked(), 'allowed')
  t.is(own.world.policy.workloads?.cache.size, 1)
  jwks = next.jwks
  t.is(await asked(), 'allowed', 'what has not been read is not known yet')
  // An unknown kid has the keys read anew, at most every ten seconds.
  own.world.setNow(now + 60)
  while ((await outcomeOf(next, ordersId, own)) !== 'allowed') await sleep(5)
  t.is(await asked(), 'workload_token_invalid the key is not known')
  jwks = { keys: [next.publicJwk, mesh.publicJwk] }
  own.world.setNow(now + 120)
  while ((await asked()) !== 'allowed') await sleep(5)
})

test('docs/wimse.md: a workload that was revoked presents nothing, by WIT as by certificate (policy.md, Revocation entries)', async (t) => {
  let entries: Revocation[] = []
  const own = await createWimseWorld({
    now,
    issuers: { mesh, other },
    denylist: () =>
      createRevocationIndex(
        entries.map((revocation) => ({ revocation, until: Number.POSITIVE_INFINITY })),
      ),
  })
  const ask = async (iat: number | undefined, as: typeof world.orders | null = null) => {
    const wit = await orders.wit({ claims: { iat } })
    return own.ask(wit, await orders.proof({ wit, aud: agreed }), { as })
  }
  const presenter = parseSpiffeId(ordersId) ?? ''
  for (const [revocation, iat, expected] of [
    [{ presenter }, now, 'presenter_revoked'],
    [{ presenter }, undefined, 'presenter_revoked'],
    [{ presenter, before: now - 10 }, now - 11, 'presenter_revoked'],
    [{ presenter, before: now - 10 }, now - 10, 'allowed'],
    [{ presenter, before: now - 10 }, undefined, 'presenter_revoked'],
    [{ presenter: wimseOrdersId }, now, 'allowed'],
    [{ presenter: `${ordersId}-2` }, now, 'allowed'],
  ] as const) {
    entries = [revocation]
    for (const as of [null, world.orders])
      t.is(outcome(await ask(iat, as)), expected, JSON.stringify(revocation))
  }
  entries = [{ presenter: ordersId }]
  t.is(await outcomeOf(mesh, `${ordersId}-2`, own), 'allowed')
  entries = []
  t.is(outcome(await ask(now)), 'allowed', 'and again once the entry is gone')
})

test('docs/wimse.md: a policy without wimse takes no WIT: there is nobody who could vouch for it', async (t) => {
  const plain = await createWorld()
  t.is(plain.policy.workloads, undefined)
})
