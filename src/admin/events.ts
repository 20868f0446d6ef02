/** The listener for revocation events: security event tokens pushed over HTTP (RFC 8935), `POST /events/<name>` and nothing else. */

import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import { type RotatingTls, rotateTls, type TlsFiles } from '../tls-files.ts'
import { listen } from './listen.ts'

/** What a stream makes of a SET; `token/security-event.ts` reads one. */
export type ReadEvent<Revocation> =
  | { readonly revocations: readonly Revocation[] }
  | { readonly err: string; readonly description: string }
  | 'unavailable'

export interface EventReader<Revocation> {
  read(text: string): Promise<ReadEvent<Revocation>>
}

export interface EventOutcome {
  /** Its name in the policy. */
  readonly stream: string
  readonly result: 'accepted' | 'refused' | 'unavailable'
  /** RFC 8935 §2.4, where it was refused. */
  readonly err?: string
  /** How many were stored. */
  readonly revocations: number
}

export interface EventsOptions<Revocation> {
  /** `host:port`. */
  readonly address: string
  readonly tls: TlsFiles | undefined
  /** By name; asked for each event, since the policy may have changed. */
  readonly streams: () => ReadonlyMap<string, EventReader<Revocation>>
  /** Resolves once they are in force, or cannot be made so. Storing them twice is storing them once. */
  readonly persist: (revocations: readonly Revocation[]) => Promise<'stored' | 'unavailable'>
  readonly onEvent: (outcome: EventOutcome) => void
  /** TLS files that were changed cannot be used: the ones before stay. */
  readonly onTlsProblem: (message: string | undefined) => void
}

export interface EventsServer {
  readonly address: string
  close(): void
}

const maxBodyBytes = 64 * 1024
const limitMs = 5000
const maxConnections = 64
const minVersion = 'TLSv1.2' as const
const mediaType = 'application/secevent+jwt'
/** By then unknown keys have been fetched (`unknownKeyCooldownSeconds`). */
const retryAfterSeconds = '10'

interface Answer {
  readonly status: number
  readonly headers?: http.OutgoingHttpHeaders
  readonly error?: { readonly err: string; readonly description: string }
  /** How many were stored. */
  readonly revocations?: number
}

/** A transmitter comes back after a 503 (RFC 9110 §15.6.4), but gives up after a 400. */
const unavailable: Answer = { status: 503, headers: { 'retry-after': retryAfterSeconds } }

export async function startEvents<Revocation>(
  options: EventsOptions<Revocation>,
): Promise<EventsServer> {
  const answer = (request: IncomingMessage, response: ServerResponse) =>
    respond(request, response, options).catch(() => response.destroy())
  // The default would look for requests that are too slow only every 30 s.
  const limits = { requestTimeout: limitMs, connectionsCheckingInterval: 1000 }
  const tls = options.tls && (await rotateTls(options.tls, options.onTlsProblem))
  const server = tls === undefined ? http.createServer(limits, answer) : secure(tls)

  function secure({ first, follow }: RotatingTls): http.Server {
    const requireClient = first.ca !== undefined
    const clients = { requestCert: requireClient, rejectUnauthorized: requireClient }
    const settings = { ...limits, ...clients, ...first, minVersion, handshakeTimeout: limitMs }
    const secured = https.createServer(settings, answer)
    follow((texts) => secured.setSecureContext({ ...texts, minVersion }))
    return secured
  }

  server.maxConnections = maxConnections
  try {
    const address = await listen(server, options.address)
    return {
      address,
      close: () => {
        tls?.close()
        server.close()
        server.closeAllConnections()
      },
    }
  } catch (error) {
    tls?.close()
    throw error
  }
}

/** Nothing that came with the request is said again. */
async function respond<Revocation>(
  request: IncomingMessage,
  response: ServerResponse,
  options: EventsOptions<Revocation>,
): Promise<void> {
  const { status, headers, error } = await answerTo(request, options)
  const body = error === undefined ? '' : `${JSON.stringify(error)}\n`
  const described = { 'content-type': 'application/json', 'content-language': 'en' }
  response.writeHead(status, {
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(error === undefined ? {} : described),
    // What is left of a body must not be taken for the next request.
    ...(request.complete ? {} : { connection: 'close' }),
    ...headers,
  })
  response.end(body)
}

async function answerTo<Revocation>(
  request: IncomingMessage,
  options: EventsOptions<Revocation>,
): Promise<Answer> {
  const name = /^\/events\/([a-z0-9-]{1,63})$/.exec(request.url ?? '')?.[1]
  const stream = name === undefined ? undefined : options.streams().get(name)
  if (name === undefined || stream === undefined) return { status: 404 }
  if (request.method !== 'POST') return { status: 405, headers: { allow: 'POST' } }
  const answer = await receive(request, stream, options.persist).catch(() => unavailable)
  const { status, error, revocations = 0 } = answer
  const result = status === 202 ? 'accepted' : status === 503 ? 'unavailable' : 'refused'
  options.onEvent({ stream: name, result, revocations, ...(error && { err: error.err }) })
  return answer
}

async function receive<Revocation>(
  request: IncomingMessage,
  stream: EventReader<Revocation>,
  persist: EventsOptions<Revocation>['persist'],
): Promise<Answer> {
  if (request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() !== mediaType)
    return refuse('invalid_request', `the content type must be ${mediaType}`)
  const text = await readBody(request)
  if (typeof text !== 'string') return text
  const event = await stream.read(text)
  if (event === 'unavailable') return unavailable
  if ('err' in event) return refuse(event.err, event.description)
  // RFC 8935 §2.2: acknowledged once it is stored. A SET that comes again is answered as if it were new.
  const { revocations } = event
  if (revocations.length > 0 && (await persist(revocations)) !== 'stored') return unavailable
  return { status: 202, revocations: revocations.length }
}

/** RFC 8935 §2.3. */
function refuse(err: string, description: string, status = 400): Answer {
  return { status, error: { err, description } }
}

async function readBody(request: IncomingMessage): Promise<string | Answer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    // Not destroyed on the way out: the answer still has to go over the same connection.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += chunk.length
      if (size > maxBodyBytes) return refuse('invalid_request', 'the body is too large', 413)
      chunks.push(chunk)
    }
  } catch {
    return refuse('invalid_request', 'the body was cut off') // nobody is there to read it
  }
  return Buffer.concat(chunks).toString('latin1')
}
