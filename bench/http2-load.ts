/**
 * A load generator for unary gRPC over HTTP/2 (RFC 9113), lean enough not to be what is measured: every
 * request's frames are made beforehand, only stream ids are written while it runs, answers are counted by their frames.
 */

import { connect } from 'node:net'
import {
  flags,
  frame,
  frameHead,
  frameTypes,
  headerBlock,
  preface,
} from '../test/support/raw-http2.ts'

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

    const onFrame = (type: number, set: number, stream: number, payload: Buffer) => {
      if (type === frameTypes.data) {
        options.onMessage?.(payload)
        if ((set & flags.endStream) !== 0) finishStream(stream)
      } else if (type === frameTypes.headers && (set & flags.endStream) !== 0) finishStream(stream)
      else if (type === frameTypes.settings && (set & flags.ack) === 0)
        socket.write(frame(frameTypes.settings, 0, undefined, flags.ack))
      else if (type === frameTypes.ping && (set & flags.ack) === 0)
        socket.write(frame(frameTypes.ping, 0, payload, flags.ack))
      else if (type === frameTypes.windowUpdate && stream === 0)
        sendWindow += payload.readUInt32BE(0)
      else if (type === frameTypes.reset || type === frameTypes.goaway)
        reject(new Error(`the server sent frame type ${type}`))
    }

    socket.once('error', reject)
    socket.on('data', (chunk: Buffer) => {
      const bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      let at = 0
      while (bytes.length - at >= frameHead) {
        const end = at + frameHead + bytes.readUIntBE(at, 3)
        if (bytes.length < end) break
        onFrame(
          bytes[at + 3] ?? 0,
          bytes[at + 4] ?? 0,
          bytes.readUInt32BE(at + 5) & 0x7fffffff,
          bytes.subarray(at + frameHead, end),
        )
        at = end
      }
      pending = bytes.subarray(at)
      sendMore()
    })
    socket.once('connect', () => {
      socket.write(preface)
      socket.write(frame(frameTypes.settings, 0, setting(4, hugeWindow)))
      const window = Buffer.alloc(4)
      window.writeUInt32BE(hugeWindow - 65_535)
      socket.write(frame(frameTypes.windowUpdate, 0, window))
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
  const headers = headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'meshbind'],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
    ['grpc-timeout', '500m'],
  ])
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  const body = Buffer.concat([prefix, message])
  const head = frame(frameTypes.headers, 0, headers, flags.endHeaders)
  return {
    frames: Buffer.concat([head, frame(frameTypes.data, 0, body, flags.endStream)]),
    dataAt: head.length,
    dataBytes: body.length,
  }
}

function summarise(latencies: readonly number[], seconds: number): LoadResult {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { seconds, perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99) }
}
