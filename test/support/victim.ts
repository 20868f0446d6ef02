/** The kit's server under attack: the real command with a small heap, and the check that says whether it still does its work. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { type CheckClient, createCheckClient } from './check-client.ts'
import { encodeCheckRequest } from './check-request.ts'
import { audience, createTestIssuer } from './issuer.ts'
import { type RunningMeshbind, startCommand } from './meshbind.ts'
import { createAuthority } from './pki.ts'
import { headerBlock } from './raw-http2.ts'
import { ordersId, thiefId } from './world.ts'

export const checkPath = '/envoy.service.auth.v3.Authorization/Check'

/** The header block of a plain call, with other or more fields. */
export function checkHeaders(more: { readonly [name: string]: string } = {}): Buffer {
  const fields = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': checkPath,
    ':authority': 'meshbind',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  }
  return headerBlock(Object.entries(fields))
}

/** A gRPC message: compressed or not, and a length that need not be its own. */
export function framed(message: Buffer, mark = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head[0] = mark
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

export interface Victim {
  readonly meshbind: RunningMeshbind
  readonly port: number
  /** A question that is allowed, and the same from a thief. */
  readonly owned: Buffer
  readonly stolen: Buffer
  /** What two questions on one connection come to: `0 16` where all is well. */
  serves(client?: CheckClient): Promise<string>
  /** Asks on a connection of its own, one question after the other, until it is stopped. */
  bystander(): Bystander
  /** Of all its processes. */
  rssMebibytes(): number
}

export interface Bystander {
  /** What all of its questions came to, each kind of answer once. */
  stop(): Promise<{ readonly asked: number; readonly answers: readonly string[] }>
}

/** An owner's allow, and a thief's `unauthenticated`. */
export const asEver = '0 16'

const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json }, maxLifetime: 1h }
  routes: [{ name: bound, require: { issuers: [corp], bindings: ["x5t#S256"] } }]
`

/** For each process that answers, as small as it can be for its work: what grows without a bound ends the process. */
const heapMebibytes = 96

export interface VictimOptions {
  /** Long enough, by default, for a machine that is busy with other tests. */
  readonly deadline?: string
  readonly workers?: number
  /** Default: the service's own. */
  readonly maxInFlight?: number
}

export async function startVictim(
  t: ExecutionContext,
  { deadline = '10s', workers = 1, maxInFlight }: VictimOptions = {},
): Promise<Victim> {
  const directory = mkdtempSync(join(tmpdir(), 'meshbind-victim-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const issuer = await createTestIssuer()
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId })
  const thief = await authority.issue({ spiffeId: thiefId })
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify(issuer.jwks))
  writeFileSync(join(directory, 'policy.yaml'), policy)
  const iat = Math.floor(Date.now() / 1000)
  const cnf = { 'x5t#S256': orders.x5tS256 }
  const token = await issuer.sign({ cnf, iat, exp: iat + 3600 })
  const args = ['serve', '--policy', join(directory, 'policy.yaml'), '--listen', '127.0.0.1:0']
  const meshbind = await startCommand(
    [
      ...[...args, '--admin', 'off', '--decision-log', 'off', '--deadline', deadline],
      ...['--workers', String(workers)],
      ...(maxInFlight === undefined ? [] : ['--max-in-flight', String(maxInFlight)]),
    ],
    { env: { ...process.env, NODE_OPTIONS: `--max-old-space-size=${workers * heapMebibytes}` } },
  )
  t.teardown(() => meshbind.stop())
  const { port } = meshbind
  const owned = encodeCheckRequest({ certificate: orders.envoyText, token })
  const stolen = encodeCheckRequest({ certificate: thief.envoyText, token })

  async function codes(client: CheckClient): Promise<string> {
    const answers = await Promise.all([client.ask(owned), client.ask(stolen)])
    return answers.map(({ status }) => status?.code).join(' ')
  }

  return {
    meshbind,
    port,
    owned,
    stolen,
    async serves(client = createCheckClient(port)) {
      try {
        return await codes(client)
      } finally {
        client.close()
      }
    },
    bystander() {
      const client = createCheckClient(port)
      const answers = new Set<string>()
      let asked = 0
      let going = true
      const gone = (async () => {
        while (going) {
          answers.add(await codes(client).catch(String))
          asked++
        }
        client.close()
      })()
      return {
        async stop() {
          going = false
          await gone
          return { asked, answers: [...answers] }
        },
      }
    },
    rssMebibytes() {
      const pid = String(meshbind.pid)
      const sizes = execFileSync('ps', ['-o', 'rss=', '--pid', pid, '--ppid', pid], {
        encoding: 'utf8',
      })
      return sizes.split('\n').reduce((sum, kibibytes) => sum + Number(kibibytes), 0) / 1024
    },
  }
}
