/** The gRPC server: checks and health on every address, and a drain that ends in time. */

import { experimental, Server, ServerCredentials } from '@grpc/grpc-js'
import { createCheckHandler, type HandlerOptions } from './handler.ts'
import { createHealth } from './health.ts'
import { listen } from './listen.ts'
import { authorizationService, healthService } from './proto.ts'

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  /** Set: clients must present a certificate that this bundle verifies. */
  readonly clientCa: string | undefined
}

export interface ServerOptions extends HandlerOptions {
  readonly addresses: readonly string[]
  /** Undefined: plaintext. The files are read again when they change. */
  readonly tls: TlsFiles | undefined
}

export interface AuthorizationServer {
  /** The addresses, with the ports that were chosen. */
  readonly addresses: readonly string[]
  inFlight(): number
  setServing(serving: boolean): void
  /** NOT_SERVING, GOAWAY, then waits for what is in flight, `limitMs` at the most. */
  drain(limitMs: number): Promise<void>
}

/** Envoy's largest header block is 60 KiB by default; a question with a body is not expected. */
const maxMessageBytes = 256 * 1024
const tlsRefreshMs = 2000

export async function startServer(options: ServerOptions): Promise<AuthorizationServer> {
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    // Nothing reads channelz here, and its bookkeeping costs part of every call.
    'grpc.enable_channelz': 0,
  })
  const health = createHealth()
  const handler = createCheckHandler(options)
  server.addService(authorizationService, { Check: handler.handle })
  server.addService(healthService, health.implementation)
  const credentials =
    options.tls === undefined ? ServerCredentials.createInsecure() : watchTls(options.tls)
  const addresses: string[] = []
  for (const address of options.addresses)
    addresses.push(await listen(server, address, credentials))
  return {
    addresses,
    inFlight: handler.inFlight,
    setServing: health.setServing,
    drain(limitMs) {
      health.setServing(false)
      return new Promise((resolve) => {
        const limit = setTimeout(() => {
          server.forceShutdown()
          resolve()
        }, limitMs)
        server.tryShutdown(() => {
          clearTimeout(limit)
          resolve()
        })
      })
    },
  }
}

function watchTls(files: TlsFiles): ServerCredentials {
  const identity = new experimental.FileWatcherCertificateProvider({
    certificateFile: files.certificate,
    privateKeyFile: files.key,
    caCertificateFile: files.clientCa,
    refreshIntervalMs: tlsRefreshMs,
  })
  return experimental.createCertificateProviderServerCredentials(
    identity,
    files.clientCa === undefined ? null : identity,
    files.clientCa !== undefined,
  )
}
