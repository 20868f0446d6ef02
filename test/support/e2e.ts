/** The end-to-end rig: one mesh with a real Envoy for a test file, or a visible skip where no Envoy can be had. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findEnvoy, type RunningEnvoy, startEnvoy } from './envoy.ts'
import { createTestIssuer, type JsonServer, type TestIssuer } from './issuer.ts'
import { envoyConfig, type ListenerPlan, type Seen, startBackend } from './mesh.ts'
import { type RunningMeshbind, startMeshbind } from './meshbind.ts'
import { type Authority, createAuthority, type Leaf } from './pki.ts'
import { basePolicy, ordersId, thiefId } from './world.ts'

export interface Rig {
  readonly directory: string
  readonly authority: Authority
  readonly issuer: TestIssuer
  readonly orders: Leaf
  readonly thief: Leaf
  readonly backend: JsonServer & { readonly seen: readonly Seen[] }
  readonly meshbind: RunningMeshbind
  readonly envoy: RunningEnvoy
  close(): Promise<void>
}

export interface RigOptions {
  /** In place of a new one, where others trust it before the rig starts. */
  readonly authority?: Authority
  readonly policy?: string
  /** More arguments of `meshbind serve`. */
  readonly args?: readonly string[]
  /** Files that the policy names, beside jwks.json. */
  readonly files?: (authority: Authority) => { readonly [name: string]: string }
}

/** @param listeners Each with its own ext_authz settings; gets the socket and the port that meshbind listens on. */
export async function startRig(
  listeners: (
    socket: string,
    port: number,
    directory: string,
  ) => { readonly [name: string]: ListenerPlan },
  options: RigOptions = {},
): Promise<Rig> {
  const binary = await findEnvoy()
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-e2e-'))
  const issuer = await createTestIssuer()
  const policy = join(directory, 'policy.yaml')
  const socket = join(directory, 'authz.sock')
  const authority = options.authority ?? (await createAuthority())
  const files = {
    'policy.yaml': options.policy ?? basePolicy,
    'jwks.json': JSON.stringify(issuer.jwks),
    ...options.files?.(authority),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  const certificate = await authority.issue({
    names: [
      { type: 'url', value: 'spiffe://mesh.example/ns/shop/sa/payments' },
      { type: 'dns', value: 'localhost' },
    ],
  })
  const backend = await startBackend()
  const addresses = ['--listen', `unix:${socket}`, '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const meshbind = await startMeshbind([
    '--policy',
    policy,
    ...addresses,
    '--deadline',
    '400ms',
    ...(options.args ?? []),
  ])
  const { port: backendPort } = backend.server.address() as AddressInfo
  const plan = {
    authority,
    certificate,
    backendPort,
    listeners: listeners(socket, meshbind.port, directory),
  }
  const envoy = await startEnvoy(binary, envoyConfig(plan), directory)
  return {
    directory,
    authority,
    issuer,
    orders: await authority.issue({ spiffeId: ordersId }),
    thief: await authority.issue({ spiffeId: thiefId }),
    backend,
    meshbind,
    envoy,
    async close() {
      await envoy.stop()
      await meshbind.stop()
      backend.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** One more Envoy of the rig, with an identity of its own: a gateway in front of its first one. */
export async function addEnvoy(
  { directory, authority }: Rig,
  spiffeId: string,
  listeners: { readonly [name: string]: Omit<ListenerPlan, 'forwardTo'> & { next: number } },
): Promise<RunningEnvoy> {
  const certificate = await authority.issue({
    names: [
      { type: 'url', value: spiffeId },
      { type: 'dns', value: 'localhost' },
    ],
  })
  const plans = Object.entries(listeners).map(([name, { next, ...listener }]) => {
    const plan: ListenerPlan = { ...listener, forwardTo: { port: next, as: certificate } }
    return [name, plan] as const
  })
  const own = await mkdtemp(join(directory, 'envoy-'))
  const plan = { authority, certificate, backendPort: 1, listeners: Object.fromEntries(plans) }
  return startEnvoy(await findEnvoy(), envoyConfig(plan), own)
}

/** Whether the end-to-end tests can run. Under CI=true the want of an Envoy is a failure, never a skip. */
export async function canRunEnvoy(): Promise<boolean> {
  try {
    await findEnvoy()
    return true
  } catch (error) {
    if (process.env['CI'] === 'true') throw error
    process.stderr.write(`SKIPPED: ${error instanceof Error ? error.message : error}\n`)
    return false
  }
}
