/** What Istio makes of the chart's provider: its three ext_authz filters and the XFCC that each of them sees. */

import type { ListenerPlan } from './mesh.ts'

export interface Provider {
  readonly service: string
  readonly port: string
  readonly timeout: string
}

/** The entry of `meshConfig.extensionProviders` that the chart's NOTES print. */
export function providerIn(notes: string): Provider {
  const entry = /envoyExtAuthzGrpc:\n +service: (\S+)\n +port: (\d+)\n +timeout: (\S+)/.exec(notes)
  const [, service, port, timeout] = entry ?? []
  if (service === undefined || port === undefined || timeout === undefined)
    throw new Error(`the notes name no provider: ${notes}`)
  return { service, port, timeout }
}

/** No certificate, no raw headers, no validation (pilot/pkg/security/authz/builder/extauthz.go, generateGRPCConfig). */
function filterOf(listener: string, { service, timeout }: Provider): object {
  return {
    include_peer_certificate: false,
    encode_raw_headers: false,
    validate_mutations: false,
    failure_mode_allow: false,
    grpc_service: {
      envoy_grpc: { cluster_name: `authz-${listener}`, authority: service },
      timeout,
    },
  }
}

const details = { subject: true, uri: true, dns: true }

/** A sidecar's inbound listener (listener_inbound.go, proxy_headers.go). */
export function sidecarListener(name: string, authz: number, provider: Provider): ListenerPlan {
  const filter = filterOf(name, provider)
  return { authz, filter, xfcc: { mode: 'APPEND_FORWARD', details } }
}

/** A gateway with TLS mode MUTUAL (core/gateway.go). */
export function gatewayListener(name: string, authz: number, provider: Provider): ListenerPlan {
  const filter = filterOf(name, provider)
  return { authz, filter, xfcc: { mode: 'SANITIZE_SET', details: { ...details, cert: true } } }
}

/** A waypoint's `main_internal` with the annotation for XFCC: no TLS, and the header as it comes. */
export function waypointListener(name: string, authz: number, provider: Provider): ListenerPlan {
  const filter = filterOf(name, provider)
  return { authz, filter, plaintext: true, xfcc: { mode: 'ALWAYS_FORWARD_ONLY' } }
}

/**
 * A waypoint's `connect_terminate`: it ends the caller's mTLS, and has the two identities written over any XFCC that
 * came, as the filter `istio.waypoint.xfcc_client_identity` does from the same connection's filter state.
 */
export function terminateFor(config: object, terminate: string, internalPort: number): object {
  const copy = structuredClone(config) as BootstrapPart
  const listener = copy.static_resources.listeners.find(({ name }) => name === terminate)
  const manager = listener?.filter_chains[0]?.filters[0]?.typed_config
  const backend = copy.static_resources.clusters.find(({ name }) => name === 'backend')
  const address = backend?.load_assignment.endpoints[0]?.lb_endpoints[0]?.endpoint.address
  if (manager === undefined || address === undefined) throw new Error(`no listener ${terminate}`)
  address.socket_address.port_value = internalPort
  manager.route_config['request_headers_to_add'] = [
    {
      header: {
        key: 'x-forwarded-client-cert',
        value: 'By=%DOWNSTREAM_LOCAL_URI_SAN%;URI=%DOWNSTREAM_PEER_URI_SAN%',
      },
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
    },
  ]
  return copy
}

interface BootstrapPart {
  readonly static_resources: {
    readonly listeners: readonly {
      readonly name: string
      readonly filter_chains: readonly {
        readonly filters: readonly {
          readonly typed_config: { readonly route_config: { [field: string]: unknown } }
        }[]
      }[]
    }[]
    readonly clusters: readonly {
      readonly name: string
      readonly load_assignment: {
        readonly endpoints: readonly {
          readonly lb_endpoints: readonly {
            readonly endpoint: { readonly address: { socket_address: { port_value: number } } }
          }[]
        }[]
      }
    }[]
  }
}
