/** Loads the service definitions from protos/: paths and stream kinds come from there, and from nowhere else. */

import { fileURLToPath } from 'node:url'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync, type Options } from '@grpc/proto-loader'

/** The same folder from src/wire and from dist/wire. */
const protosDirectory = fileURLToPath(new URL('../../protos', import.meta.url))

export interface HealthCheckRequest {
  readonly service: string
}

export interface HealthCheckResponse {
  readonly status: 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN'
}

export interface HealthService extends ServiceDefinition {
  readonly Check: MethodDefinition<HealthCheckRequest, HealthCheckResponse>
  readonly Watch: MethodDefinition<HealthCheckRequest, HealthCheckResponse>
}

export interface AuthorizationService extends ServiceDefinition {
  readonly Check: MethodDefinition<Buffer, Buffer>
}

export const authorizationFile = 'envoy/service/auth/v3/external_auth.proto'
export const authorizationName = 'envoy.service.auth.v3.Authorization'

export function loadService(
  file: string,
  name: string,
  more: Options = { enums: String },
): ServiceDefinition {
  const definition = loadSync(file, {
    includeDirs: [protosDirectory],
    defaults: true,
    ...more,
  })[name]
  if (definition === undefined || 'format' in definition)
    throw new Error(`protos/ has no service ${name}`)
  return definition as ServiceDefinition
}

export const healthService = loadService(
  'grpc/health/v1/health.proto',
  'grpc.health.v1.Health',
) as HealthService

/**
 * Envoy's service with bytes in and bytes out: decode.ts reads of a question just what is needed, and never throws;
 * encode.ts writes the answer.
 */
export const authorizationService: AuthorizationService = (() => {
  const service = loadService(authorizationFile, authorizationName)
  const check = service['Check']
  if (check === undefined) throw new Error('protos/ has no method Check')
  const asIs = (bytes: Buffer) => bytes
  const bytesOnly = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  }
  return { Check: { ...check, ...bytesOnly } }
})()
