/** Asks for a small document over https, by GET or by a form: bounded in time and size, no redirects, never from a link-local address. */

import { lookup as resolveHost } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { addressProblem, literalAddressProblem } from './url.ts'

export interface FetchedDocument {
  /** 200, or another one that was asked for. */
  readonly status?: number
  readonly bytes: Uint8Array
  /** HTTP `max-age`, if the server gave one. */
  readonly maxAgeSeconds?: number | undefined
}

export interface FetchOptions {
  /** PEM bundle that replaces the system's trust store for this URL. */
  readonly ca?: string | undefined
  readonly timeoutMs?: number
  readonly maxBytes?: number
  /** Gives the request up. */
  readonly signal?: AbortSignal | undefined
  /** Media type to ask for. */
  readonly accept?: string
}

export interface PostOptions extends FetchOptions {
  readonly headers?: { readonly [name: string]: string }
  /** PEM: what the client shows of itself. */
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined
  /** Keeps connections for the next request. */
  readonly agent: http.Agent
  /** Answers whose body says something, beside 200. */
  readonly statuses?: readonly number[]
}

/** Why there is no document. The message names no more than that. */
export class FetchFailure extends Error {
  /** `body`: what was answered cannot be used. */
  readonly kind: 'timeout' | 'status' | 'body' | 'connection'
  readonly status: number | undefined
  /** A kept connection had been closed already: nothing was answered on it. */
  readonly stale: boolean

  constructor(
    kind: FetchFailure['kind'],
    message: string,
    { status, stale = false }: { status?: number; stale?: boolean } = {},
  ) {
    super(message)
    this.kind = kind
    this.status = status
    this.stale = stale
  }
}

const defaultTimeoutMs = 5000
const defaultMaxBytes = 512 * 1024

/**
 * The body and `max-age` of a 200 answer. Rejects with a `FetchFailure`: redirects, other statuses, too large, too
 * slow, wrong address. `http:` reaches loopback addresses only.
 */
export function fetchDocument(url: URL, options: FetchOptions = {}): Promise<FetchedDocument> {
  return send(url, { method: 'GET', agent: false }, options, limitOf(options))
}

/**
 * The same for a form (application/x-www-form-urlencoded). Where a kept connection turns out to be closed it is sent
 * once more on a new one, so what it asks for must bear being asked twice.
 */
export async function postForm(
  url: URL,
  form: string,
  options: PostOptions,
): Promise<FetchedDocument> {
  const { agent, certificate } = options
  const headers = {
    ...options.headers,
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': Buffer.byteLength(form),
    'accept-encoding': 'identity',
  }
  const statuses = [200, ...(options.statuses ?? [])]
  const exchange = { method: 'POST', agent, statuses, headers, body: form, ...certificate } as const
  const limit = limitOf(options)
  return send(url, exchange, options, limit).catch((error) => {
    if (!(error instanceof FetchFailure && error.stale)) throw error
    return send(url, { ...exchange, agent: false }, options, limit)
  })
}

interface Exchange {
  readonly method: 'GET' | 'POST'
  readonly agent: http.Agent | false
  /** Those that are read. */
  readonly statuses?: readonly number[]
  readonly headers?: { readonly [name: string]: string | number }
  readonly body?: string
  readonly cert?: string
  readonly key?: string
}

function limitOf({ timeoutMs = defaultTimeoutMs, signal }: FetchOptions): AbortSignal {
  return AbortSignal.any([
    AbortSignal.timeout(timeoutMs),
    ...(signal === undefined ? [] : [signal]),
  ])
}

function send(
  url: URL,
  { headers, body, statuses = [200], ...connection }: Exchange,
  options: FetchOptions,
  limit: AbortSignal,
): Promise<FetchedDocument> {
  const { ca, timeoutMs = defaultTimeoutMs, maxBytes = defaultMaxBytes } = options
  const problem = literalAddressProblem(url)
  if (problem !== undefined)
    return Promise.reject(new FetchFailure('connection', `the URL ${problem}`))
  return new Promise((resolve, reject) => {
    const client = url.protocol === 'https:' ? https : http
    const fail = (...why: ConstructorParameters<typeof FetchFailure>) =>
      reject(new FetchFailure(...why))
    const ask = () =>
      client.request(url, {
        ...connection,
        ...(ca === undefined ? {} : { ca }),
        headers: { accept: options.accept ?? 'application/json', ...headers },
        lookup: guardedLookup(url.protocol),
        signal: limit,
      })
    let request: http.ClientRequest
    try {
      request = ask()
    } catch (error) {
      // A PEM that is none: thrown at once, not told as an event.
      return reject(failureOf(error as Error, timeoutMs, false))
    }
    request.once('error', (error) => {
      const stale = request.reusedSocket && 'code' in error && error.code === 'ECONNRESET'
      reject(failureOf(error, timeoutMs, stale))
    })
    // An answer such as 101 gives neither a response nor an error.
    const unanswered = () => fail('connection', 'the connection ended without an answer')
    request.once('close', unanswered)
    request.once('response', (response) => {
      request.off('close', unanswered)
      const status = response.statusCode ?? 0
      if (!statuses.includes(status)) {
        request.destroy()
        const message = `answered ${status}; 200 is needed, redirects are not followed`
        return fail('status', message, { status })
      }
      const tooLarge = new FetchFailure('body', `the document is over ${maxBytes} bytes`)
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size > maxBytes) request.destroy(tooLarge)
      })
      response.once('error', (error) => reject(failureOf(error, timeoutMs, false)))
      response.once('close', () => {
        if (!response.complete) fail('body', 'the answer was cut off')
      })
      response.once('end', () => {
        if (size > maxBytes) return reject(tooLarge)
        return resolve({
          status,
          bytes: Buffer.concat(chunks),
          maxAgeSeconds: maxAgeOf(response.headers['cache-control']),
        })
      })
    })
    request.end(body)
  })
}

/** Addresses are judged when they are resolved, so that a name cannot point somewhere else later (DNS rebinding). */
function guardedLookup(protocol: string): LookupFunction {
  return (hostname, options, callback) => {
    resolveHost(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0)
      const usable = found.filter(({ address }) => addressProblem(address, protocol) === undefined)
      const [first] = usable
      if (first === undefined) {
        return callback(new Error('the name resolves to no address that may be used'), '', 0)
      }
      return options.all === true
        ? callback(null, usable)
        : callback(null, first.address, first.family)
    })
  }
}

function maxAgeOf(cacheControl: string | undefined): number | undefined {
  const digits = /(?:^|[,\s])max-age=(\d{1,10})(?:$|[,\s])/i.exec(cacheControl ?? '')?.[1]
  return digits === undefined ? undefined : Number(digits)
}

function failureOf(error: Error, timeoutMs: number, stale: boolean): FetchFailure {
  if (error instanceof FetchFailure) return error
  if (error.name === 'TimeoutError' || error.name === 'AbortError')
    return new FetchFailure('timeout', `no answer within ${timeoutMs} ms`)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.message
  return new FetchFailure('connection', code, { stale })
}
