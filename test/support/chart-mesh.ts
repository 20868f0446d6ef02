/** What the chart's end-to-end tests put around it: workloads, an issuer on loopback, a backend, and real Envoys. */

import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inlinePolicy } from './chart.ts'
import { findEnvoy, type RunningEnvoy, startEnvoy } from './envoy.ts'
import {
  type Claims,
  createTestIssuer,
  type JsonServer,
  serveJson,
  type TestIssuer,
} from './issuer.ts'
import { type Answer, call, envoyConfig, type ListenerPlan, secret, startBackend } from './mesh.ts'
import { type Authority, createAuthority, type Leaf } from './pki.ts'
import { ordersId, thiefId } from './world.ts'

export const paymentsId = 'spiffe://mesh.example/ns/shop/sa/payments'

/** Of every render: no flag of the chart, but what differs between a cluster and this machine. */
export const localValues = {
  image: { repository: 'registry.example/meshbind' },
  // One pod has a loopback of its own, where the admin port is free; processes on one machine share theirs.
  extraEnv: [{ name: 'MESHBIND_ADMIN', value: '127.0.0.1:0' }],
  // No claim about time: the machine may be busy with other tests.
  server: { deadline: '3s', decisionLog: 'all' },
  envoy: { timeout: '5s' },
  istio: { timeout: '5s' },
} as const

/** A policy of one's own, which reads its keys from the file beside it. */
export const shopPolicy = inlinePolicy({
  peer: { evidence: ['certificate'] },
  issuers: {
    corp: {
      issuer: 'https://idp.example',
      audiences: ['https://payments.mesh.example'],
      keys: { file: 'jwks.json' },
    },
  },
  revocation: { denylist: { file: 'revoked.yaml' } },
  routes: [
    { name: 'health', match: { paths: ['/healthz'] }, require: 'none' },
    {
      name: 'payments',
      match: { paths: ['/v1/payments'] },
      require: { issuers: ['corp'], bindings: ['x5t#S256'] },
    },
  ],
})

export interface ChartMesh {
  readonly directory: string
  readonly authority: Authority
  readonly issuer: TestIssuer
  /** Where the issuer's keys are. */
  readonly keysUrl: string
  readonly orders: Leaf
  readonly thief: Leaf
  /** Of the service that Envoy stands before. */
  readonly payments: Leaf
  readonly backendPort: number
  /** A token of `orders`, bound to its certificate. */
  token(claims?: Claims): Promise<string>
  /** Envoy with one listener per plan before the backend; stopped by `close` at the latest. */
  startListeners(listeners: { readonly [name: string]: ListenerPlan }): Promise<RunningEnvoy>
  /** Any configuration; stopped by `close` at the latest. */
  startConfig(config: object): Promise<RunningEnvoy>
  close(): Promise<void>
}

export async function startChartMesh(issuerName?: string): Promise<ChartMesh> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-chart-'))
  const authority = await createAuthority()
  const issuer = await createTestIssuer(issuerName)
  const keys: JsonServer = await serveJson((path) => (path === '/jwks' ? issuer.jwks : undefined))
  const backend = await startBackend()
  const { port: backendPort } = backend.server.address() as AddressInfo
  const orders = await authority.issue({ spiffeId: ordersId })
  const payments = await authority.issue({
    names: [
      { type: 'url', value: paymentsId },
      { type: 'dns', value: 'localhost' },
    ],
  })
  const envoys: RunningEnvoy[] = []
  const startConfig = async (config: object) => {
    const own = await mkdtemp(join(directory, 'envoy-'))
    const envoy = await startEnvoy(await findEnvoy(), config, own)
    envoys.push(envoy)
    return envoy
  }
  return {
    directory,
    authority,
    issuer,
    keysUrl: `${keys.url}/jwks`,
    orders,
    thief: await authority.issue({ spiffeId: thiefId }),
    payments,
    backendPort,
    token: (claims = {}) => issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 }, ...claims }),
    startConfig,
    startListeners: (listeners) =>
      startConfig(envoyConfig({ authority, certificate: payments, backendPort, listeners })),
    async close() {
      for (const envoy of envoys) await envoy.stop()
      backend.close()
      keys.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export interface Question {
  readonly port: number
  readonly as: Leaf | undefined
  readonly token: string
  readonly xfcc?: string
  readonly plaintext?: boolean
}

/** `200` with the backend's words, or the status and the reason. */
export async function askEnvoy(
  { authority }: ChartMesh,
  { port, as, token, xfcc, plaintext = false }: Question,
): Promise<string> {
  const answer = await call({
    port,
    as,
    authority,
    path: '/v1/payments',
    plaintext,
    headers: {
      authorization: `Bearer ${token}`,
      ...(xfcc === undefined ? {} : { 'x-forwarded-client-cert': xfcc }),
    },
  })
  return said(answer)
}

function said({ status, reason, body }: Answer): string {
  return status === 200 && body.includes(secret) ? '200' : `${status} ${reason}`.trim()
}

/** Asks until the answer fits, for as long as a busy machine may take; the last one otherwise. */
export async function settle<T>(ask: () => Promise<T>, fits: (answer: T) => boolean): Promise<T> {
  for (let tries = 0; ; tries++) {
    const answer = await ask()
    if (fits(answer) || tries === 200) return answer
    await sleep(100)
  }
}
