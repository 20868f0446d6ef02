/** Fetches a small JSON document over https: bounded in time and size, no redirects, never from a link-local address. */

import { lookup as resolveHost } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { addressProblem, literalAddressProblem } from './url.ts'

export interface FetchedDocument {
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

const defaultTimeoutMs = 5000
const defaultMaxBytes = 512 * 1024

/**
 * The body and `max-age` of a 200 answer. Rejects with a message that names no more than the failure: redirects,
 * other statuses, too large, too slow, wrong address. `http:` reaches loopback addresses only.
 */
export function fetchDocument(url: URL, options: FetchOptions = {}): Promise<FetchedDocument> {
  const { ca, timeoutMs = defaultTimeoutMs, maxBytes = defaultMaxBytes } = options
  const problem = literalAddressProblem(url)
  if (problem !== undefined) return Promise.reject(new Error(`the URL ${problem}`))
  return new Promise((resolve, reject) => {
    const client = url.protocol === 'https:' ? https : http
    const request = client.get(url, {
      ...(ca === undefined ? {} : { ca }),
      agent: false,
      headers: { accept: options.accept ?? 'application/json' },
      lookup: guardedLookup(url.protocol),
      signal: AbortSignal.any([
        AbortSignal.timeout(timeoutMs),
        ...(options.signal === undefined ? [] : [options.signal]),
      ]),
    })
    request.once('error', (error) => reject(new Error(describe(error, timeoutMs))))
    // An answer such as 101 gives neither a response nor an error.
    const unanswered = () => reject(new Error('the connection ended without an answer'))
    request.once('close', unanswered)
    request.once('response', (response) => {
      request.off('close', unanswered)
      if (response.statusCode !== 200) {
        request.destroy()
        reject(
          new Error(`answered ${response.statusCode}; 200 is needed, redirects are not followed`),
        )
        return
      }
      const tooLarge = `the document is over ${maxBytes} bytes`
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size > maxBytes) request.destroy(new Error(tooLarge))
      })
      response.once('error', (error) => reject(new Error(describe(error, timeoutMs))))
      response.once('close', () => {
        if (!response.complete) reject(new Error('the answer was cut off'))
      })
      response.once('end', () => {
        if (size > maxBytes) return reject(new Error(tooLarge))
        return resolve({
          bytes: Buffer.concat(chunks),
          maxAgeSeconds: maxAgeOf(response.headers['cache-control']),
        })
      })
    })
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

function describe(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError' || error.name === 'AbortError')
    return `no answer within ${timeoutMs} ms`
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
