/** Plain calls are read from their HTTP/2 streams here, all others by grpc-js; either way a check is answered (docs/decisions/0014). */

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Server } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { denyOutright } from '../../src/decision/decision.ts'
import { takeCallsDirectly } from '../../src/wire/direct-calls.ts'
import type { DecisionRecord } from '../../src/wire/handler.ts'
import type { ServerOptions } from '../../src/wire/server.ts'
import { decodeCheckResponse, encodeCheckRequest } from '../support/check-request.ts'
import { judgeBy } from '../support/judge.ts'
import { startTestServer } from '../support/test-server.ts'

const path = '/envoy.service.auth.v3.Authorization/Check'
const question = encodeCheckRequest({ token: 'x' })
const headers = { 'content-type': 'application/grpc', te: 'trailers' }
type Headers = { readonly [name: string]: string }

interface Rig {
  readonly session: ClientHttp2Session
  readonly records: DecisionRecord[]
  readonly errors: unknown[]
}

async function start(t: ExecutionContext, options: Partial<ServerOptions> = {}): Promise<Rig> {
  const records: DecisionRecord[] = []
  const errors: unknown[] = []
  const server = await startTestServer({
    onDecision: (record) => records.push(record),
    onError: (error) => errors.push(error),
    ...options,
  })
  const session = connect(`http://${server.addresses[0]}`)
  t.teardown(async () => {
    session.destroy()
    await server.drain(50)
  })
  return { session, records, errors }
}

function open({ session }: Rig, more: Headers = {}): ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers, ...more })
  stream.on('error', () => {})
  return stream
}

function framed(message: Buffer, flag = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

/** HTTP status, content type, grpc-status, and the code of the answer, where there is one. */
async function answerOf(stream: ClientHttp2Stream): Promise<string> {
  const chunks: Buffer[] = []
  let told: Headers = {}
  stream.on('response', (got) => {
    told = { ...told, ...(got as unknown as Headers) }
  })
  stream.on('trailers', (got) => {
    told = { ...told, ...(got as unknown as Headers) }
  })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => stream.once('close', resolve))
  const body = Buffer.concat(chunks)
  const code = body.length > 5 ? decodeCheckResponse(body.subarray(5)).status?.code : '-'
  return `${told[':status']} grpc ${told['grpc-status']} code ${code}`
}

const send = (rig: Rig, body: Buffer, more?: Headers) => {
  const stream = open(rig, more)
  stream.end(body)
  return answerOf(stream)
}
const denied = '200 grpc 0 code 7'
const malformed = '200 grpc 0 code 3'

test('gRPC over HTTP/2: one message is answered by one, with status and type where a client looks', async (t) => {
  const rig = await start(t)
  t.is(await send(rig, framed(question)), denied)
  t.is(await send(rig, framed(question), { 'grpc-encoding': 'identity' }), denied)
  t.is(await send(rig, framed(question), { 'content-type': 'application/grpc+proto' }), denied)
})

test('gRPC over HTTP/2: a message may come in any number of frames, cut anywhere', async (t) => {
  const rig = await start(t)
  const stream = open(rig)
  const answer = answerOf(stream)
  for (const byte of framed(question)) {
    if (!stream.write(Buffer.of(byte)))
      await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  t.is(await answer, denied)
})

const broken: readonly (readonly [title: string, body: Buffer])[] = [
  ['no message', Buffer.alloc(0)],
  ['half a prefix', Buffer.alloc(3)],
  ['an empty message', framed(Buffer.alloc(0))],
  ['a message cut off', framed(question, 0, question.length + 1)],
  ['bytes after the message', Buffer.concat([framed(question), Buffer.of(0)])],
  ['two messages', Buffer.concat([framed(question), framed(question)])],
  ['a length beyond all bounds', framed(question, 0, 0xffffffff)],
  ['the mark of compression without an encoding', framed(gzipSync(question), 1)],
  ['an unknown mark', framed(question, 2)],
]
for (const [title, body] of broken) {
  test(`architecture §9: ${title} is an explicit deny, never a gRPC error`, async (t) => {
    const rig = await start(t)
    t.is(await send(rig, body), malformed)
    t.is(await send(rig, framed(question)), denied)
    t.is(rig.records[0]?.decision.verdict, 'deny')
  })
}

test('catalogue 250: a body that never ends is answered as soon as it is too long', async (t) => {
  const rig = await start(t)
  const stream = open(rig)
  const answer = answerOf(stream)
  stream.write(framed(Buffer.alloc(300 * 1024), 0, 0xffffff))
  await new Promise((resolve) => stream.once('response', resolve))
  t.is(rig.records.length, 1)
  t.is(rig.records[0]?.request, undefined)
  stream.end()
  t.is(await answer, malformed)
})

test('calls that are not plain are grpc-js’s, and answered as well', async (t) => {
  const rig = await start(t)
  t.is(await send(rig, framed(gzipSync(question), 1), { 'grpc-encoding': 'gzip' }), denied)
  t.is(
    await send(rig, framed(question), { 'content-type': 'text/plain' }),
    '415 grpc undefined code -',
  )
  t.is(await send(rig, framed(question), { ':path': `${path}s` }), '200 grpc 12 code -')
  t.regex(await send(rig, framed(question), { 'grpc-timeout': 'soon' }), /^200 grpc 13 /)
})

test('contract §3: grpc-timeout is read in each of its units', async (t) => {
  const budgets: number[] = []
  const rig = await start(t, {
    deadlineMs: 10_000_000_000,
    judge: judgeBy(async (_request, time) => {
      budgets.push(Math.round(time.leftMs()))
      return denyOutright('route_unmatched')
    }),
    clock: { now: () => 1_000_000, monotonic: () => 0 },
  })
  for (const timeout of ['1H', '2M', '3S', '400m', '500000u', '99999999n'])
    t.not(await send(rig, framed(question), { 'grpc-timeout': timeout }), '', timeout)
  // Less the margin in which the answer must travel.
  t.deepEqual(
    budgets.map(Math.round),
    [3_600_000, 120_000, 3000, 400, 500, 100].map((ms) => ms - 10),
  )
  t.is(await send(rig, framed(question), { 'grpc-timeout': '5m' }), '200 grpc 0 code 14')
})

test('a caller that goes away leaves nothing behind, before its message and after it', async (t) => {
  let release: () => void = () => {}
  const rig = await start(t, {
    judge: judgeBy(async () => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return denyOutright('route_unmatched')
    }),
  })
  const early = open(rig)
  early.write(framed(question).subarray(0, 10))
  await sleep(20)
  early.destroy()
  const late = open(rig)
  late.end(framed(question))
  await sleep(50)
  late.destroy()
  await sleep(20)
  release()
  await sleep(20)
  t.deepEqual(rig.errors, [])
  t.is(rig.records.length, 1)
})

test('W3C Trace Context: the span of the call itself is told where it is asked for', async (t) => {
  const rig = await start(t)
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await send(rig, framed(question), { traceparent })
  await send(rig, framed(question))
  t.deepEqual(
    rig.records.map((record) => record.callTraceparent()),
    [traceparent, undefined],
  )
})

test('the grpc-js of the lockfile has the place that direct-calls.ts takes; another one would serve by itself', (t) => {
  const clock = { now: Date.now, monotonic: () => performance.now() }
  const limits = { maxMessageBytes: 1, waitMs: 1, maxWaiting: 1 }
  const method = { path, ...limits, handle: () => {}, clock }
  t.true(takeCallsDirectly(new Server(), method))
  t.false(takeCallsDirectly({} as Server, method))
  t.false(takeCallsDirectly({ _streamHandler: () => {} } as unknown as Server, method))
})
