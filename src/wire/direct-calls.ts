/**
 * Takes plain calls of one unary method straight from their HTTP/2 streams, at half of what grpc-js spends on a call
 * (docs/decisions/0014). All else is grpc-js's as ever: connections, TLS, other methods, and every call that is not plain.
 */

import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { Server } from '@grpc/grpc-js'
import { type Refusal, refuse } from '../decision/decision.ts'
import type { CheckCall } from './check-call.ts'
import type { Clock } from './handler.ts'
import { createInFlight, type InFlight, type InFlightEntry } from './in-flight.ts'

export interface DirectMethod {
  /** `/package.Service/Method`. */
  readonly path: string
  /** Longer ones are handed over as soon as they are, unread to their end. */
  readonly maxMessageBytes: number
  readonly handle: (call: CheckCall) => void
  /** How long a message may take to come, and how many may be on their way at once. */
  readonly waitMs: number
  readonly maxWaiting: number
  readonly clock: Clock
}

/** Where grpc-js 1.14 takes a stream from its HTTP/2 server. No part of its interface: hence the check below. */
interface Seam {
  _streamHandler?: StreamHandler
}
type StreamHandler = (
  interceptors: unknown,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
) => void

/**
 * Before the server is bound. False where this grpc-js has no such place: then it serves the method itself, slower and
 * otherwise the same.
 */
export function takeCallsDirectly(server: Server, method: DirectMethod): boolean {
  const seam = server as unknown as Seam
  const usual = seam._streamHandler
  if (typeof usual !== 'function' || usual.length !== 3) return false
  const { path, clock } = method
  const waiting = createInFlight(clock.monotonic)
  const others = createInFlight(clock.monotonic)
  seam._streamHandler = (interceptors, stream, headers) => {
    const deadline = headers[':path'] === path ? deadlineOf(headers, clock.now) : undefined
    if (deadline !== undefined) new DirectCall(stream, headers, deadline, method, waiting)
    else if (others.size >= maxOthers) refuseStream(stream)
    else {
      new OtherCall(stream, method, others)
      usual.call(server, interceptors, stream, headers)
    }
  }
  return true
}

const msPerUnit: { readonly [unit: string]: number } = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}

/** Undefined for a call that is not plain: another content type, a compressed message, a timeout that is none. */
function deadlineOf(headers: IncomingHttpHeaders, now: () => number): number | undefined {
  if (headers['content-type']?.startsWith('application/grpc') !== true) return undefined
  if ((headers['grpc-encoding'] ?? 'identity') !== 'identity') return undefined
  const timeout = headers['grpc-timeout']
  if (timeout === undefined) return Number.POSITIVE_INFINITY
  const [, value, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(timeout)) ?? []
  const factor = msPerUnit[unit]
  return factor === undefined ? undefined : now() + Number(value) * factor
}

/** A byte for compression and four for the length (gRPC over HTTP/2, Length-Prefixed-Message). */
const prefixBytes = 5
const responseHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' }
/** No `date`: Envoy hands none of these headers on. */
const options = { waitForTrailers: true, sendDate: false }
const good = { 'grpc-status': '0' }
const nothing: Buffer = Buffer.alloc(0)
const broken = refuse('request_malformed', 'not exactly one message')

class DirectCall implements CheckCall, InFlightEntry {
  readonly deadline: number
  readonly dueAt: number
  place = -1
  request: Buffer | Refusal = broken
  readonly #stream: ServerHttp2Stream
  readonly #headers: IncomingHttpHeaders
  readonly #method: DirectMethod
  readonly #waiting: InFlight
  #body = nothing
  #length = 0
  #handed = false

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    deadline: number,
    method: DirectMethod,
    waiting: InFlight,
  ) {
    this.deadline = deadline
    this.dueAt = method.clock.monotonic() + method.waitMs
    this.#stream = stream
    this.#headers = headers
    this.#method = method
    this.#waiting = waiting
    stream.on('error', ignore)
    stream.on('close', () => this.#release())
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.on('end', () => this.#end())
    const full = waiting.size >= method.maxWaiting
    waiting.add(this)
    if (full) this.#hand(refuse('overloaded'))
  }

  /** Half a message is not kept for ever. */
  expire(): void {
    this.#hand(refuse('deadline_exceeded', 'the message did not come whole'))
  }

  #take(chunk: Buffer): void {
    if (this.#handed) return
    const length = this.#length + chunk.length
    if (this.#length === 0) this.#body = chunk
    else {
      if (length > this.#body.length) {
        // Twice what is needed, up to the bound: a message may come a byte at a time.
        const bound = prefixBytes + this.#method.maxMessageBytes
        const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * length, bound)))
        this.#body.copy(larger, 0, 0, this.#length)
        this.#body = larger
      }
      chunk.copy(this.#body, this.#length)
    }
    this.#length = length
    if (length - prefixBytes > this.#method.maxMessageBytes)
      this.#hand(this.#body.subarray(prefixBytes, length))
  }

  /** A stream that its caller broke off ends as well, and then nobody waits. */
  #end(): void {
    if (!this.#stream.aborted) this.#hand(messageOf(this.#body.subarray(0, this.#length)))
  }

  #hand(message: Buffer | Refusal): void {
    if (this.#handed) return
    this.#forget()
    this.request = message
    this.#method.handle(this)
  }

  /**
   * Node's HTTP/2 keeps a closed stream until the next full collection, with all that it refers to: what outlives a
   * minor one here made each of them take 12 ms in place of 1, and full ones necessary.
   */
  #release(): void {
    this.#forget()
    this.request = broken
    this.#stream.removeAllListeners()
    this.#stream.on('error', ignore)
  }

  /** Nothing more is taken from the stream. */
  #forget(): void {
    if (this.#handed) return
    this.#handed = true
    this.#body = nothing
    this.#waiting.remove(this)
  }

  traceparent(): string | undefined {
    const value = this.#headers['traceparent']
    return typeof value === 'string' ? value : undefined
  }

  answer(message: Buffer): void {
    const stream = this.#stream
    if (stream.destroyed || stream.closed) return
    const framed = Buffer.allocUnsafe(prefixBytes + message.length)
    framed[0] = 0
    framed.writeUInt32BE(message.length, 1)
    message.copy(framed, prefixBytes)
    stream.respond(responseHeaders, options)
    stream.on('wantTrailers', stream.readableEnded ? endWell : endEarly)
    stream.end(framed)
  }
}

/** grpc-js gives a message all the time in the world, and keeps the half that it has. */
const leastOtherMs = 1000
/**
 * Of all connections together, while their message is on its way: a health check has none to speak of, and no Envoy
 * compresses a check. They have places of their own, so that they cannot take those of the checks.
 */
const maxOthers = 256

class OtherCall implements InFlightEntry {
  readonly dueAt: number
  place = -1
  readonly #stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream, { clock, waitMs }: DirectMethod, waiting: InFlight) {
    this.#stream = stream
    this.dueAt = clock.monotonic() + Math.max(waitMs, leastOtherMs)
    let listed = true
    const forget = () => {
      if (listed) waiting.remove(this)
      listed = false
    }
    // What is whole may take as long as it likes: a watch of the health service is answered for hours.
    stream.on('end', forget)
    stream.on('close', forget)
    waiting.add(this)
  }

  expire(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL)
  }
}

function refuseStream(stream: ServerHttp2Stream): void {
  stream.on('error', ignore)
  stream.close(constants.NGHTTP2_REFUSED_STREAM)
}

/** Exactly one uncompressed message, whole. */
function messageOf(body: Buffer): Buffer | Refusal {
  if (body.length < prefixBytes || body[0] !== 0) return broken
  return body.readUInt32BE(1) === body.length - prefixBytes ? body.subarray(prefixBytes) : broken
}

function endWell(this: ServerHttp2Stream): void {
  this.sendTrailers(good)
}

/** A caller that has more to say is told that nobody listens, once it has its answer (RFC 9113 §8.1). */
function endEarly(this: ServerHttp2Stream): void {
  this.sendTrailers(good)
  setImmediate(() => this.close(constants.NGHTTP2_NO_ERROR))
}

/** A stream that broke closes by itself: its caller has gone, or will ask again. */
function ignore(): void {}
