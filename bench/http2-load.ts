/**
 * A load generator for unary gRPC over HTTP/2 (RFC 9113), lean enough not to be what is measured: every
 * request's frames are made beforehand, only stream ids are written while it runs, answers are counted by their frames.
 */

import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly port: number
  /** gRPC path, such as /envoy.service.auth.v3.Authorization/Check. */
  readonly path: string
  /** Protobuf messages, sent in turn. */
  readonly messages: readonly Buffer[]
  /** How many requests to send in all. */
  readonly count: number
  /** How many are under way at once, on all connections together. */
  readonly concurrency: number
  /** One, unless there is a number. */
  readonly connections?: number
  /** Told each answer's DATA payload (gRPC prefix and message), while it is still in the receive buffer. */
  readonly onMessage?: (payload: Buffer) => void
}

export interface LoadResult {
  readonly seconds: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
}
const flag = { endStream: 1, ack: 1, endHeaders: 4 }
const frameHeaderBytes = 9
const hugeWindow = 0x7fff0000

export async function runLoad({ connections = 1, ...options }: LoadOptions): Promise<LoadResult> {
  const begin = performance.now()
  const shares = Array.from({ length: connections }, (_, i) => {
    const share = (whole: number) => Math.floor((whole + i) / connections)
    const from = Math.floor((i * options.messages.length) / connections)
    const messages = [...options.messages.slice(from), ...options.messages.slice(0, from)]
    const of = { count: share(options.count), concurrency: share(options.concurrency), messages }
    return driveConnection({ ...options, ...of })
  })
  const latencies = (await Promise.all(shares)).flatMap((each) => [...each])
  return summarise(latencies, (performance.now() - begin) / 1000)
}

/** Milliseconds that each answer took. */
function driveConnection(options: LoadOptions): Promise<Float64Array> {
  return new Promise((resolve, reject) => {
    const socket = connect(options.port, '127.0.0.1')
    socket.setNoDelay(true)
    const requests = options.messages.map((message) => framesOf(options.path, message))
    const latencies = new Float64Array(options.count)
    const startedAt = new Map<number, number>()
    let sent = 0
    let done = 0
    let nextStream = 1
    let sendWindow = 65_535
    let pending: Buffer = Buffer.alloc(0)

    const sendMore = () => {
      const burst: Buffer[] = []
      while (sent < options.count && startedAt.size < options.concurrency) {
        const request = requests[sent % requests.length]
        if (request === undefined || sendWindow < request.dataBytes) break
        const frames = Buffer.from(request.frames)
        frames.writeUInt32BE(nextStream, 5)
        frames.writeUInt32BE(nextStream, request.dataAt + 5)
        startedAt.set(nextStream, performance.now())
        nextStream += 2
        sent++
        sendWindow -= request.dataBytes
        burst.push(frames)
      }
      if (burst.length > 0)
        socket.write(burst.length === 1 ? (burst[0] as Buffer) : Buffer.concat(burst))
    }

    const finishStream = (stream: number) => {
      const at = startedAt.get(stream)
      if (at === undefined) return
      startedAt.delete(stream)
      latencies[done++] = performance.now() - at
      if (done === options.count) {
        socket.destroy()
        resolve(latencies)
      }
    }

    const onFrame = (type: number, flags: number, stream: number, payload: Buffer) => {
      if (type === frameType.data) {
        options.onMessage?.(payload)
        if ((flags & flag.endStream) !== 0) finishStream(stream)
      } else if (type === frameType.headers && (flags & flag.endStream) !== 0) finishStream(stream)
      else if (type === frameType.settings && (flags & flag.ack) === 0)
        writeFrame(socket, frameType.settings, flag.ack, 0, Buffer.alloc(0))
      else if (type === frameType.ping && (flags & flag.ack) === 0)
        writeFrame(socket, frameType.ping, flag.ack, 0, payload)
      else if (type === frameType.windowUpdate && stream === 0)
        sendWindow += payload.readUInt32BE(0)
      else if (type === frameType.rstStream || type === frameType.goaway)
        reject(new Error(`the server sent frame type ${type}`))
    }

    socket.once('error', reject)
    socket.on('data', (chunk: Buffer) => {
      const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      let at = 0
      while (bytes.length - at >= frameHeaderBytes) {
        const end = at + frameHeaderBytes + bytes.readUIntBE(at, 3)
        if (bytes.length < end) break
        onFrame(
          bytes[at + 3] ?? 0,
          bytes[at + 4] ?? 0,
          bytes.readUInt32BE(at + 5) & 0x7fffffff,
          bytes.subarray(at + frameHeaderBytes, end),
        )
        at = end
      }
      pending = bytes.subarray(at)
      sendMore()
    })
    socket.once('connect', () => {
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
      writeFrame(socket, frameType.settings, 0, 0, setting(4, hugeWindow))
      const window = Buffer.alloc(4)
      window.writeUInt32BE(hugeWindow - 65_535)
      writeFrame(socket, frameType.windowUpdate, 0, 0, window)
      sendMore()
    })
  })
}

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt32BE(value, 2)
  return bytes
}

interface RequestFrames {
  readonly frames: Buffer
  readonly dataAt: number
  readonly dataBytes: number
}

function framesOf(path: string, message: Buffer): RequestFrames {
  const headers = Buffer.concat(
    [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', path],
      [':authority', 'meshbind'],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['grpc-timeout', '500m'],
    ].map(([name, value]) => literal(name ?? '', value ?? '')),
  )
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  const body = Buffer.concat([prefix, message])
  const head = frame(frameType.headers, flag.endHeaders, 0, headers)
  return {
    frames: Buffer.concat([head, frame(frameType.data, flag.endStream, 0, body)]),
    dataAt: head.length,
    dataBytes: body.length,
  }
}

/** RFC 7541 §6.2.2: a literal header field without indexing, new name, no Huffman. Texts are shorter than 127 bytes. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ])
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(frameHeaderBytes)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function writeFrame(
  socket: Socket,
  type: number,
  flags: number,
  stream: number,
  payload: Buffer,
): void {
  socket.write(frame(type, flags, stream, payload))
}

function summarise(latencies: readonly number[], seconds: number): LoadResult {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { seconds, perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99) }
}
