/** Attack group H, 148, 149, 155-157: what a workload identity token must be (workload-creds-02 §3.1, SPIFFE WIT-SVID §3). */

import { generateKeyPairSync } from 'node:crypto'
import test from 'ava'
import { createWimseWorkload, createWitIssuer } from '../support/wimse.ts'
import {
  craftJws,
  createWimseWorld,
  outcome,
  wimseOrdersId,
  witJudge,
} from '../support/wit-judge.ts'

const setting = await createWimseWorld()
const { mesh, orders, now, ask } = setting
const { refused, judgeWit } = witJudge(setting)
/** Of the other scheme, which has the rules of the drafts without those of SPIFFE. */
const ordersOfWimse = await createWimseWorkload(mesh, wimseOrdersId, { now: () => now })
const { judgeWit: judgeWimseWit } = witJudge(setting, ordersOfWimse)
const wit = await orders.wit()
const proof = () => orders.proof({ wit })
const jwk = orders.publicJwk
const cnf = (changes: object) => ({ claims: { cnf: { jwk: { ...jwk, ...changes } } } })

test('H148: a sound WIT with its WPT is enough on a route that takes no token (wpt-01 §3.3)', async (t) => {
  const verdict = await ask(wit, await proof())
  t.is(outcome(verdict), 'allowed')
  t.like(JSON.parse(verdict.line), {
    method: 'wimse',
    presenter: { spiffe_id: orders.sub, evidence: 'wit', x5t_s256: null },
    token: null,
  })
  t.is(outcome(await ask(wit, await proof())), 'allowed', 'a WIT is good for as long as it lives')
})

test('H149: a WIT without WPT, a WPT without WIT, and neither are refused as what is missing', async (t) => {
  await refused(t, [wit, undefined], 'workload_proof_missing')
  await refused(t, [undefined, await proof()], 'workload_token_missing a WPT without its WIT')
  await refused(t, [undefined, undefined], 'workload_token_missing')
  await refused(t, ['', undefined], 'workload_proof_missing')
})

test('H155: more than one Workload-Identity-Token header is refused, joined or apart (workload-creds-02 §3)', async (t) => {
  const expected = 'workload_token_invalid more than one Workload-Identity-Token header'
  const [wpt, other] = [await proof(), await orders.wit()]
  for (const text of [`${wit},${other}`, `${wit}, ${wit}`, `${wit},`, `,${wit}`])
    await refused(t, [text, wpt], expected)
  const twins = { 'Workload-Identity-Token': other }
  await refused(t, [wit, wpt], expected, { headers: twins })
  const raw = (...wits: string[]) => ({
    rawHeaders: [
      ...wits.map((text) => ['workload-identity-token', text] as const),
      ['workload-proof-token', wpt] as const,
    ],
  })
  for (const wits of [
    [wit, other],
    [wit, wit],
    [wit, ''],
  ])
    await refused(t, [undefined, undefined], expected, raw(...wits))
  t.is(outcome(await ask(undefined, undefined, raw(wit))), 'allowed')
})

test('H155: what is no compact JWS in strict spelling is refused (RFC 7515 §3.1, RFC 8725 §2.6)', async (t) => {
  const [header = '', payload = '', signature = ''] = wit.split('.')
  const texts = {
    'not three parts': [
      '',
      'junk',
      'a.b',
      `${wit}.`,
      `${wit}.${signature}`,
      `${header}.${payload}`,
    ],
    'header is not strict base64url JSON': [`.${payload}.${signature}`, ` ${wit}`, `Bearer ${wit}`],
    'payload is not strict base64url JSON': [`${header}..${signature}`, `${header}.${payload}=.AA`],
    'signature is not strict base64url': [`${wit}=`, `${wit} `],
    'over 8 KiB': [`${header}.${payload}.${'A'.repeat(8192)}`, '.'.repeat(65_536)],
  }
  for (const [detail, all] of Object.entries(texts))
    for (const text of all)
      await refused(t, [text, await proof()], `workload_token_invalid ${detail}`)
  const twice = '{"sub":"a","sub":"b"}'
  for (const claims of [twice, '[]', 'null', '{"exp":1.5}', '{"exp":1e400}']) {
    const crafted = craftJws(
      { typ: 'wit+jwt', alg: 'ES256', kid: mesh.keyId },
      claims,
      mesh.privateKey,
    )
    const expected = 'workload_token_invalid payload is not strict base64url JSON'
    await refused(t, [crafted, await proof()], expected)
  }
})

test('H155: typ is wit+jwt: no other kind of JWT is a WIT (workload-creds-02 §3.1, RFC 8725 §3.11)', async (t) => {
  for (const typ of [
    undefined,
    '',
    'JWT',
    'at+jwt',
    'wpt+jwt',
    'dpop+jwt',
    'wit+jwt+x',
    'wit+jwt ',
  ])
    await judgeWit(t, { header: { typ } }, 'typ is not wit+jwt')
  for (const typ of [null, 1, ['wit+jwt']])
    await judgeWit(t, { header: { typ } }, 'typ is no short string')
  // RFC 7515 §4.1.9: a media type, compared without case, `application/` left out or not.
  for (const typ of ['WIT+JWT', 'application/wit+jwt']) await judgeWit(t, { header: { typ } }, '')
  await refused(t, [await proof(), await proof()], 'workload_token_invalid typ is not wit+jwt')
})

test('H155: alg is asymmetric and known; none and HS* are not, whatever the signature (RFC 8725 §3.2)', async (t) => {
  const claims = { sub: orders.sub, exp: now + 300, cnf: { jwk } }
  const craft = (alg: unknown) =>
    craftJws({ typ: 'wit+jwt', kid: mesh.keyId, alg }, claims, mesh.privateKey)
  const sound = craft('ES256')
  t.is(outcome(await ask(sound, await orders.proof({ wit: sound }))), 'allowed')
  for (const alg of ['none', 'None', '', 'HS256', 'es256', 'ES256K', 'A128KW', '__proto__'])
    await refused(t, [craft(alg), await proof()], 'workload_token_invalid alg is not taken here')
  for (const alg of [undefined, null, 0, ['ES256']])
    await refused(t, [craft(alg), await proof()], 'workload_token_invalid alg is no short string')
  for (const alg of ['ES384', 'PS256', 'RS256'])
    await refused(t, [craft(alg), await proof()], 'workload_token_invalid the key is not known')
})

test('H155: crit, b64 and zip are refused, whatever they say (RFC 7515 §4.1.11)', async (t) => {
  const header = { typ: 'wit+jwt', alg: 'ES256', kid: mesh.keyId }
  for (const [name, value] of Object.entries({ crit: ['x'], b64: false, zip: 'DEF' })) {
    const crafted = craftJws({ ...header, [name]: value }, '{}', mesh.privateKey)
    await refused(t, [crafted, await proof()], `workload_token_invalid header member ${name}`)
  }
})

test('H155: the WIT of a SPIFFE ID must name its key; that of a wimse one need not where there is one key (WIT-SVID §3.1)', async (t) => {
  await judgeWit(t, { header: { kid: undefined } }, 'no kid')
  await judgeWimseWit(t, { header: { kid: undefined } }, '')
  for (const header of [{ kid: 1 }, { kid: null }])
    await judgeWit(t, { header }, 'kid is no short string')
  for (const kid of ['', 'other', '__proto__', '../wit-key-1'])
    await judgeWit(t, { header: { kid } }, 'the key is not known')
})

test('H155: the key of nobody else counts, nor one that the token brings along (workload-creds-02 §3.2)', async (t) => {
  const issuer = await createWitIssuer({ trustDomain: 'mesh.example', now: () => now })
  await judgeWit(t, { issuer }, 'signature')
  const header = { jwk: issuer.publicJwk, jku: 'https://evil.example/jwks', x5c: ['AAAA'] }
  await judgeWit(t, { issuer, header }, 'signature')
  await judgeWit(t, { header }, '')
  await judgeWit(t, { claims: { iss: 'https://evil.example' } }, '')
})

test('H156: aud makes it no WIT-SVID, whatever stands in it; a wimse WIT may have one (WIT-SVID §3.2)', async (t) => {
  for (const aud of ['https://payments.example', '', [], null, ['a']])
    await judgeWit(t, { claims: { aud } }, 'aud')
  await judgeWimseWit(t, { claims: { aud: 'https://payments.example' } }, '')
})

test('H157: cnf.jwk must be there, public, and for signatures (workload-creds-02 §3.1)', async (t) => {
  const detail = 'cnf.jwk is no public key for signatures'
  for (const value of [
    undefined,
    null,
    '',
    'jwk',
    [jwk],
    {},
    { jkt: 'x' },
    { jwk: null },
    { jwk: [jwk] },
  ])
    await judgeWit(t, { claims: { cnf: value } }, detail)
  const { x = '', y = '' } = jwk
  for (const changes of [
    { d: x },
    { d: null },
    { k: x },
    { kty: 'oct' },
    { kty: undefined },
    { y: '' },
  ])
    await judgeWit(t, cnf(changes), detail)
  for (const changes of [
    { use: 'enc' },
    { use: 'wit-svid' },
    { key_ops: ['sign'] },
    { x: `${x}=` },
  ])
    await judgeWit(t, cnf(changes), detail)
  const { publicKey: weak } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const rsa = { jwk: { ...weak.export({ format: 'jwk' }), alg: 'PS256' } }
  await judgeWit(t, { claims: { cnf: rsa } }, detail)
  await judgeWit(t, cnf({ use: 'sig', kid: 'k', key_ops: ['verify'] }), '')
  await judgeWit(t, cnf({ x: y, y: x }), 'cnf.jwk is not on its curve')
})

test('H157: cnf.jwk.alg must be there, asymmetric, and go with the key (workload-creds-02 §3.1)', async (t) => {
  for (const alg of [undefined, null, '', 'none', 'HS256', 'es256', 'ECDH-ES', ['ES256']])
    await judgeWit(t, cnf({ alg }), 'cnf.jwk.alg is absent or not taken here')
  for (const alg of ['ES384', 'PS256'])
    await judgeWit(t, cnf({ alg }), 'cnf.jwk.alg does not go with its key')
})

test('H157: a WIT-SVID takes no EdDSA, neither for itself nor for the key in it; other WITs do (WIT-SVID §3.1)', async (t) => {
  for (const algorithm of ['EdDSA', 'Ed25519']) {
    const signer = await createWitIssuer({ trustDomain: 'mesh.example', algorithm, now: () => now })
    const own = await createWimseWorld({ now, issuers: { mesh: signer } })
    await witJudge(own).judgeWit(t, {}, 'alg is not taken here')
    const both = await createWimseWorkload(signer, wimseOrdersId, { algorithm, now: () => now })
    await witJudge(own, both).judgeWit(t, {}, '')
    const svid = await createWimseWorkload(mesh, orders.sub, { algorithm, now: () => now })
    await witJudge(setting, svid).judgeWit(t, {}, 'cnf.jwk.alg is absent or not taken here')
  }
  for (const algorithm of ['ES384', 'ES512', 'PS256', 'RS256']) {
    const signer = await createWitIssuer({ trustDomain: 'mesh.example', algorithm, now: () => now })
    const own = await createWimseWorld({ now, issuers: { mesh: signer } })
    const workload = await createWimseWorkload(signer, orders.sub, { algorithm, now: () => now })
    await witJudge(own, workload).judgeWit(t, {}, '')
  }
})
