import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { decodeCheckResponse } from '../support/check-request.ts'
import { startFleet } from '../support/fleet.ts'
import { createAuthority } from '../support/pki.ts'
import { checkPath } from '../support/victim.ts'

const asIs = (bytes: Buffer) => bytes
const healthPath = '/grpc.health.v1.Health/Check'

function ask(client: Client, path: string, question: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 20_000 }
    client.makeUnaryRequest(path, asIs, asIs, question, options, (error, answer) =>
      error === null && answer !== undefined ? resolve(answer) : reject(error),
    )
  })
}

/** A connection of its own. */
function clientOf(t: ExecutionContext, address: string, channel: ChannelCredentials): Client {
  const client = new Client(address, channel, { 'grpc.use_local_subchannel_pool': 1 })
  t.teardown(() => client.close())
  return client
}

test('contract §3: with --workers each worker demands the client certificate that --tls-client-ca verifies', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'meshbind-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const authority = await createAuthority()
  const server = await authority.issue({ names: [{ type: 'dns', value: 'localhost' }] })
  const envoy = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/mesh/sa/envoy' })
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const tls = [
    ...['--tls-cert', file('tls.crt', server.pem), '--tls-key', file('tls.key', server.keyPem)],
    ...['--tls-client-ca', file('ca.crt', authority.certificatePem)],
  ]
  const fleet = await startFleet(t, { args: tls })
  const address = `localhost:${fleet.meshbind.port}`
  const ca = Buffer.from(authority.certificatePem)
  const secure = credentials.createSsl(ca, Buffer.from(envoy.keyPem), Buffer.from(envoy.pem))
  for (let n = 0; n < 4; n++) {
    const answer = await ask(clientOf(t, address, secure), checkPath, fleet.good)
    t.is(decodeCheckResponse(answer).status?.code, 0)
  }
  const lines = await fleet.workers()
  t.deepEqual(
    lines.map((line) => line.connections),
    [2, 2],
  )
  const anonymous = clientOf(t, address, credentials.createSsl(ca))
  await t.throwsAsync(ask(anonymous, checkPath, fleet.good))
  const plain = clientOf(t, address, credentials.createInsecure())
  await t.throwsAsync(ask(plain, checkPath, fleet.good))
})

test('contract §3: with --shutdown-delay every worker says NOT_SERVING and answers as ever', async (t) => {
  const fleet = await startFleet(t, { args: ['--shutdown-delay', '60s'] })
  const address = `127.0.0.1:${fleet.meshbind.port}`
  const clients = [1, 2, 3, 4].map(() => clientOf(t, address, credentials.createInsecure()))
  // HealthCheckResponse { status }: field 1, SERVING 1, NOT_SERVING 2.
  const healthOf = async (client: Client) => (await ask(client, healthPath, Buffer.alloc(0))).at(-1)
  for (const client of clients) t.is(await healthOf(client), 1)
  fleet.meshbind.kill('SIGTERM')
  await fleet.meshbind.waitFor(({ message }) => message === 'leaving')
  for (const client of clients) {
    while ((await healthOf(client)) !== 2);
    const answer = await ask(client, checkPath, fleet.good)
    t.is(decodeCheckResponse(answer).status?.code, 0)
  }
  t.is((await fleet.page('/readyz')).status, 503)
  fleet.meshbind.kill('SIGTERM')
  t.is(await fleet.meshbind.exited, 0)
})
