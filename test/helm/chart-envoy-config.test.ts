import test from 'ava'
import { parse } from 'yaml'
import { type Field, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

async function configOf(envoy: object, values: object = {}): Promise<Field> {
  const { objects } = await renderValues({ ...values, envoy: { enabled: true, ...envoy } })
  return parse(find(objects, 'ConfigMap', 'meshbind-envoy').data['envoy.yaml']).static_resources
}
const clusterOf = ({ clusters }: Field) => clusters.find(({ name }: Field) => name === 'meshbind')
const addressOf = (cluster: Field) =>
  cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address
const managerOf = ({ listeners }: Field) => listeners[0].filter_chains[0].filters[0].typed_config

withHelm('there is a configuration where it is wanted alone', async (t) => {
  const maps = findAll((await renderValues()).objects, 'ConfigMap')
  t.false(maps.some(({ metadata }) => metadata.name.endsWith('-envoy')))
})

withHelm(
  'Envoy demands a certificate and sends it; without an answer it refuses (docs/envoy.md)',
  async (t) => {
    const config = await configOf({ listenPort: 8444, tlsDirectory: '/tls', timeout: '0.3s' })
    const [{ address, filter_chains }] = config.listeners
    t.is(address.socket_address.port_value, 8444)
    const tls = filter_chains[0].transport_socket.typed_config
    t.true(tls.require_client_certificate)
    t.is(tls.common_tls_context.validation_context.trusted_ca.filename, '/tls/ca.crt')
    const manager = managerOf(config)
    t.is(manager.forward_client_cert_details, 'SANITIZE')
    t.like(manager, {
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: 'REJECT_REQUEST',
    })
    const [authz, router, ...more] = manager.http_filters
    t.like(authz.typed_config, {
      transport_api_version: 'V3',
      include_peer_certificate: true,
      encode_raw_headers: true,
      validate_mutations: true,
      failure_mode_allow: false,
      grpc_service: { envoy_grpc: { cluster_name: 'meshbind' }, timeout: '0.3s' },
    })
    t.false('shadow_mode' in authz.typed_config)
    t.is(router.name, 'envoy.filters.http.router')
    t.deepEqual(more, [])
  },
)

withHelm('every cluster that is named is there', async (t) => {
  const config = await configOf({ upstreamPort: 3000 })
  const [, router] = [managerOf(config), managerOf(config).route_config]
  const named = [router.virtual_hosts[0].routes[0].route.cluster, 'meshbind']
  t.deepEqual(
    config.clusters.map(({ name }: Field) => name),
    named,
  )
  t.is(addressOf(config.clusters[0]).socket_address.port_value, 3000)
})

const hosts: readonly [of: string, service: object, host: string, port: number][] = [
  ['the Service', { port: 443 }, 'meshbind.meshbind.svc.cluster.local', 443],
  [
    'the headless one',
    { port: 443, headless: { enabled: true } },
    'meshbind-headless.meshbind.svc.cluster.local',
    9191,
  ],
]
for (const [of, service, host, port] of hosts)
  withHelm(`over TCP it asks ${of}, by the port that this has`, async (t) => {
    const cluster = clusterOf(await configOf({}, { service }))
    t.is(cluster.type, 'STRICT_DNS')
    t.deepEqual(addressOf(cluster), { socket_address: { address: host, port_value: port } })
    t.false('transport_socket' in cluster)
  })

withHelm('it speaks HTTP/2 to meshbind, and asks after its health', async (t) => {
  const cluster = clusterOf(await configOf({}))
  const [options] = Object.values(cluster.typed_extension_protocol_options) as [Field]
  t.truthy(options.explicit_http_config.http2_protocol_options)
  t.deepEqual(cluster.health_checks[0].grpc_health_check, {})
})

withHelm(
  'TLS to meshbind: its own name is demanded, h2 offered, and a certificate shown where one is wanted',
  async (t) => {
    const tls = { enabled: true, existingSecret: 'server' }
    const host = 'meshbind.meshbind.svc.cluster.local'
    const socket = clusterOf(await configOf({}, { tls })).transport_socket.typed_config
    t.is(socket.sni, host)
    const context = socket.common_tls_context
    t.deepEqual(context.alpn_protocols, ['h2'])
    t.is(context.tls_certificates.length, 1)
    t.deepEqual(context.validation_context.match_typed_subject_alt_names, [
      { san_type: 'DNS', matcher: { exact: host } },
    ])
    const open = { tls: { ...tls, requireClientCertificate: false } }
    const bare = clusterOf(await configOf({}, open)).transport_socket.typed_config
    t.false('tls_certificates' in bare.common_tls_context)
  },
)

withHelm('over a Unix socket it asks its own pod, without TLS and without a name', async (t) => {
  const tls = { enabled: true, existingSecret: 'server' }
  const cluster = clusterOf(await configOf({ transport: 'unix', socket: '/run/a.sock' }, { tls }))
  t.is(cluster.type, 'STATIC')
  t.deepEqual(addressOf(cluster), { pipe: { path: '/run/a.sock' } })
  t.false('transport_socket' in cluster)
})
