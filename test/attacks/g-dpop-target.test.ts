/** Attack group G, 117-119, 128-137 and 144-146: which request, time and token a proof is for, and under which scheme. */

import { createHash } from 'node:crypto'
import test from 'ava'
import { createDpopClient, type DpopClient } from '../support/dpop.ts'
import { audience, type Claims } from '../support/issuer.ts'
import { proofJudge } from '../support/proofs.ts'
import { createWorld, type Question } from '../support/world.ts'

const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example, https://api.example:8443] }
  routes:
    - { name: mixed, match: { paths: [/mixed] }, require: { issuers: [corp], bindings: ["x5t#S256", dpop] } }
    - { name: certificate, match: { paths: [/cert] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
    - name: narrowed
      match: { paths: [/narrow] }
      require: { issuers: [corp], bindings: [dpop], dpop: { origins: [https://payments.example] } }
    - { name: bound, require: { issuers: [corp], bindings: [dpop] } }
`
const world = await createWorld({ policy })
const client = await createDpopClient({ now: world.now })
const stranger = await createDpopClient({ now: world.now })
const token = await world.token({ cnf: { jkt: client.jkt } })
const otherToken = await world.token({ cnf: { jkt: client.jkt }, jti: 'other' })

const { question, allowed, refused } = proofJudge(world, token)

const ath = createHash('sha256').update(token).digest('base64url')

test('G117: a DPoP-bound token under Bearer is refused, with and without a proof (RFC 9449 §7.2)', async (t) => {
  const detail = 'a DPoP-bound token under Bearer'
  for (const proof of [undefined, await client.proof(token)])
    await refused(t, proof, 'scheme_mismatch', detail, { scheme: 'Bearer' })
})

test('G117: where both schemes are taken, the error stands on Bearer (RFC 9449 §7.2)', async (t) => {
  const { challenge } = await world.ask(question(undefined, { scheme: 'Bearer', path: '/mixed' }))
  t.regex(
    challenge,
    /^Bearer realm="shop", error="invalid_token", [^=]*="[^"]*", DPoP realm="shop", algs="[^"]*"$/,
  )
})

test('G118: a token without jkt is refused under DPoP, with and without a proof (RFC 9449 §7.1)', async (t) => {
  const detail = 'the token is not bound to a DPoP key'
  const x5t = { 'x5t#S256': world.orders.x5tS256 }
  for (const cnf of [undefined, x5t]) {
    const unbound = await world.token({ cnf })
    const parts = { token: unbound, as: world.orders }
    await refused(t, undefined, 'scheme_mismatch', detail, parts)
    await refused(t, await client.proof(unbound), 'scheme_mismatch', detail, parts)
    const onBearerRoute = question(await client.proof(unbound), { ...parts, path: '/cert' })
    t.is((await world.ask(onBearerRoute)).reason, 'scheme_mismatch')
    if (cnf !== undefined)
      t.true((await world.ask({ token: unbound, path: '/cert' })).allowed, 'control')
  }
})

test('G119: the scheme compares without case (RFC 9110 §11.1)', async (t) => {
  for (const scheme of ['dpop', 'DPOP', 'DPoP', 'dPoP'])
    await allowed(t, await client.proof(token), { scheme })
})

type Case = readonly [title: string, details: string | RegExp, changes: readonly Claims[]]
const invalidClaims: readonly Case[] = [
  [
    'G128, RFC 9449 §4.3 item 8: htm is the method, with its case',
    'htm',
    [undefined, 'GET', 'post', 'Post', '', 'POST ', ['POST'], null, 1].map((htm) => ({ htm })),
  ],
  [
    'G137, RFC 9449 §4.3 item 3: jti is a text of 1 to 256 characters',
    'jti',
    [undefined, '', 1, null, ['a'], {}, 'x'.repeat(257), 'x'.repeat(5000)].map((jti) => ({ jti })),
  ],
  [
    'G144, RFC 9449 §4.3 item 3: iat is a number',
    'iat',
    [undefined, null, '1', `${world.now()}`, [], {}, true].map((iat) => ({ iat })),
  ],
  [
    'G144, RFC 9449 §4.3 item 11: an iat an hour away is refused',
    /^iat is (too old|in the future)$/,
    [-3600, 3600, 60, -120]
      .map((by) => ({ iat: world.now() + by }))
      .concat({ iat: 0 }, { iat: -1 }),
  ],
  [
    'G145: exp and nbf in a proof are honoured (RFC 7519 §4.1.4, §4.1.5)',
    /^outside (exp|nbf)$/,
    [
      { exp: world.now() - 3600 },
      { exp: world.now() - 31 },
      { exp: 0 },
      { nbf: world.now() + 3600 },
    ],
  ],
  [
    'G145: exp and nbf in a proof are numbers (RFC 7519 §2)',
    /^(exp|nbf)$/,
    [null, '9999999999', [], {}, true].flatMap((value) => [{ exp: value }, { nbf: value }]),
  ],
  [
    'G146, RFC 9449 §4.3 item 12: ath is the hash of this token, in its one spelling',
    'ath',
    [
      undefined,
      '',
      null,
      token,
      createHash('sha256').update(otherToken).digest('base64url'),
      `${ath}=`,
      `${ath}A`,
      createHash('sha256').update(token).digest('hex'),
      createHash('sha512').update(token).digest('base64url'),
      [ath],
      createHash('sha256').update(`DPoP ${token}`).digest('base64url'),
    ].map((ath) => ({ ath })),
  ],
]
for (const [title, detail, changes] of invalidClaims) {
  test(title, async (t) => {
    for (const change of changes) {
      const verdict = await world.ask(question(await client.proof(token, change)))
      t.regex(verdict.detail, typeof detail === 'string' ? new RegExp(`^${detail}$`) : detail)
      await refused(t, await client.proof(token, change), 'proof_invalid', verdict.detail)
    }
  })
}

test('G144-G145: ten seconds either way, and a jti of 256 characters, are allowed (RFC 9449 §11.1)', async (t) => {
  const now = world.now()
  const taken = [{ iat: now - 10 }, { iat: now + 10 }, { jti: 'x'.repeat(256) }, { exp: now + 10 }]
  for (const change of [...taken, { exp: now - 10 }, { nbf: now + 10 }, { nbf: 0 }])
    await allowed(t, await client.proof(token, change))
})

test('G146: a proof for one token of the client is none for another (RFC 9449 §4.3)', async (t) => {
  await refused(t, await client.proof(otherToken), 'proof_invalid', 'ath')
  await allowed(t, await client.proof(otherToken), { token: otherToken })
})

test('D72: with both x5t#S256 and jkt in cnf, each must hold, whichever the route lists (RFC 7800 §3.1)', async (t) => {
  const both = (x5t: string, by: DpopClient) => ({ cnf: { 'x5t#S256': x5t, jkt: by.jkt } })
  const { orders, thief } = world
  const ask = async (x5t: string, by: DpopClient, path: string, parts: Question = {}) => {
    const bound = await world.token(both(x5t, by))
    const proof = await client.proof(bound, { htu: `https://payments.example${path}` })
    return (await world.ask(question(proof, { token: bound, as: orders, path, ...parts }))).reason
  }
  for (const path of ['/v1/payments', '/mixed', '/cert']) {
    t.is(await ask(orders.x5tS256, client, path), '', path)
    t.is(await ask(thief.x5tS256, client, path), 'binding_mismatch', path)
    t.is(await ask(orders.x5tS256, stranger, path), 'binding_mismatch', path)
    t.is(await ask(orders.x5tS256, client, path, { as: thief }), 'binding_mismatch', path)
    t.is(await ask(orders.x5tS256, client, path, { as: null }), 'presenter_missing', path)
    t.is(await ask(orders.x5tS256, client, path, { scheme: 'Bearer' }), 'scheme_mismatch', path)
    t.is(await ask(orders.x5tS256, client, path, { headers: {} }), 'proof_missing', path)
  }
})

test('RFC 9449 §6.1: a jkt that is no SHA-256 in base64url is refused before any proof', async (t) => {
  const malformed = [
    '',
    `${client.jkt}=`,
    client.jkt.slice(1),
    `${client.jkt}A`,
    1,
    null,
    [client.jkt],
    {},
  ]
  for (const jkt of malformed) {
    const bound = await world.token({ cnf: { jkt } })
    const verdict = await world.ask(question(await client.proof(bound), { token: bound }))
    t.is(verdict.reason, 'binding_malformed', JSON.stringify(jkt))
  }
})

const origin = 'https://payments.example'
const target = `${origin}/v1/payments`
const otherOrigin = 'htu is of another origin'
const otherPath = 'htu is of another path'
const noUri = 'htu is no absolute http URI'

interface Targets {
  /** The request's path; `/v1/payments` unless given. */
  readonly path?: string
  /** '' is an allow. */
  readonly detail: string
  readonly htu: readonly unknown[]
}

function targets(title: string, ...cases: readonly Targets[]): void {
  test(title, async (t) => {
    for (const { path = '/v1/payments', detail, htu } of cases)
      for (const one of htu) {
        const proof = await client.proof(token, { htu: one })
        const verdict = await world.ask(question(proof, { path }))
        t.is(verdict.detail, detail, JSON.stringify([one, path]))
        if (detail === '') t.true(verdict.allowed)
        else await refused(t, proof, 'proof_invalid', detail, { path })
      }
  })
}

targets(
  'G129: htu of another host, scheme, port or path is refused (RFC 9449 §4.3 item 9)',
  {
    detail: otherOrigin,
    htu: [
      ...['https://evil.example/v1/payments', 'http://payments.example/v1/payments'],
      ...['https://payments.example.evil.example/v1/payments', 'https://payments/v1/payments'],
      ...[`${origin}:8443/v1/payments`, `${origin}./v1/payments`, 'https://127.0.0.1/v1/payments'],
      ...['https://api.example/v1/payments', 'https://payments.mesh.example/v1/payments'],
    ],
  },
  {
    detail: otherPath,
    htu: [`${origin}/v1/refunds`, origin, `${origin}/`, `${target}/1`, `${origin}/V1/payments`],
  },
)
targets('G129: any of the origins of the policy is taken where the route names none', {
  detail: '',
  htu: [target, 'https://api.example:8443/v1/payments'],
})
targets(
  'G129: a route that names its origins takes no other (policy require.dpop.origins)',
  { path: '/narrow', detail: '', htu: [`${origin}/narrow`] },
  { path: '/narrow', detail: otherOrigin, htu: ['https://api.example:8443/narrow'] },
)
targets(
  'G130: query and fragment of htu and of the request are left out (RFC 9449 §4.3 item 9)',
  { detail: '', htu: [`${target}?x=1`, `${target}#y`, `${target}?x=/../#y`, `${target}?`] },
  { path: '/v1/payments?x=1', detail: '', htu: [target, `${target}?x=1`, `${target}?z`] },
)
targets(
  'G131: scheme and host without case, and the default port, are the same (RFC 3986 §6.2.2.1, §6.2.3)',
  {
    detail: '',
    htu: [
      ...['HTTPS://payments.example/v1/payments', 'https://PAYMENTS.Example/v1/payments'],
      ...[`${origin}:443/v1/payments`, `${origin}:/v1/payments`],
      'HTTPS://API.EXAMPLE:8443/v1/payments',
    ],
  },
  { path: '/', detail: '', htu: [origin, `${origin}/`, `${origin}?x`, `${origin}:443`] },
)
targets(
  'G132: a trailing slash makes another path, either way (RFC 3986 §6.2.2)',
  { detail: otherPath, htu: [`${target}/`, `${target}//`, `${origin}//v1/payments`] },
  { path: '/v1/payments/', detail: otherPath, htu: [target] },
  { path: '/v1/payments/', detail: '', htu: [`${target}/`, `${target}/.`, `${target}/a/..`] },
)
targets(
  'G133: equivalent spellings of RFC 3986 §6.2.2 are the same, an escaped slash is no slash',
  { path: '/a~b', detail: '', htu: ['%7E', '%7e', '~'].map((c) => `${origin}/a${c}b`) },
  { path: '/%C3%A9', detail: '', htu: [`${origin}/%c3%a9`, `${origin}/%C3%a9`] },
  { path: '/%c3%a9', detail: '', htu: [`${origin}/%C3%A9`] },
  { detail: '', htu: [`${origin}/v1/x/../payments`, `${origin}/%76%31/./payments`] },
  { detail: otherPath, htu: [`${origin}/v1%2Fpayments`, `${origin}/v1%2fpayments`] },
  { detail: otherPath, htu: [`${origin}/v1/%2570ayments`, `${origin}/v1/..%2Fv1/payments`] },
  { path: '/a%20b', detail: otherPath, htu: [`${origin}/a+b`, `${origin}/a%2520b`] },
)
targets(
  'G134: what only the WHATWG parser would repair is refused (RFC 3986)',
  {
    detail: noUri,
    htu: [
      ...[
        `${origin}\\v1\\payments`,
        `${origin}/v1\\payments`,
        'https:\\\\payments.example/v1/payments',
      ],
      ...[
        `${origin}/v1/pay\tments`,
        `${origin}/v1/payments\n`,
        ` ${target}`,
        `${target} `,
        `\t${target}`,
      ],
      ...['https:payments.example/v1/payments', 'https:/payments.example/v1/payments'],
      ...['https:///payments.example/v1/payments', 'https://ｐayments.example/v1/payments'],
      ...['https://u@payments.example/v1/payments', 'https://u:p@payments.example/v1/payments'],
      ...['https://payments%2eexample/v1/payments', 'https://payments。example/v1/payments'],
      ...[`${origin}@evil.example/v1/payments`, `${origin}/v1/payments%`, `${target}?é`],
    ],
  },
  { detail: otherOrigin, htu: ['https://0x7f.1/v1/payments', 'https://2130706433/v1/payments'] },
)
targets('G135: an htu that is no absolute URI is refused (RFC 9449 §4.2)', {
  detail: noUri,
  htu: [
    ...[undefined, null, '', '/', '/v1/payments', 'v1/payments', '//payments.example/v1/payments'],
    ...[
      'payments.example/v1/payments',
      [target],
      { href: target },
      1,
      true,
      'ftp://payments.example/',
    ],
    ...['https://', 'urn:payments', '?', '#'],
  ],
})
targets('G135: an htu over its bound is refused within the bound of the proof', {
  detail: 'over 8 KiB',
  htu: [target.padEnd(9 * 1024, 'a')],
})

test('G136: the authority is that of the policy, never one that the request brings (RFC 9449 §4.3)', async (t) => {
  const brought = {
    ':scheme': 'http',
    ':authority': 'evil.example',
    host: 'evil.example',
    forwarded: 'proto=http;host=evil.example',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-port': '80',
    'x-original-url': '/v1/refunds',
    'x-envoy-original-path': '/v1/refunds',
  }
  const ask = async (htu: string) => {
    const dpop = await client.proof(token, { htu })
    return (await world.ask(question('', { host: 'evil.example', headers: { ...brought, dpop } })))
      .detail
  }
  t.is(await ask(target), '')
  for (const htu of ['http://evil.example', 'https://evil.example', 'http://payments.example'])
    t.is(await ask(`${htu}/v1/payments`), otherOrigin)
  t.is(await ask(`${origin}/v1/refunds`), otherPath)
})

test('G129: a proof is for one method and one path of the client’s own token (RFC 9449 §4.3)', async (t) => {
  const proof = await client.proof(token)
  await refused(t, proof, 'proof_invalid', 'htm', { method: 'DELETE' })
  await refused(t, proof, 'proof_invalid', otherPath, { path: '/v1/payments/1' })
  await allowed(t, proof)
})
