/**
 * The kit's CheckRequests: encoded with the full upstream definitions that `@grpc/grpc-js-xds` ships, never with ours,
 * so that what decodes here decodes from a real Envoy.
 */

import { fileURLToPath } from 'node:url'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'

const xds = (path: string) =>
  fileURLToPath(new URL(`../../node_modules/@grpc/grpc-js-xds/deps/${path}`, import.meta.url))

/** Upstream's definitions, every field of them. */
export const upstream: PackageDefinition = loadSync('envoy/service/auth/v3/external_auth.proto', {
  includeDirs: ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map(xds),
  keepCase: true,
  enums: String,
  defaults: true,
  oneofs: true,
})

interface Serializer {
  requestSerialize(value: object): Buffer
  responseDeserialize(bytes: Buffer): object
}

const { Check } = upstream['envoy.service.auth.v3.Authorization'] as unknown as {
  readonly Check: Serializer
}

export const paymentsId = 'spiffe://mesh.example/ns/shop/sa/payments'

export interface CheckRequestParts {
  readonly method?: string
  readonly path?: string
  readonly host?: string
  readonly id?: string
  readonly certificate?: string
  readonly principal?: string
  /** Envoy's own identity. Default: the payments service's. */
  readonly destination?: string
  /** The `headers` map; `authorization` is added from `token`. */
  readonly headers?: { readonly [name: string]: string }
  /** Entries of `header_map`; given, the `headers` map stays empty, as with encode_raw_headers. */
  readonly rawHeaders?: readonly (readonly [name: string, value: string | Buffer])[]
  readonly token?: string
  readonly scheme?: string
  readonly context?: { readonly [name: string]: string }
}

/** A request as Envoy 1.40 asks it: about 20 headers, pseudo-headers among them. */
export function encodeCheckRequest(parts: CheckRequestParts = {}): Buffer {
  const {
    method = 'POST',
    path = '/v1/payments',
    host = 'payments.mesh.example',
    token,
    scheme = 'Bearer',
  } = parts
  const authorization = token === undefined ? {} : { authorization: `${scheme} ${token}` }
  const headers = {
    ...envoyHeaders(method, path, host, parts.id ?? '1'),
    ...authorization,
    ...parts.headers,
  }
  const http = {
    id: parts.id ?? '1',
    method,
    path,
    host,
    scheme: 'https',
    protocol: 'HTTP/2',
    ...(parts.rawHeaders === undefined
      ? { headers }
      : { header_map: { headers: parts.rawHeaders.map(rawHeader) } }),
  }
  return Check.requestSerialize({
    attributes: {
      source: {
        address: { socket_address: { address: '10.0.0.7', port_value: 41234 } },
        principal: parts.principal ?? '',
        certificate: parts.certificate ?? '',
      },
      destination: {
        address: { socket_address: { address: '10.0.0.9', port_value: 8443 } },
        principal: parts.destination ?? paymentsId,
      },
      request: { time: { seconds: 1_767_225_600, nanos: 1 }, http },
      context_extensions: parts.context ?? {},
      metadata_context: {},
      route_metadata_context: {},
    },
  })
}

function rawHeader([key, value]: readonly [string, string | Buffer]): object {
  return { key, raw_value: typeof value === 'string' ? Buffer.from(value) : value }
}

function envoyHeaders(
  method: string,
  path: string,
  host: string,
  id: string,
): { [name: string]: string } {
  return {
    ':authority': host,
    ':method': method,
    ':path': path,
    ':scheme': 'https',
    accept: 'application/json',
    'accept-encoding': 'gzip, deflate, br',
    'content-length': '182',
    'content-type': 'application/json',
    'user-agent': 'orders/4.12.0 (linux; x86_64)',
    'x-b3-sampled': '0',
    'x-envoy-attempt-count': '1',
    'x-forwarded-for': '10.0.0.7',
    'x-forwarded-proto': 'https',
    'x-request-id': `5f2d1c9e-7b61-4f0e-9a57-${id.padStart(12, '0')}`,
    'x-idempotency-key': `order-${id}`,
    'x-tenant': 'acme',
    'x-client-version': '2026.11.1',
    'accept-language': 'en',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'vendor=00f067aa0ba902b7',
  }
}

/** A CheckResponse as Envoy reads it: upstream's definitions, defaults filled in. */
export interface UpstreamCheckResponse {
  readonly status: { readonly code: number } | null
  readonly http_response?: 'denied_response' | 'ok_response' | 'error_response'
  readonly denied_response?: {
    readonly status: { readonly code: string } | null
    readonly headers: readonly HeaderOption[]
    readonly body: string
  } | null
  readonly ok_response?: {
    readonly headers: readonly HeaderOption[]
    readonly headers_to_remove: readonly string[]
    readonly response_headers_to_add: readonly HeaderOption[]
  } | null
  readonly dynamic_metadata: { readonly fields: { readonly [name: string]: object } } | null
}

interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string }
  /** HeaderAppendAction by its name. */
  readonly append_action: string
}

export function decodeCheckResponse(bytes: Buffer): UpstreamCheckResponse {
  return Check.responseDeserialize(bytes) as UpstreamCheckResponse
}
