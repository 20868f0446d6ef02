/** Decision log lines and observations for the rollout report's tests: one allowed check in audit, unless told otherwise. */

import type { Observation } from '../../src/observe/rollout.ts'

export const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
export const thief = 'spiffe://mesh.example/ns/web/sa/blog'
export const dayMs = 86_400_000
/** 2026-11-22T08:00:00Z */
export const start = Date.UTC(2026, 10, 22, 8)

export function observation(changes: Partial<Observation> = {}): Observation {
  const denied = changes.reason !== undefined && changes.reason !== null
  return {
    time: start,
    route: 'payments',
    mode: 'audit',
    decision: denied ? 'deny' : 'allow',
    enforced: changes.mode === 'enforce',
    reason: null,
    presenter: orders,
    issuer: 'corp',
    method: denied ? null : 'x5t#S256',
    revision: 'aaaaaaaaaaaaaaaa',
    withheld: null,
    ...changes,
  }
}

/** The line that the decision log would hold, with what the report does not need left out of sight. */
export function logLine(changes: Partial<Observation> = {}, members: object = {}): string {
  const { time, presenter, issuer, revision, ...rest } = observation(changes)
  return JSON.stringify({
    v: 1,
    time: new Date(time).toISOString(),
    type: 'decision',
    ...rest,
    policy_revision: revision,
    presenter: presenter && { spiffe_id: presenter, x5t_s256: null, evidence: 'certificate' },
    token: issuer && { issuer, subject: 's' },
    ...members,
  })
}

/** `count` checks evenly spread over a day, the first at its start and the last at its end. */
export function dayOf(count: number, changes: Partial<Observation> = {}): Observation[] {
  return Array.from({ length: count }, (_, i) =>
    observation({ ...changes, time: start + Math.round((i * dayMs) / Math.max(1, count - 1)) }),
  )
}
