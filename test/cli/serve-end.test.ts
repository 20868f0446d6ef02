/** The end of `meshbind serve`: endpoints of a pod are taken off while the signal is on its way, so the drain can wait (contract §3). */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, credentials } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { healthService } from '../../src/wire/proto.ts'
import { createCheckClient } from '../support/check-client.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import { basePolicy } from '../support/world.ts'

async function start(t: ExecutionContext, delay: string): Promise<RunningMeshbind> {
  const directory = mkdtempSync(join(tmpdir(), 'meshbind-end-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const policy = join(directory, 'policy.yaml')
  writeFileSync(policy, basePolicy)
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify((await createTestIssuer()).jwks))
  const meshbind = await startMeshbind([
    ...['--policy', policy, '--listen', '127.0.0.1:0', '--admin', 'off'],
    ...['--probe', '127.0.0.1:0', '--deadline', '5s', '--shutdown-delay', delay],
  ])
  t.teardown(() => meshbind.kill('SIGKILL'))
  return meshbind
}

const said = ({ lines }: RunningMeshbind) => lines.map(({ message }) => message)
const healthy = encodeCheckRequest({ path: '/healthz' })

function health(t: ExecutionContext, port: number): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = healthService.Check
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  t.teardown(() => client.close())
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service: '' },
      (error, answer) => (error !== null ? reject(error) : resolve(answer?.status ?? '')),
    )
  })
}

for (const [first, second] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGTERM', 'SIGINT'],
] as const) {
  test(`contract §3: in the --shutdown-delay it is not ready and answers as ever, on old and new connections; ${second} after ${first} ends it`, async (t) => {
    const meshbind = await start(t, '60m')
    const probe = meshbind.lines.find(({ message }) => message === 'listening')?.['probe']
    const old = createCheckClient(meshbind.port)
    t.teardown(() => old.close())
    t.is((await old.ask(healthy)).status?.code, 0)
    t.is(await health(t, meshbind.port), 'SERVING')

    meshbind.kill(first)
    t.like(await meshbind.waitFor(({ message }) => message === 'leaving'), {
      signal: first,
      delay_ms: 3_600_000,
    })
    const ready = await fetch(`http://${probe}/readyz`)
    t.is(ready.status, 503)
    t.like(await ready.json(), { ready: false, waitingFor: ['the end: it was told to stop'] })
    t.is((await fetch(`http://${probe}/livez`)).status, 200, 'it must not be killed for it')
    t.is(await health(t, meshbind.port), 'NOT_SERVING')
    t.is((await old.ask(healthy)).status?.code, 0)
    const fresh = createCheckClient(meshbind.port)
    t.teardown(() => fresh.close())
    t.is((await fresh.ask(healthy)).status?.code, 0)
    t.is((await fresh.ask(encodeCheckRequest({ path: '/v1/payments' }))).status?.code, 16)
    t.false(said(meshbind).includes('draining'))

    meshbind.kill(second)
    t.is(await meshbind.exited, 0)
    t.deepEqual(said(meshbind).slice(-2), ['draining', 'stopped'])
  })
}

test('contract §3: the --shutdown-delay ends by itself, and then it drains', async (t) => {
  const meshbind = await start(t, '100ms')
  meshbind.kill('SIGTERM')
  t.is(await meshbind.exited, 0)
  t.deepEqual(said(meshbind).slice(-3), ['leaving', 'draining', 'stopped'])
})

test('contract §3: without a --shutdown-delay the drain begins at the signal', async (t) => {
  const meshbind = await start(t, '0s')
  meshbind.kill('SIGTERM')
  t.is(await meshbind.exited, 0)
  t.deepEqual(said(meshbind).slice(-3), ['ready', 'draining', 'stopped'])
})

test('contract §3: a client that reads nothing does not outlast --drain', async (t) => {
  const meshbind = await start(t, '0s')
  const socket = connect(meshbind.port, '127.0.0.1')
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  socket.pause()
  // The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113 §3.4).
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings]))
  await sleep(200)
  t.is(await meshbind.stop(), 0)
})
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
