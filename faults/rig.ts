/** The rig of one scenario: a cast, servers that can be spoiled, one or two meshbinds, and a real Envoy that asks them. */

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findEnvoy, type RunningEnvoy, startEnvoy } from '../test/support/envoy.ts'
import { envoyConfig } from '../test/support/mesh.ts'
import { type RunningRedis, startRedis } from '../test/support/redis.ts'
import { type Cast, createCast } from './cast.ts'
import { type Craft, createCraft } from './craft.ts'
import { deadlineMs, type Listener, listenersOf, withReplicas } from './envoy.ts'
import { createWorld, type MutableWorld, type PolicyParts, policyText } from './policy.ts'
import { createSender, type Sender } from './send.ts'
import { type Spoilable, startBackend, startJsonServer } from './servers.ts'
import { freePort, type Service, type ServiceOptions, startService } from './service.ts'

export interface RigOptions {
  /** Two share Redis, and Envoy asks both, by their health. */
  readonly replicas?: 1 | 2
  /** Default `memory`; two replicas always share Redis. */
  readonly state?: 'memory' | 'redis'
  /** More arguments of `meshbind serve`. */
  readonly args?: readonly string[]
  readonly output?: ServiceOptions['output']
  /** Of meshbind's processes; without it V8 takes what the machine has. */
  readonly nodeOptions?: string
  /** Runs meshbind in its place: gets the rig's directory. */
  readonly under?: (directory: string) => readonly string[]
  readonly policy?: Partial<PolicyParts>
  /** The key server speaks TLS, and is known by this name. */
  readonly keysName?: string
}

export interface Rig {
  readonly directory: string
  readonly cast: Cast
  readonly world: MutableWorld
  readonly craft: Craft
  readonly sender: Sender
  /** The issuer's JWK Set, the partner's introspection endpoint. */
  readonly keys: Spoilable
  readonly partner: Spoilable
  /** Ids of the keys that are in the set. */
  readonly published: Set<string>
  readonly redis: RunningRedis | undefined
  readonly services: readonly Service[]
  /** TCP ports of the services, for those who talk to them past Envoy. */
  readonly ports: readonly number[]
  /** The Unix sockets that Envoy asks over. */
  readonly sockets: readonly string[]
  readonly policyFile: string
  readonly denylistFile: string
  policy(parts?: Partial<PolicyParts>): string
  /** Whole or not at all, as kubelet does it. */
  writePolicy(text: string): Promise<void>
  startService(replica: number): Promise<Service>
  port(listener: Listener): number
  restartEnvoy(): Promise<void>
  stopEnvoy(): Promise<void>
  /** `ext_authz` counters of all listeners, restarts of Envoy included. */
  counters(): Promise<{ readonly [name: string]: number }>
  close(): Promise<void>
}

export const answerLimitMs = 2000

/** Those that stand. */
const standing = new Set<() => Promise<void>>()

/** For a run that is ended in the middle: nothing is left running, and no file. */
export async function closeAllRigs(): Promise<void> {
  for (const close of standing) await close()
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const closers: (() => unknown)[] = []
  const close = async () => {
    standing.delete(close)
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  standing.add(close)
  try {
    return await build(options, closers, close)
  } catch (error) {
    await close()
    throw error
  }
}

async function build(
  options: RigOptions,
  closers: (() => unknown)[],
  close: () => Promise<void>,
): Promise<Rig> {
  const replicas = options.replicas ?? 1
  const binary = await findEnvoy()
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-faults-'))
  closers.push(() => rm(directory, { recursive: true, force: true }))
  const cast = await createCast()
  const world = createWorld()
  const published = new Set(cast.issuers.keys())

  const tls = options.keysName === undefined ? undefined : await tlsOf(cast, options.keysName)
  const jwks = () => ({ keys: [...published].map((id) => cast.issuers.get(id)?.publicJwk) })
  const keys = await startJsonServer(jwks, tls)
  const partner = await startJsonServer((_, body) => {
    const token = new URLSearchParams(body).get('token') ?? ''
    return cast.opaque.get(token) ?? { active: false }
  })
  const backend = await startBackend()
  closers.push(
    () => keys.close(),
    () => partner.close(),
    () => backend.close(),
  )
  const redis = options.state === 'redis' || replicas === 2 ? await startRedis() : undefined
  if (redis !== undefined) closers.push(() => redis.stop())

  const scheme = tls === undefined ? 'http' : 'https'
  const sources = {
    keysUrl: `${scheme}://${options.keysName ?? '127.0.0.1'}:${keys.port}/jwks`,
    introspectionUrl: `http://127.0.0.1:${partner.port}/introspect`,
    ...(tls === undefined ? {} : { keysCaFile: 'ca.pem' }),
  }
  const policy = (parts: Partial<PolicyParts> = {}) =>
    policyText({ ...sources, ...options.policy, ...parts })
  const file = (name: string) => join(directory, name)
  const texts = {
    'policy.yaml': policy(),
    'partner.secret': 'rig\n',
    'revoked.yaml': '[]\n',
    'wit-jwks.json': JSON.stringify(cast.wits.jwks),
    'ca.pem': cast.authority.certificatePem,
  }
  for (const [name, text] of Object.entries(texts)) await writeFile(file(name), text)

  const sockets = Array.from({ length: replicas }, (_, n) => file(`authz-${n}.sock`))
  const ports = await Promise.all(sockets.map(() => freePort()))
  const services: Service[] = []
  const start = async (replica: number) => {
    const listen = [`unix:${sockets[replica]}`, `127.0.0.1:${ports[replica]}`]
    const state = redis === undefined ? [] : ['--state', redis.url]
    const service = await startService({
      args: [
        ...['--policy', file('policy.yaml'), '--listen', ...listen, ...state],
        ...['--decision-log', 'all', '--deadline', `${deadlineMs}ms`, ...(options.args ?? [])],
      ],
      ordersFile: file(`orders-${replica}.json`),
      ...(options.output === undefined ? {} : { output: options.output }),
      ...(options.nodeOptions === undefined ? {} : { nodeOptions: options.nodeOptions }),
      ...(options.under === undefined ? {} : { under: options.under(directory) }),
    })
    services[replica] = service
    return service
  }
  closers.push(() => Promise.all(services.map((service) => service.stop())))
  for (let n = 0; n < replicas; n++) await start(n)

  const certificate = await cast.authority.issue({
    names: [
      { type: 'url', value: 'spiffe://mesh.example/ns/shop/sa/payments' },
      { type: 'dns', value: 'localhost' },
    ],
  })
  const plan = {
    ...{ authority: cast.authority, certificate, backendPort: backend.port },
    listeners: listenersOf(sockets),
  }
  const config = withReplicas(envoyConfig(plan), sockets)
  let epoch = 0
  const launch = () => startEnvoy(binary, config, file(`envoy-${epoch++}`))
  let envoy: RunningEnvoy | undefined = await launch()
  const ported = new Map<Listener, number>()
  const remember = () => {
    for (const name of Object.keys(plan.listeners) as Listener[])
      if (envoy !== undefined) ported.set(name, envoy.portOf(name))
  }
  remember()
  closers.push(() => envoy?.stop())
  const past: { [name: string]: number } = {}
  const counters = async () => {
    const sum = { ...past }
    for (const [name, value] of (await envoy?.stats('ext_authz')) ?? []) {
      const short = name.startsWith('http.') ? (name.split('.').at(-1) ?? name) : undefined
      if (short !== undefined) sum[short] = (sum[short] ?? 0) + value
    }
    return sum
  }
  const sender = createSender(cast, answerLimitMs)
  closers.push(() => sender.close())
  const stopEnvoy = async () => {
    Object.assign(past, await counters())
    await envoy?.stop()
    envoy = undefined
  }

  return {
    ...{ directory, cast, world, craft: createCraft(cast), sender, keys, partner, published },
    ...{ redis, services, ports, sockets, policy, close, counters, stopEnvoy },
    policyFile: file('policy.yaml'),
    denylistFile: file('revoked.yaml'),
    async writePolicy(text) {
      await writeFile(file('policy.next'), text)
      await rename(file('policy.next'), file('policy.yaml'))
    },
    startService: start,
    port: (listener) => ported.get(listener) ?? 0,
    async restartEnvoy() {
      if (envoy !== undefined) await stopEnvoy()
      envoy = await launch()
      remember()
    },
  }
}

async function tlsOf(cast: Cast, name: string) {
  const leaf = await cast.authority.issue({ names: [{ type: 'dns', value: name }] })
  return { cert: leaf.pem, key: leaf.keyPem }
}
