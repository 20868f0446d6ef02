import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { encodeCheckJson } from '../../src/wire/check-json.ts'
import { type CheckCall, callCheck } from '../../src/wire/client.ts'
import { authorizationService, healthService } from '../../src/wire/proto.ts'
import type { AuthorizationServer, ServerOptions } from '../../src/wire/server.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { startTestServer } from '../support/test-server.ts'

const canary = 'canary-token'
const question = encodeCheckJson({
  attributes: {
    request: {
      http: {
        method: 'GET',
        path: '/',
        host: 'h',
        headers: { authorization: `Bearer ${canary}` },
      },
    },
  },
})

async function start(
  t: ExecutionContext,
  options: Partial<ServerOptions> = {},
): Promise<AuthorizationServer> {
  const server = await startTestServer({
    deadlineMs: 10_000,
    ...options,
  })
  t.teardown(() => server.drain(50))
  return server
}

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'meshbind-client-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const ask = (target: string, tls?: CheckCall['tls'], timeoutMs = 20_000) =>
  callCheck({ target, tls, timeoutMs }, question, Date.now())

async function fails(t: ExecutionContext, asking: Promise<unknown>, said: RegExp): Promise<void> {
  const error = await t.throwsAsync(asking, { message: said })
  t.false(error?.message.includes(canary))
}

test('contract §4: a refusal is told as Envoy reads it, over TCP and over a Unix socket', async (t) => {
  const socket = join(directory(t), 'authz.sock')
  const server = await start(t, { addresses: ['127.0.0.1:0', `unix:${socket}`] })
  for (const address of server.addresses) {
    const answer = await ask(address)
    t.like(answer, { code: 7, allowed: false, http: 403, headersToRemove: [] })
    t.like(answer.metadata, { decision: 'deny', reason: 'route_unmatched', enforced: true })
    t.is(JSON.parse(answer.body).code, 'route_unmatched')
    const names = answer.headers.map(({ name }) => name)
    t.true(names.includes('content-type') && names.includes('x-meshbind-decision-id'))
  }
})

/** A server that answers with these bytes, whatever it is asked. */
async function answering(t: ExecutionContext, bytes: Buffer): Promise<string> {
  const server = new Server()
  server.addService(authorizationService, {
    Check: (_: unknown, callback: (error: null, answer: Buffer) => void) => callback(null, bytes),
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  )
  t.teardown(() => server.forceShutdown())
  return `127.0.0.1:${port}`
}

test('Envoy ext_authz: code 0 allows whatever the rest says, and so does an answer without status', async (t) => {
  // denied_response { body: 'no' }, without and with a status of code 0.
  const denied = Buffer.from([0x12, 0x04, 0x1a, 0x02, 0x6e, 0x6f])
  for (const bytes of [Buffer.alloc(0), denied, Buffer.concat([Buffer.from([0x0a, 0]), denied])]) {
    t.like(await ask(await answering(t, bytes)), { allowed: true, code: 0, http: undefined })
  }
  // status { code: 7 } and nothing else: Envoy answers 403.
  const bare = Buffer.from([0x0a, 0x02, 0x08, 0x07])
  t.like(await ask(await answering(t, bare)), { allowed: false, code: 7, http: 403 })
})

test('an answer that is no CheckResponse is a failure, never an allow', async (t) => {
  await fails(t, ask(await answering(t, Buffer.alloc(40, 0xff))), /failed with gRPC code/)
})

interface TlsServer {
  readonly server: AuthorizationServer
  /** By the name in its certificate. */
  readonly target: string
  readonly ca: Buffer
  readonly client: Leaf
}

async function startTls(t: ExecutionContext, mutual: boolean): Promise<TlsServer> {
  const folder = directory(t)
  const authority = await createAuthority()
  const leaf = await authority.issue({ names: [{ type: 'dns', value: 'localhost' }] })
  const files = { certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') }
  const clientCa = join(folder, 'ca.crt')
  writeFileSync(files.certificate, leaf.pem)
  writeFileSync(files.key, leaf.keyPem)
  writeFileSync(clientCa, authority.certificatePem)
  const server = await start(t, { tls: { ...files, clientCa: mutual ? clientCa : undefined } })
  return {
    server,
    target: (server.addresses[0] ?? '').replace('127.0.0.1', 'localhost'),
    ca: Buffer.from(authority.certificatePem),
    client: await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/ops/sa/check' }),
  }
}

const pairOf = ({ pem, keyPem }: Leaf) => ({
  certificate: Buffer.from(pem),
  key: Buffer.from(keyPem),
})

test('contract §3: mTLS is spoken with the client’s own certificate', async (t) => {
  const { target, ca, client } = await startTls(t, true)
  t.like(await ask(target, { ca, pair: pairOf(client) }), { code: 7 })
})

test('contract §3: a server that wants a client certificate says so where none, or a stranger’s, is shown', async (t) => {
  const { target, ca } = await startTls(t, true)
  const wanted = /client certificate that it trusts \(--tls-cert, --tls-key\)/
  await fails(t, ask(target, { ca, pair: undefined }), wanted)
  const other = await createAuthority('other.example')
  const stranger = await other.issue({ spiffeId: 'spiffe://other.example/x' })
  await fails(t, ask(target, { ca, pair: pairOf(stranger) }), wanted)
})

test('TLS is taken for what it is: plaintext, another authority and another name are each told apart', async (t) => {
  const { server, target, ca } = await startTls(t, false)
  t.like(await ask(target, { ca, pair: undefined }), { code: 7 })
  await fails(t, ask(target), /if it serves TLS, give --tls-ca/)
  const other = Buffer.from((await createAuthority('other.example')).certificatePem)
  await fails(t, ask(target, { ca: other, pair: undefined }), /--tls-ca does not verify/)
  const renamed = { ca, pair: undefined, serverName: 'meshbind.example' }
  await fails(t, ask(target, renamed), /for another name .*--tls-name/)
  const named = { ca, pair: undefined, serverName: 'localhost' }
  t.like(await ask(server.addresses[0] ?? '', named), { code: 7 })
})

test('TLS to a plaintext server, and files that are no PEM, are told with the fix', async (t) => {
  const { ca } = await startTls(t, false)
  const target = (await answering(t, Buffer.alloc(0))).replace('127.0.0.1', 'localhost')
  await fails(t, ask(target, { ca, pair: undefined }), /does not speak TLS: leave out --tls-ca/)
  const junk = Buffer.from(canary)
  await fails(t, ask(target, { ca, pair: { certificate: junk, key: junk } }), /must be PEM/)
})

test('where nothing listens, neither a port nor a socket, that is said', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const { port } = taken.address() as AddressInfo
  await new Promise((resolve) => taken.close(resolve))
  await fails(t, ask(`127.0.0.1:${port}`), /nothing listens there: is `meshbind serve` running/)
  await fails(t, ask(`unix:${join(directory(t), 'none.sock')}`), /nothing listens there/)
})

test('a server that never answers is given up after the timeout', async (t) => {
  const silent = createServer((socket) => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  await fails(t, ask(`127.0.0.1:${port}`, undefined, 200), /no answer within 200 ms.*--timeout/)
})

test('a host name without an address is told as such', async (t) => {
  await fails(t, ask('meshbind.invalid:9191'), /cannot be resolved/)
})

test('something else than an ext_authz server is told as such', async (t) => {
  const web = createHttpServer((_, response) => response.end()).listen(0, '127.0.0.1')
  await new Promise((resolve) => web.once('listening', resolve))
  t.teardown(() => web.close())
  const { port } = web.address() as AddressInfo
  await fails(t, ask(`127.0.0.1:${port}`), /closed the connection/)

  const server = new Server()
  server.addService(healthService, { Check: () => {}, Watch: () => {} })
  const bound = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, port) => resolve(port)),
  )
  t.teardown(() => server.forceShutdown())
  await fails(t, ask(`127.0.0.1:${bound}`), /no ext_authz server/)
})
