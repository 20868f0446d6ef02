/**
 * Tokens as a real, OpenID Certified authorization server issues them, JWTs and opaque ones, bound to a certificate, to
 * a DPoP key or to nothing: through a real Envoy to meshbind, and from meshbind to that server.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { app, resources } from '../support/authorization-clients.ts'
import { type Estate, proofTarget, startEstate } from '../support/authorization-estate.ts'
import type { Tokens } from '../support/authorization-server.ts'
import { canRunEnvoy } from '../support/e2e.ts'
import { ordersId } from '../support/world.ts'

const test = anyTest as TestFn<Estate>
const possible = await canRunEnvoy()
const e2e = possible ? test.serial : test.serial.skip

test.before(async (t) => {
  if (possible) t.context = await startEstate()
})
test.after.always((t) => t.context.close?.())

/** Asks again until that is the answer, and gives the last one. */
async function until(wanted: string, ask: () => Promise<string>): Promise<string> {
  let said = await ask()
  for (let i = 0; i < 200 && said !== wanted; i++) {
    await sleep(50)
    said = await ask()
  }
  return said
}

/** A proof of the phone's, as often as asked: memory that is seconds old refuses those that may be older than it. */
async function sendWithProof({ phone, send }: Estate, path: string, token: string) {
  const proof = await phone.proof(token, proofTarget(path))
  return { proof, said: await send({ path, token, scheme: 'DPoP', proof }) }
}

e2e('RFC 8705 §3: a JWT that the server bound to its client’s certificate', async (t) => {
  const { rig, issue, send } = t.context
  const token = await issue('corp', 'orders')
  t.is(await send({ path: '/jwt', token, as: rig.orders }), '200')
  t.is(await send({ path: '/jwt', token, as: rig.thief }), '401 binding_mismatch')
  t.is(await send({ path: '/jwt', token }), '401 presenter_missing')
})

e2e('RFC 9449 §6.1: a JWT that the server bound to its client’s DPoP key', async (t) => {
  const { issue, send } = t.context
  const token = await issue('corp', 'phone')
  let proof = ''
  const ask = async () => {
    const sent = await sendWithProof(t.context, '/jwt', token)
    proof = sent.proof
    return sent.said
  }
  t.is(await until('200', ask), '200')
  t.is(await send({ path: '/jwt', token, scheme: 'DPoP', proof }), '401 proof_replayed')
  t.is(await send({ path: '/jwt', token, proof }), '401 scheme_mismatch')
})

for (const [name, method] of [
  ['basic', 'client_secret_basic (RFC 6749 §2.3.1)'],
  ['post', 'client_secret_post (RFC 6749 §2.3.1)'],
  ['key', 'private_key_jwt (RFC 7523 §2.2)'],
  ['mtls', 'tls_client_auth (RFC 8705 §2.1)'],
] as const)
  e2e(
    `RFC 7662: an opaque token bound to a certificate, introspected with ${method}`,
    async (t) => {
      const { rig, servers, issue, send } = t.context
      const token = await issue(name, 'orders')
      const before = servers[name].introspections()
      const path = `/${name}`
      t.is(await send({ path, token, as: rig.orders }), '200')
      t.is(await send({ path, token, as: rig.thief }), '401 binding_mismatch')
      t.true(servers[name].introspections() > before)
    },
  )

e2e('RFC 7662 §2.2: where the server names no `sub`, the client is the subject', async (t) => {
  const { rig, issue, send } = t.context
  const token = await issue('basic', 'orders')
  t.is(await send({ path: '/basic', token, as: rig.orders }), '200')
  // The same workload with another certificate: its identity is the token's, so it is no theft.
  const renewed = await rig.authority.issue({ spiffeId: ordersId })
  t.is(await send({ path: '/basic', token, as: renewed }), '401 binding_rotated')
  const refusal = await rig.meshbind.waitFor(({ reason }) => reason === 'binding_rotated')
  t.like(refusal, { route: 'basic', token: { issuer: 'basic', subject: ordersId } })
})

e2e(
  'RFC 9449 §6.2: an opaque token bound to a DPoP key needs a proof and its scheme',
  async (t) => {
    const { issue, send } = t.context
    const token = await issue('basic', 'phone')
    const ask = async () => (await sendWithProof(t.context, '/basic', token)).said
    t.is(await until('200', ask), '200')
    t.is(await send({ path: '/basic', token }), '401 scheme_mismatch')
    t.is(await send({ path: '/basic', token, scheme: 'DPoP' }), '401 proof_missing')
  },
)

e2e('policy.md: an opaque token bound to nothing passes only under `unbound: allow`', async (t) => {
  const { rig, issue, send } = t.context
  const token = await issue('basic', 'legacy')
  t.is(await send({ path: '/basic', token, as: rig.orders }), '401 binding_missing')
  t.is(await send({ path: '/unbound', token, as: rig.orders }), '200')
  // A binding that is there is confirmed there too.
  const bound = await issue('basic', 'orders')
  t.is(await send({ path: '/unbound', token: bound, as: rig.thief }), '401 binding_mismatch')
})

e2e('RFC 7009 §2: a token revoked at the server is refused once `cacheFor` is over', async (t) => {
  const { rig, servers, issue, send } = t.context
  const token = await issue('post', 'orders')
  const ask = () => send({ path: '/post', token, as: rig.orders })
  t.is(await ask(), '200')
  const { post, revocationUrl } = servers.post
  await post(revocationUrl, { token, client_id: ordersId }, { as: rig.orders })
  t.is(await until('401 token_inactive', ask), '401 token_inactive')
})

e2e('RFC 9701: where responses must be signed, the server’s signed ones are taken', async (t) => {
  const { rig, issue, send } = t.context
  const token = await issue('signed', 'orders')
  t.is(await send({ path: '/signed', token, as: rig.orders }), '200')
  t.is(await send({ path: '/signed', token, as: rig.thief }), '401 binding_mismatch')
})

e2e('RFC 9701 §4: of a server that does not sign them, no response is taken', async (t) => {
  const { rig, servers, issue, send } = t.context
  const token = await issue('unsigned', 'orders')
  t.is(await send({ path: '/unsigned', token, as: rig.orders }), '503 introspection_unavailable')
  t.true(servers.unsigned.introspections() > 0)
  const { error } = await rig.meshbind.waitFor(({ issuer }) => issuer === 'unsigned')
  t.regex(String(error), /not signed as it must be/)
})

e2e('a JWT of an issuer with keys is never shown to an introspection endpoint', async (t) => {
  const { rig, servers, issue, send } = t.context
  const [bound, opaque] = [await issue('corp', 'orders'), await issue('basic', 'orders')]
  const count = () =>
    Object.values(servers).reduce((sum, server) => sum + server.introspections(), 0)
  const before = count()
  for (const path of ['/both', '/jwt'])
    t.is(await send({ path, token: bound, as: rig.orders }), '200')
  t.is(await send({ path: '/basic', token: bound, as: rig.orders }), '401 issuer_unknown')
  t.is(count(), before)
  t.is(await send({ path: '/both', token: opaque, as: rig.orders }), '200')
  t.is(count(), before + 1)
})

e2e('RFC 7662 §2.2: a token for no resource has no `aud`, and is refused for that', async (t) => {
  const { rig, servers, send } = t.context
  const { post, tokenUrl } = servers.basic
  const form = { grant_type: 'client_credentials', client_id: ordersId }
  const { access_token: token } = await post(tokenUrl, form, { as: rig.orders })
  t.is(await send({ path: '/basic', token, as: rig.orders }), '401 audience_mismatch')
})

/** As a user's app gets them: access, refresh and ID token in one answer, bound to the certificate of `orders`. */
async function redeemCode({ servers, rig }: Estate, name: 'corp' | 'basic'): Promise<Tokens> {
  const { issueCode, post, tokenUrl } = servers[name]
  const resource = resources.opaque
  const code = {
    grant_type: 'authorization_code',
    code: await issueCode(),
    client_id: app,
    resource,
  }
  return post(tokenUrl, code, { as: rig.orders })
}

e2e('RFC 7662 §4: a refresh token is active and bound, and is no access token', async (t) => {
  const { rig, send } = t.context
  const { access_token, refresh_token = '' } = await redeemCode(t.context, 'basic')
  t.is(await send({ path: '/basic', token: access_token, as: rig.orders }), '200')
  // This server names neither `token_type` nor `aud` for it: a response without `aud` is of no use to anybody here.
  for (const path of ['/basic', '/unbound'])
    t.is(await send({ path, token: refresh_token, as: rig.orders }), '401 audience_mismatch', path)
})

e2e(
  'RFC 9068 §5: an ID token is no access token, neither by keys nor by introspection',
  async (t) => {
    const { rig, send } = t.context
    const { id_token: ofCorp = '' } = await redeemCode(t.context, 'corp')
    t.is(await send({ path: '/jwt', token: ofCorp, as: rig.orders }), '401 audience_mismatch')
    const { id_token: ofBasic = '' } = await redeemCode(t.context, 'basic')
    // The server introspects no JWT of its own: 400 unsupported_token_type.
    t.is(await send({ path: '/basic', token: ofBasic, as: rig.orders }), '401 token_inactive')
  },
)

e2e('without the server only new opaque tokens are refused: keys are remembered', async (t) => {
  const { rig, servers, issue, send } = t.context
  const [opaque, jwt] = [await issue('basic', 'orders'), await issue('corp', 'orders')]
  await Promise.all([servers.basic.stop(), servers.corp.stop()])
  t.is(
    await send({ path: '/basic', token: opaque, as: rig.orders }),
    '503 introspection_unavailable',
  )
  t.is(
    await send({ path: '/both', token: opaque, as: rig.orders }),
    '503 introspection_unavailable',
  )
  t.is(await send({ path: '/both', token: jwt, as: rig.orders }), '200')
})
