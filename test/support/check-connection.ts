/** The kit's one connection: what is asked on it is answered by one worker, and its end is seen. */

import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import type { ExecutionContext } from 'ava'
import { decodeCheckResponse, type UpstreamCheckResponse } from './check-request.ts'
import { checkPath, framed } from './victim.ts'

/** No claim: a machine that is busy with other tests may take its time. */
const askLimitMs = 30_000

export interface Connection {
  /** Rejects where it ends before the answer, and on a gRPC error: meshbind must never give one. */
  ask(question: Buffer, limitMs?: number): Promise<UpstreamCheckResponse>
  readonly ended: boolean
  close(): void
}

/** HTTP/2 without a library on top: gRPC clients of one process share connections, and open new ones unasked. */
export function openConnection(t: ExecutionContext, where: number | string): Connection {
  const session =
    typeof where === 'number'
      ? connectHttp2(`http://127.0.0.1:${where}`)
      : connectHttp2('http://meshbind', { createConnection: () => connectSocket(where) })
  session.on('error', () => {}) // what was asked on it rejects
  t.teardown(() => session.destroy())
  const headers = {
    ':method': 'POST',
    ':path': checkPath,
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  return {
    ask: (question, limitMs = askLimitMs) =>
      new Promise((resolve, reject) => {
        const stream = session.request(headers, { signal: AbortSignal.timeout(limitMs) })
        const chunks: Buffer[] = []
        let status: unknown = 'missing'
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.once('trailers', (trailers) => {
          status = trailers['grpc-status']
        })
        stream.once('error', reject)
        stream.once('close', () => {
          if (status !== '0') reject(new Error(`the gRPC status is ${status}`))
          else resolve(decodeCheckResponse(Buffer.concat(chunks).subarray(framed(nothing).length)))
        })
        stream.end(framed(question))
      }),
    get ended() {
      return session.closed || session.destroyed
    },
    close: () => session.destroy(),
  }
}

const nothing = Buffer.alloc(0)
