/** The demo's mesh: a CA, workloads, a token issuer, a backend, meshbind, and two real Envoys, a gateway and a sidecar. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDpopClient, type DpopClient } from '../test/support/dpop.ts'
import { findEnvoy, startEnvoy } from '../test/support/envoy.ts'
import { startIntrospector } from '../test/support/introspector.ts'
import {
  createTestIssuer,
  type JsonServer,
  serveJson,
  type TestIssuer,
} from '../test/support/issuer.ts'
import { envoyConfig, startBackend } from '../test/support/mesh.ts'
import { type RunningMeshbind, startMeshbind } from '../test/support/meshbind.ts'
import { type Authority, createAuthority, type Leaf } from '../test/support/pki.ts'
import {
  createWimseWorkload,
  createWitIssuer,
  type WimseWorkload,
  type WitIssuer,
} from '../test/support/wimse.ts'

export interface Stage {
  readonly directory: string
  /** The policy that is in force, and its denylist. */
  readonly policyFile: string
  readonly denylistFile: string
  /** `host:port` of meshbind's pages. */
  readonly admin: string
  readonly authority: Authority
  readonly orders: Leaf
  /** Other certificates of the same workload: one as old as the first, one issued half a minute ago. */
  readonly ordersRenewed: Leaf
  readonly ordersRenewedNow: Leaf
  readonly blog: Leaf
  readonly reports: Leaf
  readonly gatewayLeaf: Leaf
  /** A client that has a key and no certificate. */
  readonly phone: DpopClient
  readonly issuer: TestIssuer
  readonly issuerServer: JsonServer
  /** A workload with a token and a key of its own and no certificate, and one that has no business here. */
  readonly batch: WimseWorkload
  readonly thief: WimseWorkload
  /** Whose tokens are opaque: its introspection endpoint answers for those that it was told of. */
  readonly partner: Partner
  readonly backend: JsonServer
  readonly meshbind: RunningMeshbind
  /** Of the sidecar in front of the backend, and of the gateway in front of the sidecar. */
  readonly port: number
  readonly gatewayPort: number
}

export const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
export const reports = 'spiffe://mesh.example/ns/reports/sa/nightly'
export const batch = 'spiffe://mesh.example/ns/batch/sa/import'
/** Where clients reach the service, as they see it. */
export const target = 'https://payments.example'
export const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'

/** Everything that was started, ended in reverse order whatever happens. */
const cleanups: (() => unknown)[] = []
let cleaned: Promise<void> | undefined

/** Ends what was started, in reverse, once. */
export function cleanUp(): Promise<void> {
  cleaned ??= (async () => {
    for (const cleanup of cleanups.reverse()) await cleanup()
  })()
  return cleaned
}

export async function setStage(progress: (message: string) => void): Promise<Stage> {
  const binary = await findEnvoy(progress)
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-demo-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))

  progress('making a mesh CA and workload certificates')
  const authority = await createAuthority()
  const leaf = (spiffeId: string, notBefore?: Date) =>
    authority.issue({ spiffeId, ...(notBefore && { notBefore }) })
  const serverLeaf = (spiffeId: string) =>
    authority.issue({
      names: [
        { type: 'url', value: spiffeId },
        { type: 'dns', value: 'localhost' },
      ],
    })

  progress('starting a token issuer, a backend, meshbind, and two Envoys: a gateway and a sidecar')
  const witIssuer = await createWitIssuer({ trustDomain: 'mesh.example' })
  const issuerServer = await startIssuer(witIssuer)
  const issuer = issuerServer.issuer
  const partner = await startPartner()
  const backend = await startBackend()
  cleanups.push(() => backend.close())
  const policyFile = join(directory, 'policy.yaml')
  const template = await readFile(new URL('./policy.yaml', import.meta.url), 'utf8')
  await writeFile(join(directory, 'partner.secret'), 'demo\n', { mode: 0o600 })
  await writeFile(
    policyFile,
    template.replaceAll('{{issuer}}', issuer.issuer).replaceAll('{{introspection}}', partner.url),
  )
  const denylistFile = join(directory, 'revoked.yaml')
  await writeFile(denylistFile, '[]\n')
  const socket = join(directory, 'meshbind.sock')
  const meshbind = await startMeshbind([
    '--policy',
    policyFile,
    '--listen',
    `unix:${socket}`,
    '--admin',
    '127.0.0.1:0',
  ])
  cleanups.push(() => meshbind.stop())
  const { port: backendPort } = backend.server.address() as AddressInfo
  const sidecar = await startEnvoy(
    binary,
    envoyConfig({
      authority,
      certificate: await serverLeaf('spiffe://mesh.example/ns/shop/sa/payments'),
      backendPort,
      listeners: {
        payments: {
          authz: socket,
          requireClientCertificate: false,
          xfcc: { mode: 'APPEND_FORWARD', details: { uri: true } },
        },
      },
    }),
    join(directory, 'sidecar'),
  )
  cleanups.push(() => sidecar.stop())
  const port = sidecar.portOf('payments')
  const gatewayLeaf = await serverLeaf(gatewayId)
  const gateway = await startEnvoy(
    binary,
    envoyConfig({
      authority,
      certificate: gatewayLeaf,
      backendPort,
      listeners: {
        edge: {
          requireClientCertificate: false,
          forwardTo: { port, as: gatewayLeaf },
          xfcc: { mode: 'SANITIZE_SET', details: { uri: true } },
        },
      },
    }),
    join(directory, 'gateway'),
  )
  cleanups.push(() => gateway.stop())
  const listening = meshbind.lines.find(({ message }) => message === 'listening')
  return {
    directory,
    policyFile,
    denylistFile,
    admin: String(listening?.['admin']),
    authority,
    orders: await leaf(orders),
    ordersRenewed: await leaf(orders),
    ordersRenewedNow: await leaf(orders, new Date(Date.now() - 30_000)),
    blog: await leaf('spiffe://mesh.example/ns/web/sa/blog'),
    reports: await leaf(reports),
    gatewayLeaf,
    phone: await createDpopClient(),
    issuer,
    issuerServer: issuerServer.server,
    batch: await createWimseWorkload(witIssuer, batch),
    thief: await createWimseWorkload(witIssuer, 'spiffe://mesh.example/ns/web/sa/blog'),
    partner,
    backend,
    meshbind,
    port,
    gatewayPort: gateway.portOf('edge'),
  }
}

async function startIssuer(wits: WitIssuer): Promise<{ issuer: TestIssuer; server: JsonServer }> {
  let issuer: TestIssuer | undefined
  const server = await serveJson((path) => {
    if (path === '/wit-jwks') return wits.jwks
    return path === '/jwks'
      ? issuer?.jwks
      : { issuer: issuer?.issuer, jwks_uri: `${issuer?.issuer}/jwks` }
  })
  cleanups.push(() => server.close())
  issuer = await createTestIssuer(server.url)
  return { issuer, server }
}

export interface Partner {
  readonly url: string
  /** From now on the token is active, and says this. */
  know(token: string, claims: object): void
  close(): void
}

async function startPartner(): Promise<Partner> {
  const known = new Map<string, object>()
  const introspector = await startIntrospector({ teardown: (end) => cleanups.push(end) })
  introspector.answer(({ token }) => {
    const claims = known.get(token)
    if (claims === undefined) return { json: { active: false } }
    // Issued a moment ago: the demo's policy grants no clock skew.
    const iat = Math.floor(Date.now() / 1000) - 5
    const aud = 'https://payments.mesh.example'
    return { json: { active: true, aud, iat, exp: iat + 300, ...claims } }
  })
  return {
    url: introspector.url,
    know: (token, claims) => known.set(token, claims),
    close: introspector.close,
  }
}
