/** The admin and the probe listener: health, metrics, and for operators the policy in force and the rollout report. GET only; nothing here changes anything or tells a secret. */

import { createServer, type ServerResponse } from 'node:http'
import { listen } from './listen.ts'

export interface Page {
  readonly status?: number
  readonly contentType: string
  readonly body: string
  readonly headers?: { readonly [name: string]: string }
}

/** Makes a page when it is asked for. */
export type PageMaker = () => Page | Promise<Page>

export interface AdminServer {
  readonly address: string
  close(): void
}

/** The default would look for requests that are too slow only every 30 s. */
const limits = { requestTimeout: 5000, connectionsCheckingInterval: 1000 }
/** They share file descriptors with Envoy's. */
const maxConnections = 64

export function jsonPage(value: object, status = 200): Page {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` }
}

/**
 * @param address `host:port`.
 * @param pages By path.
 */
export async function startAdmin(
  address: string,
  pages: ReadonlyMap<string, PageMaker>,
  onError: (error: unknown) => void,
): Promise<AdminServer> {
  const known = `there is ${[...pages.keys()].join(', ')}`
  const server = createServer(limits, (request, response) => {
    if (request.method !== 'GET')
      return send(response, jsonPage({ error: 'only GET is taken here' }, 405))
    const make = pages.get(request.url?.split('?', 1)[0] ?? '')
    if (make === undefined) return send(response, jsonPage({ error: known }, 404))
    return void (async () => send(response, await make()))().catch((error) => {
      onError(error)
      send(response, jsonPage({ error: 'the page could not be made' }, 500))
    })
  })
  server.maxConnections = maxConnections
  return {
    address: await listen(server, address),
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function send(response: ServerResponse, { status = 200, contentType, body, headers }: Page): void {
  response.writeHead(status, {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  })
  response.end(body)
}
