/** The kit's introspection endpoint: counts what it is asked, and answers as it is told, in time, late, broken or never. */

import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { ExecutionContext } from 'ava'

export interface Call {
  readonly method: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly form: URLSearchParams
  /** The `token` parameter. */
  readonly token: string
  /** SHA-256 of the client's certificate; undefined where it showed none. */
  readonly certificate: string | undefined
  /** Counts the connections. */
  readonly connection: number
}

/** An object is sent as JSON; `hang` never answers; `reset` cuts the connection. */
export type Reply =
  | { readonly json: object }
  | {
      readonly status?: number
      readonly headers?: { readonly [name: string]: string }
      readonly body?: string | Buffer
      /** Of `body`, after which the connection ends. */
      readonly cutAfter?: number
    }
  | 'hang'
  | 'reset'

export interface TestIntrospector {
  readonly url: string
  readonly calls: readonly Call[]
  /** Those of one token. */
  callsFor(token: string): number
  /** From now on. */
  answer(reply: (call: Call) => Reply | Promise<Reply>): void
  /** Ends all connections, and keeps listening. */
  cut(): void
  /** Connections that are open now. */
  open(): Promise<number>
  /** Resolves once that many calls have arrived. */
  arrived(count: number): Promise<void>
  close(): void
}

export interface TestIntrospectorOptions {
  readonly tls?: https.ServerOptions
}

export async function startIntrospector(
  t: Pick<ExecutionContext, 'teardown'>,
  { tls }: TestIntrospectorOptions = {},
): Promise<TestIntrospector> {
  const calls: Call[] = []
  const sockets: Socket[] = []
  const waiting: { readonly count: number; readonly resolve: () => void }[] = []
  let answer: (call: Call) => Reply | Promise<Reply> = () => ({ json: { active: false } })

  const handle: http.RequestListener = async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const form = new URLSearchParams(body)
    const peer = (request.socket as Partial<TLSSocket>).getPeerCertificate?.()
    const call: Call = {
      method: request.method ?? '',
      headers: request.headers,
      body,
      form,
      token: form.get('token') ?? '',
      certificate: peer?.fingerprint256,
      connection: sockets.indexOf(request.socket),
    }
    calls.push(call)
    for (const { count, resolve } of waiting) if (calls.length >= count) resolve()
    send(response, await answer(call))
  }
  const server = tls === undefined ? http.createServer(handle) : https.createServer(tls, handle)
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket) => sockets.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  t.teardown(close)
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/introspect`,
    calls,
    callsFor: (token) => calls.filter((call) => call.token === token).length,
    answer(reply) {
      answer = reply
    },
    cut: () => server.closeAllConnections(),
    open: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
      }),
    arrived: (count) =>
      new Promise((resolve) => {
        waiting.push({ count, resolve })
        if (calls.length >= count) resolve()
      }),
    close,
  }
}

function send(response: http.ServerResponse, reply: Reply): void {
  if (reply === 'hang') return
  if (reply === 'reset') {
    ;(response.socket as Socket | null)?.resetAndDestroy()
    return
  }
  if ('json' in reply) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply.json))
    return
  }
  const { status = 200, headers = {}, body = '', cutAfter } = reply
  response.writeHead(status, headers)
  if (cutAfter === undefined) response.end(body)
  else response.write(body.slice(0, cutAfter), () => response.destroy())
}

/** A gate that many replies wait at until it is opened. */
export function createGate(): { readonly passed: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { passed: promise, open: resolve }
}
