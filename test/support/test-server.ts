/** The kit's ext_authz server in this process, with what the tests of the wire have in common. */

import { denyOutright } from '../../src/decision/decision.ts'
import { type AuthorizationServer, type ServerOptions, startServer } from '../../src/wire/server.ts'
import { judgeBy } from './judge.ts'

/** Denies each question with `route_unmatched`. The caller drains it. */
export function startTestServer(
  options: Partial<ServerOptions> = {},
): Promise<AuthorizationServer> {
  return startServer({
    addresses: ['127.0.0.1:0'],
    tls: undefined,
    judge: judgeBy(async () => denyOutright('route_unmatched')),
    onDecision: () => {},
    onError: () => {},
    onTlsProblem: () => {},
    deadlineMs: 1000,
    maxInFlight: 16,
    clock: { now: Date.now, monotonic: () => performance.now() },
    ...options,
  })
}
