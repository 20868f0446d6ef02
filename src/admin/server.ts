/** The admin listener: health over HTTP for probes. GET only; nothing here changes anything or tells a secret. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Readiness {
  readonly ready: boolean
  /** What is still missing, in words; empty when ready. */
  readonly waitingFor: readonly string[]
  readonly policy: {
    readonly name: string
    readonly revision: string
    /** RFC 3339. */
    readonly loaded_at: string
    /** Why what is on disk is not what is in force. */
    readonly problem: string | null
  }
}

export interface AdminServer {
  readonly address: string
  close(): void
}

/** @param address `host:port`. */
export async function startAdmin(
  address: string,
  readiness: () => Readiness,
): Promise<AdminServer> {
  const { hostname, port } = new URL(`http://${address}`)
  const server = createServer((request, response) => {
    const send = (status: number, body: object) => {
      response.writeHead(status, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
      })
      response.end(`${JSON.stringify(body)}\n`)
    }
    const path = request.url?.split('?', 1)[0]
    if (request.method !== 'GET') return send(405, { error: 'only GET is taken here' })
    if (path === '/livez') return send(200, { live: true })
    if (path === '/readyz') {
      const state = readiness()
      return send(state.ready ? 200 : 503, state)
    }
    return send(404, { error: 'there is /livez and /readyz' })
  })
  server.requestTimeout = 5000
  server.maxRequestsPerSocket = 100
  await listenOn(
    server,
    hostname.replace(/^\[|\]$/g, ''),
    Number(port === '' ? '80' : port),
    address,
  )
  const bound = server.address() as AddressInfo
  return {
    address: `${hostname}:${bound.port}`,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function listenOn(server: Server, host: string, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Stays for good: a connection that cannot be accepted later must not end the process.
    server.on('error', (error) =>
      reject(new Error(`cannot listen on ${address}: ${error.message}`)),
    )
    server.listen(port, host, resolve)
  })
}
