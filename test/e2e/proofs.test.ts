/**
 * DPoP through a real Envoy, for clients that have no certificate: proofs, nonces, two replicas that share one Redis
 * server, and what is left when it goes away.
 */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { createDpopClient, type DpopClient } from '../support/dpop.ts'
import { addEnvoy, canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import type { RunningEnvoy } from '../support/envoy.ts'
import { type Answer, call, secret } from '../support/mesh.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import type { Leaf } from '../support/pki.ts'
import { canRunRedis, type RunningRedis, startRedis } from '../support/redis.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/ingressgateway'
const origin = 'https://payments.example'
const policyWith = (nonce: string) => `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  clockSkew: 1s
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  dpop: { origins: [${origin}], nonce: ${nonce} }
  routes:
    - name: public
      match: { paths: [/healthz] }
      require: none
    - name: mobile
      match: { paths: [/mobile] }
      require: { issuers: [corp], bindings: [dpop] }
      forward: { token: remove }
    - name: either
      match: { paths: [/either] }
      require: { issuers: [corp], bindings: ["x5t#S256", dpop], scopes: [payments.write] }
`

interface Context {
  rig: Rig
  gateway: RunningEnvoy
  redis: RunningRedis
  /** A second replica, with a policy that requires nonces as its only difference where it is asked to. */
  second: RunningMeshbind
  client: DpopClient
}
const test = anyTest as TestFn<Context>
const possible = (await canRunEnvoy()) && canRunRedis()
const e2e = possible ? test.serial : test.serial.skip

test.before(async (t) => {
  if (!possible) return
  const redis = await startRedis()
  const state = ['--state', redis.url]
  const rig = await startRig(
    (authz, _port, directory) => ({
      first: { authz, requireClientCertificate: false },
      second: { authz: join(directory, 'second.sock'), requireClientCertificate: false },
      behindGateway: { authz, xfcc: { mode: 'APPEND_FORWARD', details: { uri: true } } },
    }),
    {
      policy: policyWith('disabled'),
      args: state,
      files: () => ({ 'nonce.yaml': policyWith('required') }),
    },
  )
  const gateway = await addEnvoy(rig, gatewayId, {
    mobile: {
      next: rig.envoy.portOf('behindGateway'),
      requireClientCertificate: false,
      xfcc: { mode: 'SANITIZE_SET', details: { uri: true, cert: true } },
    },
  })
  const second = await startSecond(rig, 'policy.yaml', state)
  const client = await createDpopClient()
  // Proofs that may have been spent before the store began to remember are refused.
  await sleep(2100)
  t.context = { rig, gateway, redis, second, client }
})

function startSecond({ directory }: Rig, policy: string, state: readonly string[]) {
  const listen = `unix:${join(directory, 'second.sock')}`
  const args = ['--policy', join(directory, policy), '--listen', listen, '--admin', 'off']
  return startMeshbind([...args, '--deadline', '400ms', ...state])
}

test.after.always(async (t) => {
  const { rig, gateway, second, redis } = t.context
  await gateway?.stop()
  await second?.stop()
  await rig?.close()
  await redis?.stop()
})

interface Sent {
  readonly token: string
  readonly proof?: string | undefined
  readonly scheme?: string
  readonly as?: Leaf
  readonly path?: string
  readonly listener?: 'first' | 'second' | 'gateway'
}

function send({ rig, gateway }: Context, sent: Sent): Promise<Answer> {
  const { token, proof, scheme = 'DPoP', as, path = '/mobile', listener = 'first' } = sent
  return call({
    port: listener === 'gateway' ? gateway.portOf('mobile') : rig.envoy.portOf(listener),
    authority: rig.authority,
    as,
    path,
    headers: {
      authorization: `${scheme} ${token}`,
      ...(proof === undefined ? {} : { dpop: proof }),
    },
  })
}

const tokenFor = ({ rig, client }: Context) =>
  rig.issuer.sign({ sub: 'phone-4711', cnf: { jkt: client.jkt }, scope: 'payments.write' })
const proofFor = ({ client }: Context, token: string, path = '/mobile', claims = {}) =>
  client.proof(token, { htu: `${origin}${path}`, ...claims })

const said = ({ status, reason, body }: Answer) =>
  status === 200 && body.includes(secret) ? '200' : `${status} ${reason}`

e2e(
  'RFC 9449 §7: a client without certificate passes with a proof, which the upstream never sees',
  async (t) => {
    const token = await tokenFor(t.context)
    const proof = await proofFor(t.context, token)
    t.is(said(await send(t.context, { token, proof })), '200')
    const seen = t.context.rig.backend.seen.at(-1)
    t.is(seen?.path, '/mobile')
    t.is(seen?.headers['authorization'], undefined)
    t.is(seen?.headers['dpop'], undefined)
  },
)

e2e('RFC 9449 §11.1: the same proof a second time is refused, with a DPoP challenge', async (t) => {
  const token = await tokenFor(t.context)
  const proof = await proofFor(t.context, token)
  t.is(said(await send(t.context, { token, proof })), '200')
  const answer = await send(t.context, { token, proof })
  t.is(said(answer), '401 proof_replayed')
  t.regex(
    String(answer.headers['www-authenticate']),
    /^DPoP realm="shop", error="invalid_dpop_proof"/,
  )
  t.regex(String(answer.headers['www-authenticate']), /algs="ES256 EdDSA Ed25519"$/)
})

e2e('RFC 9449 §7.2: the token of a key as Bearer is refused, with and without proof', async (t) => {
  const token = await tokenFor(t.context)
  const proof = await proofFor(t.context, token)
  for (const given of [proof, undefined])
    t.is(
      said(await send(t.context, { token, proof: given, scheme: 'Bearer' })),
      '401 scheme_mismatch',
    )
  t.is(said(await send(t.context, { token })), '401 proof_missing')
})

e2e(
  'RFC 9449 §4.3: a stolen token with a proof by the thief’s own key is a binding mismatch',
  async (t) => {
    const token = await tokenFor(t.context)
    const thief = await createDpopClient()
    const proof = await thief.proof(token, { htu: `${origin}/mobile` })
    t.is(said(await send(t.context, { token, proof })), '401 binding_mismatch')
  },
)

e2e('RFC 9449 §4.3: a proof for another path, method or token is refused', async (t) => {
  const token = await tokenFor(t.context)
  for (const proof of [
    await proofFor(t.context, token, '/either'),
    await proofFor(t.context, token, '/mobile', { htm: 'GET' }),
    await proofFor(t.context, await t.context.rig.issuer.sign({ jti: 'another' })),
  ])
    t.is(said(await send(t.context, { token, proof })), '401 proof_invalid')
})

e2e(
  'a client without certificate passes through a gateway as well: a proof needs no presenter',
  async (t) => {
    const token = await tokenFor(t.context)
    const proof = await proofFor(t.context, token)
    t.is(said(await send(t.context, { token, proof, listener: 'gateway' })), '200')
    t.is(said(await send(t.context, { token, proof, listener: 'gateway' })), '401 proof_replayed')
  },
)

e2e(
  'policy.md Proofs and replay: a request that is refused for another reason spends no proof',
  async (t) => {
    const { rig, client } = t.context
    const token = await rig.issuer.sign({ sub: 'phone', cnf: { jkt: client.jkt } })
    const proof = await proofFor(t.context, token, '/either')
    for (let i = 0; i < 2; i++)
      t.is(said(await send(t.context, { token, proof, path: '/either' })), '403 scope_insufficient')
  },
)

e2e(
  'policy.md Proofs and replay: a proof spent at one replica is refused at the other',
  async (t) => {
    const token = await tokenFor(t.context)
    const proof = await proofFor(t.context, token)
    t.is(said(await send(t.context, { token, proof, listener: 'second' })), '200')
    t.is(said(await send(t.context, { token, proof, listener: 'first' })), '401 proof_replayed')
  },
)

e2e('without Redis only what needs it is refused, and it recovers by itself', async (t) => {
  const { rig, redis } = t.context
  const token = await tokenFor(t.context)
  const bound = await rig.issuer.sign({
    cnf: { 'x5t#S256': rig.orders.x5tS256 },
    scope: 'payments.write',
  })
  const certificateBound = () =>
    send(t.context, { token: bound, scheme: 'Bearer', as: rig.orders, path: '/either' })
  const withProof = async (proof: string) => said(await send(t.context, { token, proof }))
  const spent = await proofFor(t.context, token)
  t.is(await withProof(spent), '200')

  redis.pause()
  t.is(await withProof(await proofFor(t.context, token)), '503 state_unavailable')
  t.is(said(await certificateBound()), '200')
  redis.resume()
  await redis.kill()
  t.is(await withProof(await proofFor(t.context, token)), '503 state_unavailable')
  t.is(said(await certificateBound()), '200')

  const restartedAt = Date.now()
  await redis.restart()
  const lines = () =>
    rig.meshbind.lines.filter(({ message }) => message === 'shared state connected')
  const before = lines().length
  for (let i = 0; i < 100 && lines().length === before; i++) await sleep(50)
  // A server that lost its data refuses what may have been spent before.
  t.is(await withProof(spent), '401 proof_invalid')
  await sleep(Math.max(0, restartedAt + 4000 - Date.now()))
  t.is(await withProof(await proofFor(t.context, token)), '200')
})

e2e(
  'RFC 9449 §9: where nonces are required, each answer brings one, and every replica knows them all',
  async (t) => {
    const { rig, second, redis } = t.context
    await second.stop()
    const replica = await startSecond(rig, 'nonce.yaml', ['--state', redis.url])
    t.teardown(() => replica.stop())
    await replica.waitFor(({ message }) => message === 'shared state connected')
    const token = await tokenFor(t.context)
    const ask = async (nonce?: string) => {
      const proof = await proofFor(t.context, token, '/mobile', { nonce })
      return send(t.context, { token, proof, listener: 'second' })
    }
    const first = await ask()
    t.is(said(first), '401 proof_nonce_required')
    t.regex(String(first.headers['www-authenticate']), /error="use_dpop_nonce"/)
    t.is(first.headers['cache-control'], 'no-store')
    const nonce = String(first.headers['dpop-nonce'])
    const passed = await ask(nonce)
    t.is(said(passed), '200')
    t.regex(String(passed.headers['dpop-nonce']), /^[A-Za-z0-9_-]{30}$/)
    t.is(said(await ask('A'.repeat(30))), '401 proof_nonce_required')

    // Another replica, started later, takes a nonce that this one issued.
    await replica.stop()
    const third = await startSecond(rig, 'nonce.yaml', ['--state', redis.url])
    t.teardown(() => third.stop())
    await third.waitFor(({ message }) => message === 'shared state connected')
    t.is(said(await ask(nonce)), '200')
    const open = await call({
      port: rig.envoy.portOf('second'),
      authority: rig.authority,
      as: undefined,
      path: '/healthz',
    })
    t.is(open.headers['dpop-nonce'], undefined)
  },
)
