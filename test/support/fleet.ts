/** The kit's fleet: meshbind with two workers as its users run it, connections that are each their own, and what its pages tell. */

import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { metadataOf } from './check-client.ts'
import { type Connection, openConnection } from './check-connection.ts'
import { encodeCheckRequest, type UpstreamCheckResponse } from './check-request.ts'
import { type ConfigMap, mountConfigMap } from './config-map.ts'
import { createDpopClient } from './dpop.ts'
import { audience, type Claims, createTestIssuer, type TestIssuer } from './issuer.ts'
import { type RunningMeshbind, startMeshbind } from './meshbind.ts'
import { createAuthority, type Leaf } from './pki.ts'
import { readScrape, type Scrape } from './scrape.ts'
import { headerOf, ordersId, thiefId } from './world.ts'

export const workers = 2
/** In sequence: enough for each worker to have several. */
export const connections = 4 * workers
const receiver = 'https://meshbind.mesh.example'
const sessionRevoked = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
/** No claim: a machine that is busy with other tests may take its time. */
const untilLimitMs = 60_000

export interface FleetPolicy {
  /** Of a route's name, so that the decisions of two policies can be told apart. */
  readonly n?: number
  readonly name?: string
  readonly nonce?: 'optional' | 'required'
  /** Where /partner's tokens are introspected. */
  readonly introspection?: string
}

/** DPoP at /v1/payments, opaque tokens at /partner where they are wanted, and a certificate's tokens everywhere else. */
export function writePolicy({
  n = 0,
  name = 'shop',
  nonce = 'optional',
  introspection,
}: FleetPolicy = {}): string {
  const asked = `{ url: "${introspection}", clientId: meshbind, clientSecretFile: secret, timeout: 10s }`
  const partner = `partner: { issuer: https://partner.example, audiences: [${audience}], introspection: ${asked} }`
  const partners = `{ name: partner, match: { paths: [/partner] }, require: { issuers: [partner], bindings: ["x5t#S256"] } }`
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: ${name} }
spec:
  trustDomains: [mesh.example]
  clockSkew: 1s
  issuers:
    ${introspection === undefined ? '' : partner}
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json }, maxLifetime: 1h }
  dpop: { origins: [https://payments.example], nonce: ${nonce} }
  revocation:
    events: { corp: { issuer: https://idp.example, audience: ${receiver}, keys: { file: jwks.json } } }
  routes:
    ${introspection === undefined ? '' : `- ${partners}`}
    - { name: proven, match: { paths: [/v1/payments] }, require: { issuers: [corp], bindings: [dpop] } }
    - { name: certified-${n}, require: { issuers: [corp], bindings: ["x5t#S256"] } }
`
}

/** '' where it is allowed. */
export function reasonOf(answer: UpstreamCheckResponse): string {
  return answer.status?.code === 0 ? '' : (metadataOf(answer, 'reason') ?? 'no reason')
}

/** A line of /policy. */
export interface WorkerLine {
  readonly worker: number
  readonly pid: number
  readonly serving: boolean
  readonly policy_revision: string
  readonly connections: number
}

export interface Fleet {
  readonly meshbind: RunningMeshbind
  readonly map: ConfigMap
  readonly issuer: TestIssuer
  /** Their certificates. */
  readonly orders: Leaf
  readonly thief: Leaf
  /** A token of orders, issued some seconds ago, and a request of its owner with it. */
  token(claims?: Claims): Promise<string>
  question(token: string, as?: Leaf): Buffer
  readonly good: Buffer
  readonly stolen: Buffer
  /** A request without a certificate, with a proof that nobody has seen. */
  prove(claims?: Claims): Promise<Buffer>
  /** Resolves once proofs are taken: those that may have been spent before the start are not. */
  provable(): Promise<void>
  open(): Connection
  /** One after another, each asked once. */
  openAll(count?: number): Promise<readonly Connection[]>
  /** The mount, with another policy in it. */
  swapPolicy(text: string): Promise<void>
  page(path: string): Promise<{ readonly status: number; readonly text: string }>
  metrics(): Promise<Scrape>
  workers(): Promise<readonly WorkerLine[]>
  /** Resolves once both serve, neither in a process of these. */
  replaced(pids?: readonly number[]): Promise<readonly WorkerLine[]>
  /** Pushes a SET that revokes a subject's tokens; the status of the answer. */
  revoke(subject: string): Promise<number>
}

export interface FleetOptions extends FleetPolicy {
  readonly args?: readonly string[]
  /** Default: a port that is chosen. */
  readonly listen?: string
}

export async function startFleet(t: ExecutionContext, options: FleetOptions = {}): Promise<Fleet> {
  const { args = [], listen = '127.0.0.1:0', ...policy } = options
  const path = listen.startsWith('unix:') ? listen.slice('unix:'.length) : undefined
  const issuer = await createTestIssuer()
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId })
  const thief = await authority.issue({ spiffeId: thiefId })
  const files = (text: string) => ({
    'policy.yaml': text,
    'jwks.json': JSON.stringify(issuer.jwks),
    secret: 'of-meshbind',
  })
  const map = await mountConfigMap(files(writePolicy(policy)))
  t.teardown(() => map.remove())
  // A worker that a test has stopped outlasts everything else.
  t.teardown(async () => {
    for (const pid of await listProcesses(map.directory)) process.kill(pid, 'SIGKILL')
  })
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--workers', String(workers), '--listen', listen],
    ...['--admin', '127.0.0.1:0', '--events', '127.0.0.1:0', '--deadline', '20s', ...args],
  ])
  t.teardown(() => meshbind.stop())
  const { admin, events } = await meshbind.waitFor(({ message }) => message === 'listening')

  const token: Fleet['token'] = (claims = {}) => {
    const iat = Math.floor(Date.now() / 1000) - 5
    return issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 }, iat, exp: iat + 900, ...claims })
  }
  const question: Fleet['question'] = (token, as = orders) =>
    encodeCheckRequest({ path: '/v1/orders', certificate: as.envoyText, token })
  const own = await token()
  const good = question(own)
  const phone = await createDpopClient()
  const bound = await token({ cnf: { jkt: phone.jkt } })
  const prove: Fleet['prove'] = async (claims) => {
    const headers = { dpop: await phone.proof(bound, claims) }
    return encodeCheckRequest({ path: '/v1/payments', scheme: 'DPoP', token: bound, headers })
  }
  const open = () => openConnection(t, path ?? meshbind.port)
  const page: Fleet['page'] = async (name) => {
    const answer = await fetch(`http://${admin}${name}`)
    return { status: answer.status, text: await answer.text() }
  }
  const lines: Fleet['workers'] = async () => JSON.parse((await page('/policy')).text).workers ?? []

  return {
    ...{ meshbind, map, issuer, orders, thief, token, question, good, prove, open, page },
    stolen: question(own, thief),
    async openAll(count = connections) {
      const all: Connection[] = []
      while (all.length < count) {
        const connection = open()
        t.is(reasonOf(await connection.ask(good)), '')
        all.push(connection)
      }
      return all
    },
    async provable() {
      const connection = open()
      let nonce: string | undefined
      await until(async () => {
        const answer = await connection.ask(await prove({ nonce }))
        nonce = headerOf(answer, 'dpop-nonce') || nonce
        return reasonOf(answer) === ''
      }, 'a proof that is taken')
      connection.close()
    },
    swapPolicy: (text) => map.swap(files(text)),
    metrics: async () => readScrape((await page('/metrics')).text),
    workers: lines,
    replaced: (pids = []) =>
      until(async () => {
        const all = await lines()
        const good = all.filter(({ serving, pid }) => serving && !pids.includes(pid))
        return good.length === workers && all
      }, 'two workers that serve'),
    async revoke(sub) {
      const claims = {
        ...{ aud: receiver, sub: undefined, exp: undefined },
        sub_id: { format: 'iss_sub', iss: issuer.issuer, sub },
        events: { [sessionRevoked]: {} },
      }
      const { status } = await fetch(`http://${events}/events/corp`, {
        method: 'POST',
        headers: { 'content-type': 'application/secevent+jwt' },
        body: await issuer.sign(claims, { typ: 'secevent+jwt' }),
      })
      return status
    },
  }
}

/** What it comes to in the end, false and undefined apart. */
export async function until<T>(
  read: () => T | false | undefined | Promise<T | false | undefined>,
  what: string,
): Promise<T> {
  const limit = performance.now() + untilLimitMs
  for (;;) {
    const found = await read()
    if (found !== false && found !== undefined) return found
    if (performance.now() > limit) throw new Error(`never ${what}`)
    await sleep(20)
  }
}

/** The processes that run with this text in their command line; no zombies, which a container may keep for ever. */
export async function listProcesses(text: string): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-eww', '-o', 'pid=,stat=,args='])
  return stdout.split('\n').flatMap((line) => {
    const [, pid, state, args] = /^\s*(\d+) (\S+)\s+(.*)$/.exec(line) ?? []
    return args?.includes(text) && state?.startsWith('Z') !== true ? [Number(pid)] : []
  })
}
