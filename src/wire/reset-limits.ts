/**
 * How many streams a connection may reset. Node ends a connection after a thousand at once, 33 a second from then on
 * (CVE-2023-44487), and with it every check that is in flight there. But a connection is an Envoy worker's, for all of its
 * clients: each request that a client gives up while it is judged comes as a reset, and so does each check that Envoy
 * no longer waits for. So the limit is set by what a process answers, not by what one client would have to reset.
 */

import type { ServerOptions } from 'node:http2'
import type { Server } from '@grpc/grpc-js'

export interface ResetLimits {
  /** At once, and again and again. */
  readonly burst: number
  readonly perSecond: number
}

/** Where grpc-js 1.14 keeps the options of its HTTP/2 servers. No part of its interface: hence the check below. */
interface Seam {
  readonly commonServerOptions?: ServerOptions
}

/** Before the server is bound. False where this grpc-js has no such place: then Node's own limits hold. */
export function limitResets(server: Server, { burst, perSecond }: ResetLimits): boolean {
  const { commonServerOptions } = server as unknown as Seam
  if (typeof commonServerOptions !== 'object') return false
  // One without the other is without effect (Node, http2.createServer).
  Object.assign(commonServerOptions, { streamResetBurst: burst, streamResetRate: perSecond })
  return true
}
