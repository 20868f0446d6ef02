/** The mesh of `npm run bench:envoy`: a real Envoy that demands mTLS, a listener for each of those that it asks, and a workload. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findEnvoy, startEnvoy } from '../test/support/envoy.ts'
import { createTestIssuer, serveJson } from '../test/support/issuer.ts'
import { type Call, call, envoyConfig, type ListenerPlan } from '../test/support/mesh.ts'
import { createAuthority, type Leaf } from '../test/support/pki.ts'
import { say } from './keep.ts'
import { startPeers } from './peers.ts'
import { writePolicies } from './policy.ts'
import { startFloor, startServe } from './subjects.ts'

export const tokenCount = 1000
/** The introspection endpoint of the policy: nobody asks it here. */
const nowhere = 9

export interface EnvoyMesh extends Parts {
  close(): Promise<void>
}

interface Parts {
  readonly directory: string
  readonly client: Leaf
  readonly authorityPem: string
  /** Who is asked, by listener; `none` asks nobody. */
  readonly listeners: readonly string[]
  /** A line for each peer that was not given. */
  readonly notes: readonly string[]
  /** The client's requests to a listener, in vegeta's format. */
  targets(listener: string): string
  /** How many checks each listener had answered with an allow. */
  allowed(listener: string): Promise<number>
}

export async function startEnvoyMesh(): Promise<EnvoyMesh> {
  const closers: (() => unknown)[] = []
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
  }
  try {
    return { ...(await startAll((closer) => closers.push(closer))), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startAll(atTheEnd: (closer: () => unknown) => void): Promise<Parts> {
  const binary = await findEnvoy(say)
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-bench-envoy-'))
  atTheEnd(() => rm(directory, { recursive: true, force: true }))
  const issuer = await createTestIssuer()
  const jwks = await serveJson(() => issuer.jwks)
  atTheEnd(jwks.close)
  const keys = { url: `${jwks.url}/jwks`, jwks: issuer.jwks }
  const authority = await createAuthority()
  const client = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/shop/sa/orders' })
  const certificate = await authority.issue({
    names: [
      { type: 'url', value: 'spiffe://mesh.example/ns/shop/sa/payments' },
      { type: 'dns', value: 'localhost' },
      { type: 'ip', value: '127.0.0.1' },
    ],
  })
  const { policyFile } = await writePolicies(directory, keys.url, nowhere)
  const floor = await startFloor()
  atTheEnd(floor.stop)
  const meshbind = await startServe(policyFile)
  atTheEnd(meshbind.stop)
  const peers = await startPeers(directory, keys)
  for (const { stop } of peers.running) atTheEnd(stop)
  const plans: { readonly [name: string]: ListenerPlan } = {
    none: {},
    floor: askedAt('floor', floor.port),
    meshbind: askedAt('meshbind', meshbind.port),
    // They read the `headers` map, which Envoy leaves empty where it sends raw headers.
    ...Object.fromEntries(
      peers.running.map(({ name, port }) => [
        name,
        askedAt(name, port, { encode_raw_headers: false }),
      ]),
    ),
  }
  const plan = { authority, certificate, backendPort: nowhere, listeners: plans }
  const envoy = await startEnvoy(binary, adapt(envoyConfig(plan)), directory)
  atTheEnd(envoy.stop)
  const tokens = await Promise.all(Array.from({ length: tokenCount }, (_, n) => sign(n)))

  function sign(n: number): Promise<string> {
    const iat = Math.floor(Date.now() / 1000)
    return issuer.sign({
      sub: client.spiffeId,
      scope: 'payments.read payments.write',
      exp: iat + 3500,
      jti: `5f2d1c9e-7b61-4f0e-9a57-${String(n).padStart(12, '0')}`,
      cnf: { 'x5t#S256': client.x5tS256 },
      entitlements: 'a'.repeat(180),
    })
  }

  const asked: Omit<Call, 'port'> = { as: client, authority, path: '/v1/payments/1' }
  for (const name of Object.keys(plans)) {
    const port = envoy.portOf(name)
    const { status } = await call({ ...asked, port })
    const expected = name === 'none' || name === 'floor' ? 200 : [401, 403]
    if (![expected].flat().includes(status))
      throw new Error(`${name} answers ${status} to a request without a token`)
  }

  return {
    directory,
    client,
    authorityPem: authority.certificatePem,
    listeners: Object.keys(plans),
    notes: peers.notes,
    targets: (listener) =>
      tokens.map((token, n) => targetText(envoy.portOf(listener), n, token)).join('\n'),
    async allowed(listener) {
      const name = `http.${listener}.ext_authz.ok`
      return (await envoy.stats(name)).get(name) ?? 0
    },
  }
}

/** Envoy waits long, so that a slow answer is a figure and not a refusal. */
function askedAt(name: string, authz: number, filter: object = {}): ListenerPlan {
  const service = { envoy_grpc: { cluster_name: `authz-${name}` }, timeout: '5s' }
  return { authz, filter: { ...filter, grpc_service: service } }
}

/**
 * No backend's time is in the figures: Envoy answers what was let through by itself. And what waits is never refused:
 * Envoy's circuit breaker would, beyond 1,024 requests, when the machine is busy with something else.
 */
function adapt(config: object): object {
  const circuit_breakers = { thresholds: [{ max_requests: 100_000 }] }
  return JSON.parse(JSON.stringify(config), (_, value) => {
    if (value?.load_assignment !== undefined) return { ...value, circuit_breakers }
    if (value?.route?.cluster !== 'backend') return value
    return { match: value.match, direct_response: { status: 200 } }
  })
}

function targetText(port: number, n: number, token: string): string {
  return [
    `POST https://127.0.0.1:${port}/v1/payments/${n}?v=1`,
    'Host: payments.mesh.example',
    `Authorization: Bearer ${token}`,
    'Accept: application/json',
    'Content-Type: application/json',
    'User-Agent: orders/4.12.0 (linux; x86_64)',
    `X-Idempotency-Key: order-${n}`,
    '',
  ].join('\n')
}
