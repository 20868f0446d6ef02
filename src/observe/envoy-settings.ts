/** Settings of Envoy and Istio as they are written there, for what doctor finds missing. */

export interface Setting {
  readonly place: string
  readonly yaml: string
}

export type Settings = readonly Setting[]

const connectionManager = 'Envoy, connection manager'
export const writeXfcc: Setting = {
  place: connectionManager,
  yaml: `forward_client_cert_details: APPEND_FORWARD
set_current_client_cert_details: { uri: true }     # and cert: true to have the certificate in it`,
}
export const sendCertificate: Settings = [
  { place: 'Envoy, ext_authz filter', yaml: 'include_peer_certificate: true' },
  {
    place: 'Istio (context GATEWAY at gateways)',
    yaml: `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: meshbind-certificate }
spec:
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager, subFilter: { name: envoy.filters.http.ext_authz } } } }
      patch:
        operation: MERGE
        value:
          name: envoy.filters.http.ext_authz
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
            include_peer_certificate: true`,
  },
]
export const certificateInXfcc: Setting = {
  place: 'Istio, ProxyConfig, to have it in XFCC instead',
  yaml: 'proxyHeaders: { setCurrentClientCertDetails: { cert: true } }',
}
export const mutualTls: Settings = [
  {
    place: 'Envoy, DownstreamTlsContext of the listener',
    yaml: `require_client_certificate: true
common_tls_context:
  validation_context: { trusted_ca: { filename: /run/tls/mesh-ca.crt } }`,
  },
  {
    place: 'Istio, in the namespace of the service',
    yaml: `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }`,
  },
]
export const waypointIdentity: Settings = [
  {
    place: 'Istio 1.30 or later, Gateway of the waypoint',
    yaml: 'metadata: { annotations: { ambient.istio.io/xfcc-include-client-identity: "true" } }',
  },
]
export const forwarding: Settings = [
  {
    place: `${connectionManager} of the gateway`,
    yaml: `forward_client_cert_details: SANITIZE_SET
set_current_client_cert_details: { uri: true, cert: true }`,
  },
  { place: `${connectionManager} of the sidecar`, yaml: writeXfcc.yaml },
  {
    place: 'Istio, ProxyConfig of the gateway',
    yaml: 'gatewayTopology: { forwardClientCertDetails: SANITIZE_SET }',
  },
]
export const allHeaders: Settings = [
  {
    place: 'Envoy, ext_authz filter',
    yaml: '# no allowed_headers and no disallowed_headers, so that every header is sent',
  },
]
export const enableFilter: Settings = [
  { place: 'Envoy, http_filters before the router', yaml: 'name: envoy.filters.http.ext_authz' },
  {
    place: 'Istio, AuthorizationPolicy, and the provider in meshConfig.extensionProviders',
    yaml: 'spec: { action: CUSTOM, provider: { name: meshbind }, rules: [{}] }',
  },
]
