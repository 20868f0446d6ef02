/** Calls and messages of every wrong kind: each is denied or refused, and none of them ends the process. */

import { type ClientHttp2Session, connect } from 'node:http2'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { denyOutright } from '../../src/decision/decision.ts'
import type { ServerOptions } from '../../src/wire/server.ts'
import { decodeCheckResponse, encodeCheckRequest } from '../support/check-request.ts'
import { judgeBy } from '../support/judge.ts'
import { flags, frame, frameTypes, headerBlock, openPeer } from '../support/raw-http2.ts'
import { startTestServer } from '../support/test-server.ts'
import { asEver, checkHeaders, checkPath, framed, startVictim } from '../support/victim.ts'

type Headers = { readonly [name: string]: string }

/** `<HTTP status> <grpc-status> <code of the answer>`; `-` for what did not come. */
function send(session: ClientHttp2Session, body: Buffer, more: Headers = {}): Promise<string> {
  const stream = session.request({
    ':method': 'POST',
    ':path': checkPath,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  })
  const chunks: Buffer[] = []
  let told: Headers = {}
  const tell = (headers: object) => {
    told = { ...told, ...headers }
  }
  stream.on('error', () => {})
  stream.on('response', tell)
  stream.on('trailers', tell)
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.end(body)
  return new Promise((resolve) =>
    stream.once('close', () => {
      const answer = Buffer.concat(chunks)
      const code = answer.length > 5 ? decodeCheckResponse(answer.subarray(5)).status?.code : '-'
      resolve(`${told[':status'] ?? '-'} ${told['grpc-status'] ?? '-'} ${code}`)
    }),
  )
}

async function rig(t: ExecutionContext) {
  const victim = await startVictim(t)
  const session = connect(`http://127.0.0.1:${victim.port}`)
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const ask = (body: Buffer, more?: Headers) => send(session, body, more)
  t.is(await ask(framed(victim.owned)), '200 0 0', 'control')
  return { victim, ask }
}

const denied = '200 0 3'

/** A field of a protobuf message: https://protobuf.dev/programming-guides/encoding/. */
function field(number: number, wireType: number, ...bytes: readonly (number | Buffer)[]): Buffer {
  const payload = Buffer.concat(bytes.map((b) => (typeof b === 'number' ? Buffer.of(b) : b)))
  return Buffer.concat([varint(number * 8 + wireType), payload])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

const within = (number: number, message: Buffer) =>
  field(number, 2, Buffer.concat([varint(message.length), message]))

function nested(depth: number): Buffer {
  let message: Buffer = Buffer.alloc(0)
  for (let i = 0; i < depth; i++) message = within(1, message)
  return message
}

test.serial(
  'O248, O249: no question, half of one, wrong wire types, groups, any depth and ten thousand strange fields are denied or read, and the process lives',
  async (t) => {
    const { victim, ask } = await rig(t)
    const { owned } = victim
    const tenThousand = Buffer.concat(
      Array.from({ length: 10_000 }, (_, i) => field(100 + i, 0, 1)),
    )
    const group = (depth: number) =>
      Buffer.concat([Buffer.alloc(depth, 0x3b), Buffer.alloc(depth, 0x3c)])
    const refused = {
      nothing: Buffer.alloc(0),
      'no attributes': within(2, Buffer.alloc(0)),
      'attributes with nothing in them': within(1, Buffer.alloc(0)),
      'no HTTP in the request': within(1, within(4, Buffer.alloc(0))),
      'ten thousand strange fields and no question': tenThousand,
      'a thousand messages in each other': nested(1000),
      'attributes as a number': field(1, 0, 1),
      'attributes as eight bytes': field(1, 1, Buffer.alloc(8)),
      'a group around everything': Buffer.concat([Buffer.of(0x0b), owned, Buffer.of(0x0c)]),
      'ten thousand groups in each other': Buffer.concat([owned, group(10_000)]),
      'a group that does not end': Buffer.concat([owned, Buffer.of(0x3b)]),
      'the reserved wire type 7': Buffer.concat([owned, Buffer.of(0x3f)]),
      'a varint without an end': Buffer.concat([owned, Buffer.alloc(200, 0xff)]),
      'a length over everything': Buffer.concat([owned, Buffer.of(0x0a, 0xff, 0xff, 0xff, 0x7f)]),
    }
    for (const [what, bytes] of Object.entries(refused))
      t.is(await ask(framed(bytes)), denied, what)
    t.is(await ask(framed(Buffer.concat([tenThousand, owned]))), '200 0 0', 'beside a question')
    t.is(await victim.serves(), asEver)
  },
)

test.serial(
  'O250: a message far over the bound is denied before its end, and what is left of it keeps no process that is told to stop',
  async (t) => {
    const { victim } = await rig(t)
    const before = victim.rssMebibytes()
    const large = framed(Buffer.alloc(5 * 1024 * 1024))
    for (let n = 0; n < 20; n++) {
      const session = connect(`http://127.0.0.1:${victim.port}`)
      session.on('error', () => {})
      t.is(await send(session, large), denied)
      session.destroy()
    }
    t.is(await victim.serves(), asEver)
    // Twenty are a hundred MiB.
    t.true(victim.rssMebibytes() < before + 64, `from ${before} to ${victim.rssMebibytes()} MiB`)
    t.is(await victim.meshbind.stop(), 0)
  },
)

test.serial(
  'O252: a compressed message that is none, and one that inflates without end, is refused, and the process lives',
  async (t) => {
    const { victim, ask } = await rig(t)
    const gzip = { 'grpc-encoding': 'gzip' }
    t.is(await ask(framed(gzipSync(victim.owned), 1), gzip), '200 0 0', 'control')
    t.is(await ask(framed(deflateSync(victim.owned), 1), { 'grpc-encoding': 'deflate' }), '200 0 0')
    const bomb = gzipSync(Buffer.alloc(512 * 1024 * 1024), { level: 9 })
    const before = victim.rssMebibytes()
    for (const [body, encoding] of [
      [framed(Buffer.from('no gzip'), 1), 'gzip'],
      [framed(bomb, 1), 'gzip'],
      [framed(brotliCompressSync(victim.owned), 1), 'br'],
      [framed(victim.owned, 1), 'x-unknown'],
      [framed(victim.owned, 1), 'gzip, gzip'],
    ] as const) {
      const answer = await ask(body, { 'grpc-encoding': encoding })
      t.regex(answer, /^200 ([1-9]\d* -|0 3)$/, encoding)
    }
    t.true(victim.rssMebibytes() < before + 256, `from ${before} to ${victim.rssMebibytes()} MiB`)
    t.is(await victim.serves(), asEver)
  },
)

test.serial(
  'O253: another service, method, path, type or verb is no check: nothing is allowed, and the process lives',
  async (t) => {
    const { victim, ask } = await rig(t)
    const body = framed(victim.owned)
    for (const path of [
      `${checkPath}/`,
      `/${checkPath}`,
      `${checkPath}?a`,
      checkPath.toLowerCase(),
      checkPath.replace('Check', 'check'),
      checkPath.replace('v3', 'v2'),
      '/envoy.service.auth.v3.Authorization/',
      '/constructor/__proto__',
      '/',
    ])
      t.is(await ask(body, { ':path': path }), '200 12 -', path)
    for (const path of ['*', checkPath.slice(1)])
      t.is(await ask(body, { ':path': path }), '- - -', 'HTTP/2 itself refuses it')
    for (const type of ['', 'text/plain', 'application/json', ' application/grpc'])
      t.regex(await ask(body, { 'content-type': type }), /^415 - -$/, type)
    t.is(await victim.serves(), asEver)
  },
)

test.serial(
  'O253: pseudo-headers that are missing, unknown, twice or late reset their stream (RFC 9113 §8.3)',
  async (t) => {
    const { victim } = await rig(t)
    const path = headerBlock([[':path', checkPath]])
    const blocks = {
      'two paths': Buffer.concat([path, checkHeaders()]),
      'an unknown one': Buffer.concat([headerBlock([[':who', 'me']]), checkHeaders()]),
      'one after the others': Buffer.concat([checkHeaders(), path]),
      'none at all': headerBlock([['content-type', 'application/grpc']]),
      'capitals in a name': Buffer.concat([checkHeaders(), headerBlock([['X-A', 'b']])]),
    }
    for (const [what, block] of Object.entries(blocks)) {
      const peer = await openPeer(victim.port)
      t.teardown(() => peer.destroy())
      await peer.write(frame(frameTypes.headers, 1, block, flags.endHeaders))
      await peer.write(frame(frameTypes.data, 1, framed(victim.owned), flags.endStream))
      const ends = [frameTypes.reset, frameTypes.goaway, frameTypes.headers] as readonly number[]
      const end = await peer.until(({ type }) => ends.includes(type))
      t.not(end?.type, frameTypes.headers, what)
    }
    t.is(await victim.serves(), asEver)
  },
)

test.serial(
  'O261: a grpc-timeout without time left is an explicit deny, one beyond all bounds is bounded, and one that is none is an error',
  async (t) => {
    const { victim, ask } = await rig(t)
    const body = framed(victim.owned)
    for (const timeout of ['1n', '0S', '0n', '00000000H', '9m'])
      t.is(await ask(body, { 'grpc-timeout': timeout }), '200 0 14', timeout)
    for (const timeout of ['99999999H', '99999999S', '10M'])
      t.is(await ask(body, { 'grpc-timeout': timeout }), '200 0 0', timeout)
    // grpc-js reads some of these loosely: a time it is, and bounded like any other.
    for (const timeout of ['1 S', '1.5S', '999999999S', '0x1S', '1S, 1S'])
      t.regex(await ask(body, { 'grpc-timeout': timeout }), /^200 ([1-9]\d* -|0 0|0 14)$/, timeout)
    for (const timeout of ['-1', 'abc', '', '1', '1s'])
      t.regex(await ask(body, { 'grpc-timeout': timeout }), /^200 [1-9]\d* -$/, timeout)
    t.is(await victim.serves(), asEver)
  },
)

const judges: { readonly [what: string]: ServerOptions['judge'] } = {
  throws: judgeBy(() => {
    throw new Error('bug')
  }),
  rejects: judgeBy(() => Promise.reject(new Error('bug'))),
  'rejects with nothing': judgeBy(() => Promise.reject()),
  'never settles': judgeBy(() => new Promise(() => {})),
  'gives no decision': judgeBy(async () => undefined as never),
}
for (const [what, judge] of Object.entries(judges)) {
  test(`O265: a judge that ${what} is an explicit deny over the wire, counted once, and the next check is answered`, async (t) => {
    const decisions: string[] = []
    let broken = true
    const server = await startTestServer({
      judge: () => (broken ? judge : judgeBy(async () => denyOutright('route_unmatched')))(),
      onDecision: ({ decision }) => void decisions.push(decision.verdict),
      deadlineMs: 100,
      maxInFlight: 4,
    })
    const session = connect(`http://${server.addresses[0]}`)
    t.teardown(async () => {
      session.destroy()
      await server.drain(50)
    })
    const body = framed(encodeCheckRequest({ token: 'x' }))
    t.is(await send(session, body), `200 0 ${what === 'never settles' ? 14 : 13}`)
    broken = false
    t.is(await send(session, body), '200 0 7')
    t.deepEqual(decisions, ['deny', 'deny'])
  })
}
