/** The kit's hostile HTTP/2 peer: writes frames byte by byte, sound or not (RFC 9113 §4, §6), and keeps what comes back. */

import { connect, type Socket } from 'node:net'

export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

/** RFC 9113 §6: ACK of SETTINGS and PING has the bit of END_STREAM. */
export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export interface RawPeer {
  readonly frames: readonly Frame[]
  readonly closed: boolean
  /** Waits while the other side does not read; false once the connection is closed. */
  write(bytes: Buffer): Promise<boolean>
  /** The first frame that fits, or undefined once the connection is closed without one. */
  until(fits: (frame: Frame) => boolean): Promise<Frame | undefined>
  /** Resolves once the server has closed the connection. */
  readonly ended: Promise<void>
  /** Reads nothing from now on, so that what the server writes stays with it. */
  stopReading(): void
  destroy(): void
}

export const frameHead = 9
const nothing: Buffer = Buffer.alloc(0)
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export function frame(type: number, stream: number, payload = nothing, flag = 0): Buffer {
  const head = Buffer.alloc(frameHead)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flag
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** RFC 7541 §6.2.2: literals without indexing, names and values as they are. */
export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)] as const),
  )
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7, 0), bytes])
}

/** RFC 7541 §5.1: an integer in the low bits of a byte, and in as many more as it needs. */
export function integer(value: number, bits: number, high: number): Buffer {
  const most = (1 << bits) - 1
  if (value < most) return Buffer.of(high | value)
  const bytes = [high | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

/** What a client says first (RFC 9113 §3.4): the preface, and SETTINGS without any. */
export const opening = Buffer.concat([preface, frame(frameTypes.settings, 0)])

/** Connected, with preface and SETTINGS sent. */
export async function openPeer(port: number): Promise<RawPeer> {
  const socket = connect(port, '127.0.0.1')
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return beginPeer(socket)
}

/** @param socket Connected; in TLS, with its handshake done. */
export async function beginPeer(socket: Socket): Promise<RawPeer> {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  const frames: Frame[] = []
  let rest = nothing
  let closed = false
  let wake = () => {}
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      closed = true
      wake()
      resolve()
    })
  })
  socket.on('end', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      if (rest.length < frameHead) break
      const end = frameHead + rest.readUIntBE(0, 3)
      if (rest.length < end) break
      const [type = 0, flag = 0] = [rest[3], rest[4]]
      const stream = rest.readUInt32BE(5)
      frames.push({ type, flags: flag, stream, payload: rest.subarray(frameHead, end) })
      rest = rest.subarray(end)
    }
    wake()
  })
  const peer: RawPeer = {
    frames,
    get closed() {
      return closed
    },
    ended,
    async write(bytes) {
      if (closed || socket.destroyed) return false
      if (!socket.write(bytes))
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), ended])
      return !closed
    },
    async until(fits) {
      for (let next = 0; ; ) {
        for (; next < frames.length; next++) {
          const found = frames[next]
          if (found !== undefined && fits(found)) return found
        }
        if (closed) return undefined
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    stopReading: () => void socket.pause(),
    destroy: () => void socket.destroy(),
  }
  await peer.write(opening)
  return peer
}

/** RFC 9113 §7: what a GOAWAY or RST_STREAM says was wrong. */
export function errorCodeOf({ type, payload }: Frame): number {
  return payload.readUInt32BE(type === frameTypes.goaway ? 4 : 0)
}
