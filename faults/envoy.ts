/** Envoy's listeners in the rig, with the settings that docs/envoy.md recommends, and its clusters where replicas share. */

import type { ListenerPlan } from '../test/support/mesh.ts'

/** `lenient` has failure_mode_allow: true; `second` asks the second replica alone. */
export type Listener = 'strict' | 'lenient' | 'second'

/** Envoy waits this long for an authorization, and meshbind answers a little sooner: load and rig share a few cores. */
export const envoyTimeoutMs = 500
export const deadlineMs = 400

export function listenersOf(sockets: readonly string[]): { readonly [name: string]: ListenerPlan } {
  const [first = '', second] = sockets
  // Clients with DPoP or a WIT have no certificate.
  const common = { requireClientCertificate: false }
  const asking = (name: Listener, more: object = {}) => ({
    grpc_service: {
      envoy_grpc: { cluster_name: `authz-${name}` },
      timeout: `${envoyTimeoutMs / 1000}s`,
    },
    ...more,
  })
  const lenient = { failure_mode_allow: true, failure_mode_allow_header_add: true }
  return {
    strict: { ...common, authz: first, filter: asking('strict') },
    lenient: { ...common, authz: first, filter: asking('lenient', lenient) },
    ...(second === undefined
      ? {}
      : { second: { ...common, authz: second, filter: asking('second') } }),
  }
}

interface Cluster {
  readonly name: string
}

/** `strict` and `lenient` ask every replica that says it is well; with one there is nothing to choose. */
export function withReplicas(config: object, sockets: readonly string[]): object {
  if (sockets.length === 1) return config
  const { static_resources: resources } = config as {
    static_resources: { clusters: readonly Cluster[] }
  }
  const clusters = resources.clusters.map((cluster) =>
    /^authz-(strict|lenient)$/.test(cluster.name) ? shared(cluster, sockets) : cluster,
  )
  return { ...config, static_resources: { ...resources, clusters } }
}

function shared(cluster: Cluster, sockets: readonly string[]): object {
  return {
    ...cluster,
    load_assignment: {
      cluster_name: cluster.name,
      endpoints: [
        { lb_endpoints: sockets.map((path) => ({ endpoint: { address: { pipe: { path } } } })) },
      ],
    },
    health_checks: [
      {
        ...{ timeout: '0.5s', interval: '0.3s', unhealthy_threshold: 1, healthy_threshold: 1 },
        // Its default is a minute, and counts until the first request has come.
        no_traffic_interval: '0.3s',
        grpc_health_check: {},
      },
    ],
  }
}
