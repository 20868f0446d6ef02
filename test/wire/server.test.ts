import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type ClientOptions, credentials } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { type Decision, denyOutright } from '../../src/decision/decision.ts'
import { healthService } from '../../src/wire/proto.ts'
import type { AuthorizationServer, ServerOptions } from '../../src/wire/server.ts'
import { decodeCheckResponse, encodeCheckRequest } from '../support/check-request.ts'
import { judgeBy } from '../support/judge.ts'
import { createAuthority } from '../support/pki.ts'
import { opening } from '../support/raw-http2.ts'
import { startTestServer } from '../support/test-server.ts'

const checkPath = '/envoy.service.auth.v3.Authorization/Check'
const asIs = (bytes: Buffer) => bytes

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'meshbind-test-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function start(
  t: ExecutionContext,
  options: Partial<ServerOptions> = {},
): Promise<AuthorizationServer> {
  const server = await startTestServer(options)
  t.teardown(() => server.drain(50))
  return server
}

function clientFor(
  t: ExecutionContext,
  address: string,
  channel = credentials.createInsecure(),
  options: ClientOptions = {},
): Client {
  const client = new Client(address, channel, options)
  t.teardown(() => client.close())
  return client
}

function ask(
  client: Client,
  bytes = encodeCheckRequest({ token: 'x' }),
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      checkPath,
      asIs,
      asIs,
      bytes,
      { deadline: Date.now() + 3000 },
      (error, answer) =>
        error !== null || answer === undefined
          ? reject(error)
          : resolve(decodeCheckResponse(answer).status?.code),
    )
  })
}

function health(client: Client, service = ''): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = healthService.Check
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service },
      (error, answer) => (error !== null ? reject(error) : resolve(answer?.status ?? '')),
    )
  })
}

test('contract §3: checks and health are answered over TCP and over a Unix socket of mode 0660', async (t) => {
  const socket = join(directory(t), 'authz.sock')
  const server = await start(t, { addresses: ['127.0.0.1:0', `unix:${socket}`] })
  t.regex(server.addresses[0] ?? '', /^127\.0\.0\.1:[1-9]\d+$/)
  t.is(statSync(socket).mode & 0o777, 0o660)
  for (const address of server.addresses) {
    const client = clientFor(t, address)
    t.is(await ask(client), 7)
    t.is(await health(client), 'NOT_SERVING')
  }
  server.setServing(true)
  const client = clientFor(t, server.addresses[0] ?? '')
  t.is(await health(client), 'SERVING')
  t.is(await health(client, 'envoy.service.auth.v3.Authorization'), 'SERVING')
  const unknown = await t.throwsAsync<Error & { code: number }>(health(client, 'nobody.knows'))
  t.is(unknown?.code, 5)
})

test('grpc.health.v1 Watch: a watcher is told of every change', async (t) => {
  const server = await start(t)
  const { path, requestSerialize, responseDeserialize } = healthService.Watch
  const client = clientFor(t, server.addresses[0] ?? '')
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
    service: '',
  })
  const seen: string[] = []
  const twoSeen = new Promise<void>((resolve) => {
    stream.on('data', ({ status }: { status: string }) => {
      seen.push(status)
      if (seen.length === 1) server.setServing(true)
      else resolve()
    })
  })
  stream.on('error', () => {})
  await twoSeen
  stream.cancel()
  t.deepEqual(seen, ['NOT_SERVING', 'SERVING'])
})

test('contract §3: a stale socket is replaced; a live one and a plain file are not', async (t) => {
  const path = join(directory(t), 'authz.sock')
  const listener = createServer().listen(path)
  await new Promise((resolve) => listener.once('listening', resolve))
  await t.throwsAsync(start(t, { addresses: [`unix:${path}`] }), {
    message: /another server is listening/,
  })
  await new Promise((resolve) => listener.close(resolve))
  writeFileSync(path, 'not a socket')
  await t.throwsAsync(start(t, { addresses: [`unix:${path}`] }), { message: /no socket/ })
  rmSync(path)
  const crashed = await start(t, { addresses: [`unix:${path}`] })
  t.is(await ask(clientFor(t, `unix:${path}`)), 7)
  await crashed.drain(50)
})

test('contract §3, --drain: of connections that were handed over, one that is reset ends no check of another', async (t) => {
  let release: (decision: Decision) => void = () => {}
  const held = new Promise<Decision>((resolve) => {
    release = resolve
  })
  const judge = judgeBy(() => held)
  const server = await start(t, { addresses: [], judge, deadlineMs: 30_000 })
  const door = createServer((socket) => {
    socket.on('error', () => {})
    server.take(socket)
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  t.teardown(() => door.close())
  const { port } = door.address() as AddressInfo
  const answer = ask(clientFor(t, `127.0.0.1:${port}`))
  const rude = connect(port, '127.0.0.1')
  rude.on('error', () => {})
  rude.write(opening)
  await once(rude, 'data')
  while (server.inFlight() === 0) await sleep(5)
  const drained = server.drain(30_000)
  rude.resetAndDestroy()
  await sleep(200)
  release(denyOutright('route_unmatched'))
  t.is(await answer, 7)
  await drained
})

test('catalogue 250: a message over the bound is denied by size, unread to its end, and the server lives', async (t) => {
  const server = await start(t)
  const client = clientFor(t, server.addresses[0] ?? '')
  t.is(await ask(client, encodeCheckRequest({ path: `/${'a'.repeat(150_000)}` })), 3)
  t.is(await ask(client, Buffer.alloc(300 * 1024)), 3)
  t.is(await ask(client), 7)
})

test('catalogue 248, 249: empty and broken questions are denied without a gRPC error', async (t) => {
  const server = await start(t)
  const client = clientFor(t, server.addresses[0] ?? '')
  t.is(await ask(client, Buffer.alloc(0)), 3)
  t.is(await ask(client, Buffer.alloc(1000, 0xff)), 3)
})

test('catalogue 264: with a client CA, only its clients are answered; files are read again when they change', async (t) => {
  const folder = directory(t)
  const authority = await createAuthority()
  const names = [{ type: 'dns' as const, value: 'localhost' }]
  const serverLeaf = await authority.issue({ names })
  const client = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/mesh/sa/envoy' })
  const stranger = await (await createAuthority('other.example')).issue({
    spiffeId: 'spiffe://other.example/envoy',
  })
  const files = {
    certificate: join(folder, 'tls.crt'),
    key: join(folder, 'tls.key'),
    clientCa: join(folder, 'ca.crt'),
  }
  writeFileSync(files.certificate, serverLeaf.pem)
  writeFileSync(files.key, serverLeaf.keyPem)
  writeFileSync(files.clientCa, authority.certificatePem)
  const server = await start(t, { tls: files })
  const address = (server.addresses[0] ?? '').replace('127.0.0.1', 'localhost')
  const tls = (ca: string, leaf?: { pem: string; keyPem: string }) =>
    credentials.createSsl(
      Buffer.from(ca),
      leaf ? Buffer.from(leaf.keyPem) : null,
      leaf ? Buffer.from(leaf.pem) : null,
    )
  t.is(await ask(clientFor(t, address, tls(authority.certificatePem, client))), 7)
  await t.throwsAsync(ask(clientFor(t, address, tls(authority.certificatePem))))
  await t.throwsAsync(ask(clientFor(t, address, tls(authority.certificatePem, stranger))))
  await t.throwsAsync(ask(clientFor(t, address)))

  const renewed = await createAuthority('renewed.example')
  const renewedLeaf = await renewed.issue({ names })
  writeFileSync(files.certificate, renewedLeaf.pem)
  writeFileSync(files.key, renewedLeaf.keyPem)
  let answered: number | undefined
  for (let i = 0; i < 50 && answered === undefined; i++) {
    await sleep(200)
    const fresh = clientFor(t, address, tls(renewed.certificatePem, client), {
      'grpc.use_local_subchannel_pool': 1,
    })
    answered = await ask(fresh).catch(() => undefined)
  }
  t.is(answered, 7)
})

test('contract §3: a drain says NOT_SERVING, lets checks in flight end, and never outlasts its limit', async (t) => {
  const server = await start(t, {
    judge: judgeBy(() => sleep(100, denyOutright('route_unmatched'))),
  })
  const inFlight = ask(clientFor(t, server.addresses[0] ?? ''))
  while (server.inFlight() === 0) await sleep(1)
  await server.drain(5000)
  t.is(await inFlight, 7)

  const stuck = await start(t, {
    judge: judgeBy(() => new Promise(() => {})),
    deadlineMs: 60_000,
  })
  const lost = ask(clientFor(t, stuck.addresses[0] ?? '')).catch(() => 'closed')
  while (stuck.inFlight() === 0) await sleep(1)
  await stuck.drain(50)
  t.is(await lost, 'closed')
})
