/** One request through Envoy, over connections that are kept: for each certificate an agent of its own. */

import { Agent, request } from 'node:https'
import { type Cast, known } from './cast.ts'
import type { Wire } from './craft.ts'
import { failureModeHeader, secret } from './servers.ts'

export type Outcome =
  | {
      readonly kind: 'answered'
      readonly status: number
      /** The backend's secret was in the answer. */
      readonly opened: boolean
      /** Nobody judged it: Envoy let it pass because of failure_mode_allow. */
      readonly unjudged: boolean
      /** Of a refusal by meshbind, or ''. */
      readonly reason: string
      readonly milliseconds: number
    }
  | {
      readonly kind: 'unanswered' | 'broken'
      readonly error: string
      readonly milliseconds: number
    }

export interface Sender {
  send(wire: Wire, port: number): Promise<Outcome>
  /** Ends the kept connections of a certificate: the next request shows the one that it has by then. */
  forget(holder: string): void
  close(): void
}

const maxConnections = 64

/** @param answerLimitMs Longer than this is no answer. */
export function createSender(cast: Cast, answerLimitMs: number): Sender {
  const agents = new Map<string, Agent>()
  const agentOf = (holder: string | undefined) => {
    const name = holder ?? ''
    const kept = agents.get(name)
    if (kept !== undefined) return kept
    const leaf = holder === undefined ? undefined : known(cast.leaves, holder)
    const agent = new Agent({
      keepAlive: true,
      maxSockets: maxConnections,
      ca: cast.authority.certificatePem,
      servername: 'localhost',
      ...(leaf === undefined ? {} : { cert: leaf.pem, key: leaf.keyPem }),
    })
    agents.set(name, agent)
    return agent
  }
  return {
    send: (wire, port) => exchange(wire, port, agentOf(wire.holder), answerLimitMs),
    forget(holder) {
      agents.get(holder)?.destroy()
      agents.delete(holder)
    },
    close() {
      for (const agent of agents.values()) agent.destroy()
    },
  }
}

function exchange(wire: Wire, port: number, agent: Agent, limitMs: number): Promise<Outcome> {
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const milliseconds = () => performance.now() - startedAt
    const fail = (kind: 'unanswered' | 'broken', error: string) =>
      resolve({ kind, error, milliseconds: milliseconds() })
    const { method, path } = wire
    const headers = wire.headers.flat()
    const options = { host: '127.0.0.1', port, agent, method, path, headers }
    const outgoing = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', (error) => fail('broken', error.message))
      response.once('end', () => {
        clearTimeout(timer)
        const body = Buffer.concat(chunks).toString('utf8')
        resolve({
          kind: 'answered',
          status: response.statusCode ?? 0,
          opened: body.includes(secret),
          unjudged: response.headers[failureModeHeader] !== undefined,
          reason: reasonIn(body),
          milliseconds: milliseconds(),
        })
      })
    })
    const timer = setTimeout(() => {
      fail('unanswered', `no answer within ${limitMs} ms`)
      outgoing.destroy()
    }, limitMs)
    outgoing.once('error', (error) => {
      clearTimeout(timer)
      fail('broken', error.message)
    })
    outgoing.end()
  })
}

function reasonIn(body: string): string {
  try {
    return String(JSON.parse(body).code ?? '')
  } catch {
    return ''
  }
}
