/** The pieces of the demo's story: a row is one call and what must come of it. */

import { type Answer, call } from '../test/support/mesh.ts'
import type { Leaf } from '../test/support/pki.ts'
import { orders, type Stage } from './stage.ts'

export interface Row {
  readonly who: string
  readonly what: string
  readonly status: number
  /** '' for an allow, and for a refusal by Envoy itself; in brackets where it is recorded and not enforced. */
  readonly reason: string
  readonly send: () => Promise<Answer>
}

export interface Chapter {
  readonly title: string
  readonly rows: readonly Row[]
}

export const row = (
  who: string,
  what: string,
  status: number,
  reason: string,
  send: Row['send'],
): Row => ({ who, what, status, reason, send })

export interface Sent {
  readonly token?: string
  readonly scheme?: string
  readonly path?: string
  readonly headers?: { readonly [name: string]: string }
  readonly through?: 'gateway'
}

/** A call as a workload, or as a client without certificate. */
export function post(stage: Stage, as: Leaf | undefined, sent: Sent = {}): Promise<Answer> {
  const { token, scheme = 'Bearer', path = '/v1/payments', headers, through } = sent
  return call({
    port: through === 'gateway' ? stage.gatewayPort : stage.port,
    authority: stage.authority,
    as,
    path,
    headers: { ...(token && { authorization: `${scheme} ${token}` }), ...headers },
  })
}

export function boundTo({ issuer }: Stage, leaf: Leaf, claims: object = {}): Promise<string> {
  const cnf = { 'x5t#S256': leaf.x5tS256 }
  return issuer.sign({ sub: orders, scope: 'payments.write', cnf, ...claims })
}
