/** grpc.health.v1: whether this server takes checks, for Envoy's active health checks and Kubernetes probes. */

import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { HealthCheckRequest, HealthCheckResponse } from './proto.ts'

export interface Health {
  readonly implementation: UntypedServiceImplementation
  setServing(serving: boolean): void
}

/** The whole server, and the one service that it offers. */
const services = new Set(['', 'envoy.service.auth.v3.Authorization'])

type Watcher = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>

export function createHealth(): Health {
  let serving = false
  const watchers = new Set<Watcher>()
  const answerFor = (service: string): HealthCheckResponse => {
    if (!services.has(service)) return { status: 'SERVICE_UNKNOWN' }
    return { status: serving ? 'SERVING' : 'NOT_SERVING' }
  }
  return {
    implementation: {
      Check(
        call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        callback: sendUnaryData<HealthCheckResponse>,
      ) {
        const { service } = call.request
        if (services.has(service)) callback(null, answerFor(service))
        else callback({ code: status.NOT_FOUND, details: 'unknown service' })
      },
      Watch(call: Watcher) {
        watchers.add(call)
        call.on('cancelled', () => watchers.delete(call))
        call.write(answerFor(call.request.service))
      },
    },
    setServing(value) {
      serving = value
      for (const watcher of watchers) watcher.write(answerFor(watcher.request.service))
    },
  }
}
