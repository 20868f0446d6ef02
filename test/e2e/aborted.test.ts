/** Clients that give up their requests while they are judged, through a real Envoy: it resets its checks, on the connection that everybody's checks share (docs/decisions/0014, Resets). */

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import test from 'ava'
import { canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import { call } from '../support/mesh.ts'
import {
  beginPeer,
  flags,
  frame,
  frameTypes,
  headerBlock,
  type RawPeer,
} from '../support/raw-http2.ts'

const e2e = (await canRunEnvoy()) ? test : test.skip
/** More than Node's own limits allow: a thousand at once, 33 a second. */
const aborted = 16_000
const atOnce = 100
const cancelled = Buffer.of(0, 0, 0, 8)

/** HTTP/2 with the thief's certificate, to the one listener. */
async function openThief({ envoy, thief, authority }: Rig): Promise<RawPeer> {
  const socket = connectTls({
    ...{ host: '127.0.0.1', port: envoy.portOf('strict'), servername: 'localhost' },
    ...{ ca: authority.certificatePem, cert: thief.pem, key: thief.keyPem },
    ALPNProtocols: ['h2'],
  })
  await once(socket, 'secureConnect')
  return beginPeer(socket)
}

/** Each asks, and goes as soon as it has asked. False where Envoy has closed the connection. */
function abortSome(peer: RawPeer, from: number, token: string): Promise<boolean> {
  const fields = headerBlock([
    ...[[':method', 'POST'] as const, [':scheme', 'https'] as const],
    ...[[':authority', 'payments.mesh.example'] as const, [':path', '/v1/payments'] as const],
    ['authorization', `Bearer ${token}`],
  ])
  const requests = Array.from({ length: atOnce }, (_, i) => {
    const id = 2 * (from + i) + 1
    const asked = flags.endHeaders | flags.endStream
    return [frame(frameTypes.headers, id, fields, asked), frame(frameTypes.reset, id, cancelled)]
  })
  return peer.write(Buffer.concat(requests.flat()))
}

e2e(
  'O255: one client that gives up its requests by the thousand ends nobody else’s: the checks of all others are answered',
  async (t) => {
    // However long it takes: a machine that is busy with other tests is no client that gives up.
    const patient = { envoy_grpc: { cluster_name: 'authz-strict' }, timeout: '20s' }
    const rig = await startRig(
      (authz) => ({ strict: { authz, filter: { grpc_service: patient } } }),
      { args: ['--deadline', '20s'] },
    )
    t.teardown(() => rig.close())
    const { orders, issuer, authority, envoy } = rig
    const token = await issuer.sign({ cnf: { 'x5t#S256': orders.x5tS256 } })
    const headers = { authorization: `Bearer ${token}` }
    const target = { port: envoy.portOf('strict'), path: '/v1/payments', headers, authority }
    const ask = async () => (await call({ ...target, as: orders })).status
    t.is(await ask(), 200, 'control')

    const answers = new Set<number>()
    let going = true
    const bystander = (async () => {
      while (going) answers.add(await ask())
    })()
    for (let sent = 0; sent < aborted; ) {
      const peer = await openThief(rig)
      // Envoy ends a connection on which most requests are given up early; whoever does it comes again.
      for (let n = 0; n < 1000 && sent < aborted; n += atOnce, sent += atOnce)
        if (!(await abortSome(peer, n, token))) break
      await sleep(20)
      peer.destroy()
    }
    going = false
    await bystander
    const resets = await envoy.stats('cluster.authz-strict.http2.tx_reset')
    const closed = await envoy.stats('cluster.authz-strict.upstream_cx_destroy')
    t.log([...resets, ...closed].map((each) => each.join(' ')).join(', '))
    t.deepEqual([...answers], [200])
    t.true(
      [...resets.values()].some((count) => count > 1000),
      'Envoy did reset its checks',
    )
  },
)
