/** The gRPC server: checks and health on every address, and a drain that ends in time. */

import type { Duplex } from 'node:stream'
import {
  type ChannelOptions,
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  setLogVerbosity,
} from '@grpc/grpc-js'
import { endsWithin } from '../time-limit.ts'
import type { TlsFiles } from '../tls-files.ts'
import { fromGrpcJs } from './check-call.ts'
import { takeCallsDirectly } from './direct-calls.ts'
import { createCheckHandler, type HandlerOptions, maxQuestionBytes } from './handler.ts'
import { createHealth } from './health.ts'
import { listen } from './listen.ts'
import { authorizationService, healthService } from './proto.ts'
import { limitResets } from './reset-limits.ts'
import { createTlsCredentials } from './tls.ts'

export interface ServerOptions extends HandlerOptions {
  readonly addresses: readonly string[]
  /** Undefined: plaintext. The files are read again when they change. */
  readonly tls: TlsFiles | undefined
  /** TLS files that changed and cannot be used: the last good ones stay. */
  readonly onTlsProblem: (message: string | undefined) => void
  /** A connection is told to go after this long, give or take a tenth. Undefined: never. */
  readonly maxConnectionAgeMs?: number | undefined
}

export interface AuthorizationServer {
  /** The addresses, with the ports that were chosen. */
  readonly addresses: readonly string[]
  inFlight(): number
  /** A connection that another process has accepted. */
  take(connection: Duplex): void
  setServing(serving: boolean): void
  /** NOT_SERVING, GOAWAY, then waits for what is in flight, `limitMs` at the most. */
  drain(limitMs: number): Promise<void>
}

type GrpcCall = ServerUnaryCall<Buffer, Buffer>

/** All that it answers in a second, given up at once; and a good part of it for as long as that goes on. */
const resetBurstShare = 16
const resetRateShare = 4

/** grpc-js ends what is in flight at the limit; this much later it is ended here. */
const graceMs = 100

/**
 * How long a connection stays for what is in flight once it has been told to go: a check is answered within its
 * deadline, so this is only what ends a stream that would never end by itself, such as a watch of the health service,
 * which its client then begins anew elsewhere. As long as `--drain` is by default.
 */
const leastConnectionGraceMs = 10_000

/** grpc-js would write to standard error what is reported with a fix elsewhere. */
setLogVerbosity(logVerbosity.NONE)

export async function startServer(options: ServerOptions): Promise<AuthorizationServer> {
  const server = new Server({
    // Beyond this grpc-js refuses what direct-calls.ts leaves to it, which is a gRPC error.
    'grpc.max_receive_message_length': maxQuestionBytes,
    // Nothing reads channelz here, and its bookkeeping costs part of every call.
    'grpc.enable_channelz': 0,
    // Half of them may wait for what is in flight on other connections; nobody opens streams without end.
    'grpc.max_concurrent_streams': 2 * options.maxInFlight,
    ...connectionAge(options),
  })
  limitResets(server, {
    burst: resetBurstShare * options.maxInFlight,
    perSecond: resetRateShare * options.maxInFlight,
  })
  const health = createHealth()
  const handler = createCheckHandler(options)
  server.addService(authorizationService, {
    Check: (call: GrpcCall, callback: sendUnaryData<Buffer>) =>
      handler.handle(fromGrpcJs(call, callback)),
  })
  takeCallsDirectly(server, {
    path: authorizationService.Check.path,
    maxMessageBytes: maxQuestionBytes,
    handle: handler.handle,
    waitMs: options.deadlineMs,
    maxWaiting: options.maxInFlight,
    clock: options.clock,
  })
  server.addService(healthService, health.implementation)
  const tls =
    options.tls === undefined
      ? undefined
      : await createTlsCredentials(options.tls, options.onTlsProblem)
  const credentials = tls?.credentials ?? ServerCredentials.createInsecure()
  const addresses: string[] = []
  for (const address of options.addresses)
    addresses.push(await listen(server, address, credentials))
  let injector: ReturnType<Server['createConnectionInjector']> | undefined
  const taken = new Set<Duplex>()
  return {
    addresses,
    inFlight: handler.inFlight,
    take(connection) {
      taken.add(connection)
      connection.once('close', () => taken.delete(connection))
      injector ??= server.createConnectionInjector(credentials)
      injector.injectConnection(connection)
    },
    setServing: health.setServing,
    async drain(limitMs) {
      health.setServing(false)
      tls?.close()
      for (const address of addresses) server.drain(address, limitMs)
      injector?.drain(limitMs)
      const shutDown = Promise.all([
        new Promise<void>((resolve) => server.tryShutdown(() => resolve())),
        // Of these it waits for none.
        ...[...taken].map((connection) => closeOf(connection)),
      ])
      // A connection that never became HTTP/2, TLS towards a plaintext port, keeps it waiting for ever.
      await endsWithin(limitMs + graceMs, shutDown, { ref: false })
      server.forceShutdown()
    },
  }
}

/** However it closes: one that is reset must not end the wait for the others. */
function closeOf(connection: Duplex): Promise<void> {
  return new Promise((resolve) => connection.once('close', () => resolve()))
}

/**
 * An Envoy keeps its connections for as long as they last, so replicas that come later would get nothing. grpc-js moves
 * each age by up to a tenth at random: connections that came together, after a restart, do not go together.
 *
 * Not without loss, and therefore off by default: a check that was sent before its Envoy read the GOAWAY is refused as
 * a stream (RFC 9113 §6.8 would have a server go on taking streams for a round trip; Node's HTTP/2 cannot).
 */
function connectionAge({ maxConnectionAgeMs, deadlineMs }: ServerOptions): ChannelOptions {
  if (maxConnectionAgeMs === undefined) return {}
  return {
    'grpc.max_connection_age_ms': maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': Math.max(leastConnectionGraceMs, deadlineMs),
  }
}
