/** What stands around meshbind: a backend with a secret, a key server and an introspection endpoint that can be spoiled. */

import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** An attack succeeds when this is read. */
export const secret = 'the payment went through'
/** On an answer to a request that Envoy let pass without a judgement (`failure_mode_allow_header_add`). */
export const failureModeHeader = 'x-unjudged'

/** Answers every request with the secret and a number of its own. */
export async function startBackend(): Promise<Spoilable> {
  let serial = 0
  return startServer((request, response) => {
    const unjudged = request.headers['x-envoy-auth-failure-mode-allowed'] !== undefined
    response
      .writeHead(200, {
        'content-type': 'text/plain',
        ...(unjudged ? { [failureModeHeader]: 'yes' } : {}),
      })
      .end(`${secret} (request ${serial++})`)
  })
}

/** How a server answers: as it should, or in one of the ways in which servers fail. */
export type Manner =
  | 'sound'
  | 'slow'
  | 'hanging'
  | 'half-open'
  | 'error'
  | 'garbage'
  | 'wrong-json'
  | 'empty-set'
  | 'huge'

export interface Spoilable {
  readonly port: number
  /** Requests so far. */
  requests(): number
  behave(manner: Manner): void
  /** Nothing listens any more, and what was connected is cut. */
  stop(): Promise<void>
  /** Listens again, on the same port. */
  resume(): Promise<void>
  close(): void
}

const slowMs = 30_000
const hugeBytes = 10 * 2 ** 20

/** @param answer The sound answer to a request's path and body. */
export function startJsonServer(
  answer: (path: string, body: string) => object,
  tls?: ServerOptions,
): Promise<Spoilable> {
  let manner: Manner = 'sound'
  const server = startServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const send = (status: number, body: string | Buffer) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body)
    const sound = () =>
      send(200, JSON.stringify(answer(request.url ?? '', Buffer.concat(chunks).toString('utf8'))))
    if (manner === 'sound') sound()
    else if (manner === 'slow') setTimeout(sound, slowMs).unref()
    else if (manner === 'half-open') response.writeHead(200).write('{"acti')
    else if (manner === 'error') send(500, '{"error":"server_error"}')
    else if (manner === 'garbage') send(200, '<html><body>please sign in</body></html>')
    else if (manner === 'wrong-json') send(200, '{"active":"true","keys":"none"}')
    else if (manner === 'empty-set') send(200, '{"keys":[]}')
    else if (manner === 'huge') send(200, Buffer.alloc(hugeBytes, ' '))
  }, tls)
  return server.then((running) => ({
    ...running,
    behave(next) {
      manner = next
    },
  }))
}

async function startServer(handle: RequestListener, tls?: ServerOptions): Promise<Spoilable> {
  const sockets = new Set<Socket>()
  let requests = 0
  let port = 0
  let server: Server | undefined
  const listen = async () => {
    const next = tls === undefined ? createServer(handle) : createTlsServer(tls, handle)
    server = next
    next.keepAliveTimeout = 60_000
    next.on('request', () => requests++)
    next.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    await new Promise<void>((resolve) => next.listen(port, '127.0.0.1', resolve))
    port = (next.address() as AddressInfo).port
  }
  await listen()
  const end = () =>
    new Promise<void>((resolve) => {
      server?.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  return {
    port,
    requests: () => requests,
    behave() {
      throw new Error('this server cannot be spoiled')
    },
    stop: end,
    resume: listen,
    close: () => void end(),
  }
}
