/** Found by an attack: streams of Check that are cut small, never end, or come by the thousand (docs/decisions/0014). */

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import test, { type ExecutionContext } from 'ava'
import { decodeCheckResponse } from '../support/check-request.ts'
import { startTestServer } from '../support/test-server.ts'

const path = '/envoy.service.auth.v3.Authorization/Check'
const noTime = 14

async function start(t: ExecutionContext): Promise<ClientHttp2Session> {
  const server = await startTestServer()
  const session = connect(`http://${server.addresses[0]}`)
  t.teardown(async () => {
    session.destroy()
    await server.drain(50)
  })
  return session
}

function open(session: ClientHttp2Session, more: object = {}): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  })
  stream.on('error', () => {})
  return stream
}

/** The prefix of a message of that length. */
function prefixOf(length: number): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(length, 1)
  return prefix
}

async function answerOf(stream: ClientHttp2Stream): Promise<number | undefined> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => stream.once('trailers', resolve).once('close', resolve))
  return decodeCheckResponse(Buffer.concat(chunks).subarray(5)).status?.code
}

test.serial(
  'a message of many small frames is copied a few times, and not once for each of them',
  async (t) => {
    const session = await start(t)
    const frames = 8000
    const stream = open(session)
    const answer = answerOf(stream)
    const concat = Buffer.concat
    let copied = 0
    Buffer.concat = (...list) => {
      const joined = concat(...list)
      copied += joined.length
      return joined
    }
    t.teardown(() => {
      Buffer.concat = concat
    })
    for (const byte of Buffer.concat([prefixOf(frames), Buffer.alloc(frames)])) {
      if (!stream.write(Buffer.of(byte)))
        await new Promise((resolve) => stream.once('drain', resolve))
      await new Promise(setImmediate) // each write in a frame of its own
    }
    stream.end()
    await answer
    t.true(copied < 16 * frames, `${copied} bytes copied for a message of ${frames}`)
  },
)

test('architecture §9: half a message is denied at the deadline of its call, and not kept for ever', async (t) => {
  t.timeout(5000)
  const session = await start(t)
  const stream = open(session, { 'grpc-timeout': '100m' })
  stream.write(Buffer.concat([prefixOf(100), Buffer.alloc(50)]))
  t.is(await answerOf(stream), noTime)
})

test('catalogue 250: a stream that was answered because it is too long is closed, and takes no more', async (t) => {
  t.timeout(5000)
  const session = await start(t)
  const stream = open(session)
  const closed = new Promise((resolve) => stream.once('close', resolve))
  const answer = answerOf(stream)
  stream.write(Buffer.concat([prefixOf(0xffffff), Buffer.alloc(300 * 1024)]))
  await answer
  await closed
  t.pass()
})

test('catalogue 250: a connection is told how many streams it may open', async (t) => {
  const session = await start(t)
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  t.true((session.remoteSettings.maxConcurrentStreams ?? 0xffffffff) <= 100_000)
})
