/**
 * The rest of the estate through a real Envoy: workloads that prove themselves, services that act for others, Kubernetes
 * tokens, and what cannot be bound yet; proofs shared with a second replica by one Redis server.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { addEnvoy, canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import type { RunningEnvoy } from '../support/envoy.ts'
import { type Answer, call, secret } from '../support/mesh.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import type { Leaf } from '../support/pki.ts'
import { canRunRedis, type RunningRedis, startRedis } from '../support/redis.ts'
import {
  createWimseWorkload,
  createWitIssuer,
  type WimseWorkload,
  type WitIssuer,
} from '../support/wimse.ts'
import { ordersId, thiefId } from '../support/world.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/ingressgateway'
const origin = 'https://payments.example'
const policy = `
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
      identity: { claim: sub }
    cluster:
      issuer: https://kubernetes.default.svc
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      identity: { kubernetes: mesh.example }
  wimse:
    audiences: [${origin}]
    trustAnchors: { mesh.example: { keys: { file: wit-jwks.json } } }
  routes:
    - name: ledger
      match: { paths: [/ledger] }
      require: { bindings: [wimse], callers: [${ordersId}] }
      forward: { token: remove, presenterHeader: true }
    - name: import
      match: { paths: [/import] }
      require: { issuers: [corp], bindings: [wimse] }
    - name: cart
      match: { paths: [/cart] }
      require: { issuers: [corp], bindings: ["x5t#S256"], delegation: { maxDepth: 2 } }
    - name: job
      match: { paths: [/job] }
      require: { issuers: [cluster], bindings: [spiffe] }
    - name: legacy
      match: { paths: [/legacy] }
      require:
        issuers: [corp]
        bindings: ["x5t#S256"]
        unbound: allow
        maxLifetime: 10m
        scopes: [orders.read]
`

interface Context {
  rig: Rig
  gateway: RunningEnvoy
  redis: RunningRedis
  second: RunningMeshbind
  orders: WimseWorkload
  thief: WimseWorkload
}
const test = anyTest as TestFn<Context>
const possible = (await canRunEnvoy()) && canRunRedis()
const e2e = possible ? test.serial : test.serial.skip

test.before(async (t) => {
  if (!possible) return
  const redis = await startRedis()
  const state = ['--state', redis.url, '--decision-log', 'all']
  const wits: WitIssuer = await createWitIssuer({ trustDomain: 'mesh.example' })
  const rig = await startRig(
    (authz, _port, directory) => ({
      open: { authz, requireClientCertificate: false },
      second: { authz: join(directory, 'second.sock'), requireClientCertificate: false },
      behindGateway: { authz, xfcc: { mode: 'APPEND_FORWARD', details: { uri: true } } },
    }),
    { policy, args: state, files: () => ({ 'wit-jwks.json': JSON.stringify(wits.jwks) }) },
  )
  const gateway = await addEnvoy(rig, gatewayId, {
    edge: {
      next: rig.envoy.portOf('behindGateway'),
      requireClientCertificate: false,
      xfcc: { mode: 'SANITIZE_SET', details: { uri: true } },
    },
  })
  const listen = `unix:${join(rig.directory, 'second.sock')}`
  const own = ['--policy', join(rig.directory, 'policy.yaml'), '--listen', listen, '--admin', 'off']
  const second = await startMeshbind([...own, '--deadline', '400ms', ...state])
  const orders = await createWimseWorkload(wits, ordersId)
  const thief = await createWimseWorkload(wits, thiefId)
  // Proofs that may have been spent before the store began to remember are refused.
  await sleep(2100)
  t.context = { rig, gateway, redis, second, orders, thief }
})

test.after.always(async (t) => {
  const { rig, gateway, second, redis } = t.context
  await gateway?.stop()
  await second?.stop()
  await rig?.close()
  await redis?.stop()
})

interface Sent {
  readonly as?: Leaf
  readonly token?: string
  readonly headers?: { readonly [name: string]: string }
  readonly listener?: 'open' | 'second' | 'gateway'
}

function send({ rig, gateway }: Context, path: string, sent: Sent): Promise<Answer> {
  const { as, token, headers, listener = 'open' } = sent
  return call({
    port: listener === 'gateway' ? gateway.portOf('edge') : rig.envoy.portOf(listener),
    authority: rig.authority,
    as,
    path,
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
  })
}

const said = ({ status, reason, body }: Answer) =>
  status === 200 && body.includes(secret) ? '200' : `${status} ${reason}`

async function proofOf(workload: WimseWorkload, path: string, accessToken?: string) {
  const wit = await workload.wit()
  const iat = Math.floor(Date.now() / 1000)
  const beside = accessToken === undefined ? {} : { accessToken }
  const wpt = await workload.proof({ wit, aud: `${origin}${path}`, claims: { iat }, ...beside })
  return { 'workload-identity-token': wit, 'workload-proof-token': wpt }
}

e2e(
  'WIMSE: a workload without certificate and token passes, and the upstream learns who',
  async (t) => {
    const headers = await proofOf(t.context.orders, '/ledger')
    t.is(said(await send(t.context, '/ledger', { headers })), '200')
    const seen = t.context.rig.backend.seen.at(-1)?.headers
    t.is(seen?.['x-meshbind-presenter'], ordersId)
    t.is(seen?.['workload-identity-token'], undefined)
    t.is(seen?.['workload-proof-token'], undefined)
    const line = await t.context.rig.meshbind.waitFor(({ route }) => route === 'ledger')
    t.like(line, { decision: 'allow', method: 'wimse', token: null })
    t.deepEqual(line['presenter'], { spiffe_id: ordersId, x5t_s256: null, evidence: 'wit' })
  },
)

e2e('WIMSE wpt: a proof passes once, here and on the replica that shares the store', async (t) => {
  const headers = await proofOf(t.context.orders, '/ledger')
  t.is(said(await send(t.context, '/ledger', { headers })), '200')
  for (const listener of ['open', 'second'] as const) {
    const answer = await send(t.context, '/ledger', { headers, listener })
    t.is(said(answer), '400 workload_proof_replayed')
    t.is(answer.headers['www-authenticate'], undefined)
    t.is(answer.headers['content-type'], 'application/problem+json')
  }
})

e2e('WIMSE: where mTLS shows a workload, the WIT must be its own', async (t) => {
  const { rig, orders, thief } = t.context
  const own = await proofOf(orders, '/ledger')
  t.is(said(await send(t.context, '/ledger', { headers: own, as: rig.orders })), '200')
  const copied = await proofOf(orders, '/ledger')
  const stolen = await send(t.context, '/ledger', { headers: copied, as: rig.thief })
  t.is(said(stolen), '400 workload_token_mismatch')
  const thiefs = await proofOf(thief, '/ledger')
  const unlisted = await send(t.context, '/ledger', { headers: thiefs, as: rig.thief })
  t.is(said(unlisted), '403 caller_refused')
})

e2e('WIMSE: a workload passes through a gateway that vouches for nobody', async (t) => {
  const headers = await proofOf(t.context.orders, '/ledger')
  t.is(said(await send(t.context, '/ledger', { headers, listener: 'gateway' })), '200')
})

e2e('policy.md: a stolen bearer token beside the thief’s own sound WIT is refused', async (t) => {
  const { rig, orders, thief } = t.context
  const token = await rig.issuer.sign({ sub: ordersId })
  const beside = await proofOf(thief, '/import', token)
  t.is(said(await send(t.context, '/import', { headers: beside, token })), '401 binding_mismatch')
  const own = await proofOf(orders, '/import', token)
  t.is(said(await send(t.context, '/import', { headers: own, token })), '200')
  const uncovered = await proofOf(orders, '/import')
  const answer = await send(t.context, '/import', { headers: uncovered, token })
  t.is(said(answer), '400 workload_proof_invalid')
})

e2e('WIMSE wpt: without its halves, twice, or for another path it is refused', async (t) => {
  const headers = await proofOf(t.context.orders, '/ledger')
  const { 'workload-identity-token': wit, 'workload-proof-token': wpt } = headers
  const ask = async (given: Sent['headers']) =>
    said(await send(t.context, '/ledger', given === undefined ? {} : { headers: given }))
  t.is(await ask(undefined), '400 workload_token_missing')
  t.is(await ask({ 'workload-identity-token': wit }), '400 workload_proof_missing')
  t.is(await ask({ 'workload-proof-token': wpt }), '400 workload_token_missing')
  const twice = { ...headers, 'workload-proof-token': `${wpt}, ${wpt}` }
  t.is(await ask(twice), '400 workload_proof_invalid')
  t.is(await ask(await proofOf(t.context.orders, '/import')), '400 workload_proof_invalid')
  t.is(await ask(headers), '200')
})

e2e(
  'RFC 8693 §4.1: the current actor passes, another workload and a longer chain do not',
  async (t) => {
    const { rig } = t.context
    const sign = (leaf: Leaf, act: object) =>
      rig.issuer.sign({ sub: 'alice', cnf: { 'x5t#S256': leaf.x5tS256 }, act })
    const ask = async (as: Leaf, act: object) =>
      said(await send(t.context, '/cart', { as, token: await sign(as, act) }))
    const chain = { sub: ordersId, act: { sub: thiefId } }
    t.is(await ask(rig.orders, { sub: ordersId }), '200')
    t.is(await ask(rig.orders, chain), '200')
    t.is(await ask(rig.thief, chain), '401 actor_mismatch')
    t.is(await ask(rig.orders, { sub: ordersId, act: chain }), '401 delegation_refused')
  },
)

e2e('Kubernetes: a ServiceAccount token passes for its own workload alone', async (t) => {
  const { rig } = t.context
  const token = await rig.issuer.sign(
    {
      iss: 'https://kubernetes.default.svc',
      sub: 'system:serviceaccount:shop:orders',
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'orders', uid: 'u' } },
    },
    { typ: undefined },
  )
  t.is(said(await send(t.context, '/job', { as: rig.orders, token })), '200')
  t.is(said(await send(t.context, '/job', { as: rig.thief, token })), '401 binding_mismatch')
})

e2e('policy.md: an unbound token passes inside its limits, and is logged as such', async (t) => {
  const { rig } = t.context
  const exp = Math.floor(Date.now() / 1000) + 700
  const ask = async (claims: object) =>
    said(await send(t.context, '/legacy', { token: await rig.issuer.sign({ ...claims }) }))
  t.is(await ask({ scope: 'orders.read' }), '200')
  const line = await rig.meshbind.waitFor(({ route }) => route === 'legacy')
  t.like(line, { decision: 'allow', method: 'none' })
  t.is(await ask({ scope: 'orders.write' }), '403 scope_insufficient')
  t.is(await ask({ scope: 'orders.read', exp }), '401 token_lifetime_exceeded')
  const cnf = { 'x5t#S256': rig.orders.x5tS256 }
  t.is(await ask({ scope: 'orders.read', cnf }), '401 presenter_missing')
})

e2e(
  'WIT-SVID: a signing key that is taken out of the file stops WITs that were known',
  async (t) => {
    const { rig, orders } = t.context
    t.is(
      said(await send(t.context, '/ledger', { headers: await proofOf(orders, '/ledger') })),
      '200',
    )
    const other = await createWitIssuer({ trustDomain: 'mesh.example', keyId: 'next' })
    await writeFile(join(rig.directory, 'wit-jwks.json'), JSON.stringify(other.jwks))
    let answer = ''
    for (let i = 0; i < 100 && answer !== '400 workload_token_invalid'; i++) {
      await sleep(100)
      answer = said(await send(t.context, '/ledger', { headers: await proofOf(orders, '/ledger') }))
    }
    t.is(answer, '400 workload_token_invalid')
  },
)
