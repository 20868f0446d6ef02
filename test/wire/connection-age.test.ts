/** Connections that have grown old are told to go, and what is in flight on them is answered (contract §3; RFC 9113 §6.8). */

import { type ClientHttp2Session, connect } from 'node:http2'
import test from 'ava'
import { type Decision, denyOutright } from '../../src/decision/decision.ts'
import { decodeCheckResponse, encodeCheckRequest } from '../support/check-request.ts'
import { judgeBy } from '../support/judge.ts'
import { startTestServer } from '../support/test-server.ts'

const question = encodeCheckRequest({ token: 'x' })
/** gRPC puts a byte for compression and the length before each message. */
const framing = 5

interface Answer {
  readonly grpcStatus: string
  readonly code: number | undefined
}

/** One check on this very connection: a gRPC client would open another one by itself. */
function ask(session: ClientHttp2Session): Promise<Answer> {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.auth.v3.Authorization/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const chunks: Buffer[] = []
  let grpcStatus = ''
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('trailers', (trailers) => {
    grpcStatus = String(trailers['grpc-status'])
  })
  const head = Buffer.alloc(framing)
  head.writeUInt32BE(question.length, 1)
  stream.end(Buffer.concat([head, question]))
  return new Promise((resolve, reject) => {
    stream.once('error', reject)
    stream.once('close', () => {
      const answer = decodeCheckResponse(Buffer.concat(chunks).subarray(framing))
      resolve({ grpcStatus, code: answer.status?.code })
    })
  })
}

test('contract §3: a connection of --max-connection-age is sent GOAWAY without an error, a check in flight on it is answered, and a new one is taken', async (t) => {
  let arrived = () => {}
  let release = (_decision: Decision) => {}
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const held = new Promise<Decision>((resolve) => {
    release = resolve
  })
  const server = await startTestServer({
    judge: judgeBy(() => {
      arrived()
      return held
    }),
    deadlineMs: 60_000,
    maxConnectionAgeMs: 1000,
  })
  t.teardown(() => server.drain(50))
  const url = `http://${server.addresses[0]}`
  const session = connect(url)
  const goAway = new Promise<readonly [code: number, data: string]>((resolve) =>
    session.once('goaway', (code, _, data) => resolve([code, data?.toString() ?? ''])),
  )
  const closed = new Promise<void>((resolve) => session.once('close', resolve))
  const inFlight = ask(session)
  await arrival
  t.deepEqual(await goAway, [0, 'max_age'])
  t.is(server.inFlight(), 1, 'nobody has given up the check')
  release(denyOutright('route_unmatched'))
  t.deepEqual(await inFlight, { grpcStatus: '0', code: 7 })
  await closed

  const next = connect(url)
  t.teardown(() => next.destroy())
  t.deepEqual(await ask(next), { grpcStatus: '0', code: 7 })
})
