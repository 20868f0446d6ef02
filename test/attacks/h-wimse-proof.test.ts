/** Attack group H, 150-154: what a workload proof token must be (draft-ietf-wimse-wpt-01 §3.1, §3.3). */

import { createHash } from 'node:crypto'
import test from 'ava'
import { target } from '../support/dpop.ts'
import { createWimseWorkload, createWitIssuer } from '../support/wimse.ts'
import {
  agreed,
  craftJws,
  createWimseWorld,
  outcome,
  wimseOrdersId,
  wimsePolicy,
  witJudge,
} from '../support/wit-judge.ts'

const setting = await createWimseWorld()
const { mesh, orders, thief, now, ask } = setting
const { refused, judgeProof } = witJudge(setting)
const wit = await orders.wit()
const digest = (text: string, form: 'base64url' | 'hex' | 'base64' = 'base64url') =>
  createHash('sha256').update(text).digest(form)

/** With the sound claims but for these, under this header, signed with the workload's key. */
function craft(changes: object, header: object = { typ: 'wpt+jwt', alg: 'ES256' }): string {
  const claims = { aud: target, exp: now + 60, jti: `crafted-${Math.random()}`, wth: digest(wit) }
  return craftJws(header, { ...claims, ...changes }, orders.privateKey)
}

test('H150: a WPT that another key has signed is refused, a sound workload’s too (wpt-01 §3.3)', async (t) => {
  const { privateKey: key } = thief
  await judgeProof(t, { key }, 'signature')
  await refused(t, [wit, await thief.proof({ wit })], 'workload_proof_invalid signature')
  const [header, payload] = (await orders.proof({ wit })).split('.')
  for (const signature of ['', 'AA', Buffer.alloc(64).toString('base64url')])
    await refused(t, [wit, `${header}.${payload}.${signature}`], 'workload_proof_invalid signature')
  await judgeProof(t, { header: { jwk: thief.publicJwk, kid: 'x' }, key }, 'signature')
})

test('H150: exactly one Workload-Proof-Token header, of one compact JWS (wpt-01 §3.3)', async (t) => {
  const wpt = await orders.proof({ wit })
  for (const text of [
    `${wpt},${wpt}`,
    `${wpt}, ${await orders.proof({ wit })}`,
    `${wpt},`,
    `,${wpt}`,
  ])
    await refused(t, [wit, text], 'workload_proof_invalid more than one header')
  const expected = 'workload_proof_invalid more than one header'
  await refused(t, [wit, wpt], expected, { headers: { 'Workload-Proof-Token': wpt } })
  const [header, payload] = wpt.split('.')
  const texts = {
    'not three parts': ['', 'junk', 'a.b', `${wpt}.`, `${header}.${payload}`],
    'header is not strict base64url JSON': [`.${payload}.AA`, ` ${wpt}`, `Bearer ${wpt}`],
    'payload is not strict base64url JSON': [`${header}..AA`, `${header}.${payload}=.AA`],
    'signature is not strict base64url': [`${wpt}=`, `${wpt} `],
    'over 8 KiB': [`${header}.${payload}.${'A'.repeat(8192)}`, '.'.repeat(65_536)],
  }
  for (const [detail, all] of Object.entries(texts))
    for (const text of all) await refused(t, [wit, text], `workload_proof_invalid ${detail}`)
  t.is(outcome(await ask(wit, wpt)), 'allowed')
})

test('H150: typ is wpt+jwt, and nothing that has to be understood stands in the header (RFC 8725 §3.11)', async (t) => {
  for (const typ of [undefined, '', 'JWT', 'dpop+jwt', 'wit+jwt', 'wpt+jwt+x'])
    await judgeProof(t, { header: { typ } }, 'typ is not wpt+jwt')
  await refused(t, [wit, wit], 'workload_proof_invalid typ is not wpt+jwt')
  for (const [name, value] of Object.entries({ crit: ['x'], b64: false, zip: 'DEF' })) {
    const header = { typ: 'wpt+jwt', alg: 'ES256', [name]: value }
    await refused(t, [wit, craft({}, header)], `workload_proof_invalid header member ${name}`)
  }
})

test('H157: alg is letter by letter that of cnf.jwk.alg (wpt-01 §3.1)', async (t) => {
  t.is(outcome(await ask(wit, craft({}))), 'allowed', 'control: what is crafted here is sound')
  for (const alg of ['none', '', 'HS256', 'ES384', 'es256', 'EdDSA', 'PS256'])
    await refused(
      t,
      [wit, craft({}, { typ: 'wpt+jwt', alg })],
      'workload_proof_invalid alg is not cnf.jwk.alg of the WIT',
    )
  for (const alg of [undefined, null, ['ES256']])
    await refused(
      t,
      [wit, craft({}, { typ: 'wpt+jwt', alg })],
      'workload_proof_invalid alg is no short string',
    )
})

for (const [algorithm, other] of [
  ['EdDSA', 'Ed25519'],
  ['Ed25519', 'EdDSA'],
] as const) {
  test(`H157: a key of ${algorithm} signs no WPT under ${other}, though the signature is the same (RFC 9864 §2.2)`, async (t) => {
    const workload = await createWimseWorkload(mesh, wimseOrdersId, { algorithm, now: () => now })
    const { judgeProof: judge } = witJudge(setting, workload)
    await judge(t, {}, '')
    await judge(t, { header: { alg: other } }, 'alg is not cnf.jwk.alg of the WIT')
  })
}

test('H151: wth is the hash of the WIT that came with it, and of no other (wpt-01 §3.3)', async (t) => {
  const [another, theirs] = [await orders.wit(), await thief.wit()]
  const wrong = [another, theirs, `${wit} `, ''].map((text) => digest(text))
  const forms = [digest(wit, 'hex'), digest(wit, 'base64'), `${digest(wit)}=`, wit, '']
  for (const wth of [undefined, null, 1, [digest(wit)], ...wrong, ...forms])
    await refused(t, [wit, craft({ wth })], 'workload_proof_invalid wth')
  const wpt = await orders.proof({ wit })
  await refused(t, [another, wpt], 'workload_proof_invalid wth')
  await refused(t, [theirs, wpt], 'workload_proof_invalid wth')
})

test('H153: aud is the target URI below an origin, or a value that was agreed on, from the policy’s list (wpt-01 §3.1)', async (t) => {
  const origin = 'https://payments.example'
  const taken = [
    target,
    origin,
    agreed,
    `${target}?q=1`,
    `${target}#f`,
    `${origin}:443/v1/payments`,
  ]
  for (const aud of [...taken, `${origin}/v1/%70ayments`, `${origin}/v1/x/../payments`])
    await judgeProof(t, { aud }, '')
  for (const aud of [undefined, null, [target], [], 1, { [target]: 1 }])
    await judgeProof(t, { claims: { aud } }, 'aud is not one text')
  const others = [
    '',
    'https://other.example/v1/payments',
    'https://payments.mesh.example/v1/payments',
  ]
  const alike = [
    ...['http://payments.example/v1/payments', 'HTTPS://payments.example/v1/payments'],
    ...['https://PAYMENTS.example/v1/payments', `${origin}.evil/v1/payments`],
    ...[
      `${origin}@evil.example/v1/payments`,
      `${origin}:8443/v1/payments`,
      `//payments.example/v1`,
    ],
    ...[
      'https://u@payments.example/v1/payments',
      'payments.example',
      '/v1/payments',
      `${agreed}/x`,
    ],
    ...[agreed.toUpperCase(), ` ${target}`, `${target} `, `https:\\\\payments.example/v1/payments`],
  ]
  for (const aud of [...others, ...alike]) await judgeProof(t, { aud }, 'aud is of another service')
  for (const path of [
    '/',
    '/v1',
    '/v1/payments/',
    '/V1/payments',
    '/v1/payments/7',
    '/v1%2Fpayments',
  ])
    await judgeProof(t, { aud: `${origin}${path}` }, 'aud is of another path')
})

test('H153: Host and forwarded headers have no word in whose audience it is (wpt-01 §3.1)', async (t) => {
  const aud = 'https://evil.example/v1/payments'
  const headers = { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' }
  await judgeProof(t, { aud }, 'aud is of another service', { host: 'evil.example', headers })
  await judgeProof(t, { aud: target }, '', { host: 'evil.example', headers })
})

test('H153: the query of the request is no part of the target; its path is (wpt-01 §3.1)', async (t) => {
  await judgeProof(t, {}, '', { path: '/v1/payments?a=b' })
  await judgeProof(t, {}, 'aud is of another path', { path: '/v1/payments/7' })
  await judgeProof(t, {}, '', { method: 'DELETE' })
})

test('H154: exp must be there, not past, and not further ahead than maxLifetime (wpt-01 §3.3)', async (t) => {
  const judge = (claims: object, detail: string) => judgeProof(t, { claims: { ...claims } }, detail)
  for (const exp of [undefined, null, `${now + 60}`, [now + 60], true]) await judge({ exp }, 'exp')
  for (const [exp, detail] of [
    [now - 30, 'expired'],
    [now - 29, ''],
    [now + 150, ''],
    [now + 151, 'exp is too far ahead'],
    [(now + 60) * 1000, 'exp is too far ahead'],
    [0, 'expired'],
    [-1, 'expired'],
  ] as const)
    await judge({ exp }, detail)
  for (const name of ['iat', 'nbf']) {
    for (const time of [undefined, 0, now - 9999, now + 30]) await judge({ [name]: time }, '')
    for (const time of [null, 'x', [], now + 31]) await judge({ [name]: time }, 'iat or nbf')
  }
})

test('H154: maxLifetime and clockSkew of the policy bound a WPT to the second (policy.md, wimse)', async (t) => {
  const policy = wimsePolicy({ spec: 'clockSkew: 0s', wimse: 'maxLifetime: 10s' })
  const own = await createWimseWorld({ now, policy, issuers: { mesh } })
  const { judgeProof: judge } = witJudge(own)
  for (const [exp, detail] of [
    [now, 'expired'],
    [now + 1, ''],
    [now + 10, ''],
    [now + 11, 'exp is too far ahead'],
  ] as const)
    await judge(t, { claims: { exp } }, detail)
})

test('H154: jti is a text of 1 to 256 characters (wpt-01 §3.1)', async (t) => {
  for (const jti of [undefined, null, '', 1, ['a'], {}, 'x'.repeat(257)])
    await judgeProof(t, { claims: { jti } }, 'jti')
  for (const jti of ['x'.repeat(256), ' ', '__proto__'])
    await judgeProof(t, { claims: { jti } }, '')
})

test('H150: further header members and claims of a WPT are ignored (RFC 7515 §4, RFC 7519 §4)', async (t) => {
  const claims = { iss: 'x', sub: thief.sub, cnf: { jwk: thief.publicJwk }, htm: 'PUT' }
  await judgeProof(t, { claims, header: { kid: 'x', jku: 'https://evil.example/jwks' } }, '')
})

test('H150: the WIT of another trust domain’s workload, with its own sound proof, is its own', async (t) => {
  const id = 'spiffe://other.example/ns/shop/sa/orders'
  const stranger = await createWimseWorkload(setting.other, id, { now: () => now })
  const { judgeProof: judge } = witJudge(setting, stranger)
  await judge(t, {}, '')
  const impostor = await createWitIssuer({ trustDomain: 'other.example', now: () => now })
  const forged = await stranger.wit({ issuer: impostor })
  const wpt = await stranger.proof({ wit: forged })
  await refused(t, [forged, wpt], 'workload_token_invalid signature')
})
