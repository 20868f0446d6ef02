/** A small mesh on loopback: workloads with certificates, a backend, and a real Envoy that asks an authorization server. */

import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type JsonServer, serveJson } from './issuer.ts'
import type { Authority, Leaf } from './pki.ts'

/** What the backend answers, with the headers that reached it: an attack succeeds when this is read. */
export const secret = 'the payment went through'

/** Sees every request that was let through. */
export async function startBackend(): Promise<JsonServer & { readonly seen: Seen[] }> {
  const seen: Seen[] = []
  const backend = await serveJson(() => secret)
  backend.server.prependListener('request', (request) => {
    seen.push({ path: request.url ?? '', headers: request.headers })
  })
  return { ...backend, seen }
}

export interface Seen {
  readonly path: string
  readonly headers: NodeJS.Dict<string | string[]>
}

export interface EnvoyPlan {
  readonly authority: Authority
  /** Envoy's own certificate; give it the DNS name localhost. */
  readonly certificate: Leaf
  readonly backendPort: number
  /** By listener name: fields merged into that listener's ext_authz filter, and what its TLS asks for. */
  readonly listeners: { readonly [name: string]: ListenerPlan }
}

export interface ListenerPlan {
  /** Where meshbind listens: an absolute socket path, or a TCP port on loopback. Undefined: nobody is asked. */
  readonly authz?: string | number
  readonly filter?: object
  /** Another Envoy on loopback, called with this workload's certificate, in place of the backend. */
  readonly forwardTo?: { readonly port: number; readonly as: Leaf }
  readonly xfcc?: {
    readonly mode: 'SANITIZE_SET' | 'APPEND_FORWARD' | 'FORWARD_ONLY' | 'ALWAYS_FORWARD_ONLY'
    /** What Envoy tells of the client beside `By` and `Hash`. */
    readonly details?: object
  }
  readonly requireClientCertificate?: boolean
  readonly trustChainVerification?: 'ACCEPT_UNTRUSTED'
  /** No TLS at all. */
  readonly plaintext?: boolean
}

/** ext_authz as docs/envoy.md recommends it. */
const recommendedFilter = {
  transport_api_version: 'V3',
  include_peer_certificate: true,
  encode_raw_headers: true,
  validate_mutations: true,
  failure_mode_allow: false,
}

/** A bootstrap with one mTLS listener per plan in front of the backend, or of another Envoy. */
export function envoyConfig(plan: EnvoyPlan): object {
  const listeners = Object.entries(plan.listeners)
  const loopback = (port: number) => ({
    socket_address: { address: '127.0.0.1', port_value: port },
  })
  return {
    static_resources: {
      listeners: listeners.map(([name, listener]) => listenerConfig(name, listener, plan)),
      clusters: [
        cluster('backend', loopback(plan.backendPort)),
        ...listeners.flatMap(([name, { authz, forwardTo }]) => [
          ...(authz === undefined
            ? []
            : [
                cluster(
                  `authz-${name}`,
                  typeof authz === 'string' ? { pipe: { path: authz } } : loopback(authz),
                  http2,
                ),
              ]),
          ...(forwardTo === undefined
            ? []
            : [
                cluster(`next-${name}`, loopback(forwardTo.port), {
                  transport_socket: upstreamTls(forwardTo.as, plan.authority),
                }),
              ]),
        ]),
      ],
    },
  }
}

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}

function cluster(name: string, address: object, more: object = {}): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
    ...more,
  }
}

function upstreamTls(as: Leaf, authority: Authority): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: 'localhost',
      common_tls_context: {
        tls_certificates: [identityOf(as)],
        validation_context: { trusted_ca: { inline_string: authority.certificatePem } },
      },
    },
  }
}

function identityOf(leaf: Leaf): object {
  return {
    certificate_chain: { inline_string: leaf.pem },
    private_key: { inline_string: leaf.keyPem },
  }
}

function listenerConfig(name: string, listener: ListenerPlan, plan: EnvoyPlan): object {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: connectionManager(name, listener),
          },
        ],
        ...(listener.plaintext === true ? {} : { transport_socket: tlsSocket(listener, plan) }),
      },
    ],
  }
}

function connectionManager(name: string, listener: ListenerPlan): object {
  const { authz, filter, forwardTo, xfcc } = listener
  return {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: name,
    ...(xfcc === undefined
      ? {}
      : {
          forward_client_cert_details: xfcc.mode,
          set_current_client_cert_details: xfcc.details ?? {},
        }),
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/' },
              route: { cluster: forwardTo === undefined ? 'backend' : `next-${name}` },
            },
          ],
        },
      ],
    },
    http_filters: [
      ...(authz === undefined ? [] : [authorizationFilter(name, filter)]),
      {
        name: 'envoy.filters.http.router',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
        },
      },
    ],
  }
}

function authorizationFilter(name: string, filter: object | undefined): object {
  return {
    name: 'envoy.filters.http.ext_authz',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
      ...recommendedFilter,
      grpc_service: { envoy_grpc: { cluster_name: `authz-${name}` }, timeout: '0.5s' },
      ...filter,
    },
  }
}

function tlsSocket(listener: ListenerPlan, { authority, certificate }: EnvoyPlan): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: listener.requireClientCertificate ?? true,
      common_tls_context: {
        tls_certificates: [identityOf(certificate)],
        validation_context: {
          trusted_ca: { inline_string: authority.certificatePem },
          ...(listener.trustChainVerification === undefined
            ? {}
            : { trust_chain_verification: listener.trustChainVerification }),
        },
      },
    },
  }
}

export interface Call {
  readonly port: number
  /** Undefined: no client certificate. */
  readonly as: Leaf | undefined
  readonly authority: Authority
  readonly method?: string
  readonly path: string
  readonly headers?: { readonly [name: string]: string | readonly string[] }
  /** Without TLS. */
  readonly plaintext?: boolean
  /** A TLS session to resume. */
  readonly session?: Buffer
  readonly onSession?: (session: Buffer) => void
}

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
  /** The reason code of a refusal by meshbind, or '' (an allow, or Envoy's own refusal). */
  readonly reason: string
  readonly milliseconds: number
}

/** One request as a workload, over a TLS connection of its own. */
export function call({
  port,
  as,
  authority,
  method = 'POST',
  path,
  headers,
  plaintext = false,
  session,
  onSession,
}: Call): Promise<Answer> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const request = (plaintext ? httpRequest : httpsRequest)(
      {
        host: '127.0.0.1',
        servername: 'localhost',
        port,
        method,
        path,
        agent: false,
        ca: authority.certificatePem,
        ...(as === undefined ? {} : { cert: as.pem, key: as.keyPem }),
        ...(session === undefined ? {} : { session }),
        headers: { host: 'payments.mesh.example', ...headers },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('end', () => {
          const body = Buffer.concat(chunks).toString('utf8')
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
            reason: reasonIn(body),
            milliseconds: performance.now() - startedAt,
          })
        })
      },
    )
    request.once('error', reject)
    request.once('socket', (socket) =>
      socket.on('session', (ticket: Buffer) => onSession?.(ticket)),
    )
    request.end()
  })
}

function reasonIn(body: string): string {
  try {
    return String(JSON.parse(body).code ?? '')
  } catch {
    return ''
  }
}
