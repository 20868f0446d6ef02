import test from 'ava'
import { parse } from 'yaml'
import { type Field, injectedSpec, inlinePolicy, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'
import { kubeSchemas } from '../support/kube-schemas.ts'
import { findUnrestricted } from '../support/pod-security.ts'

const withHelm = canRunHelm() ? test : test.skip
const newest = await kubeSchemas('1.37')
const withSchemas = canRunHelm() && newest !== undefined ? test : test.skip

const service = [{ group: '', kind: 'Service', name: 'payments' }]
const policies = [
  { name: 'payments', namespace: 'shop', selector: { app: 'payments' } },
  { name: 'all', namespace: 'batch' },
  { name: 'edge', namespace: 'istio-system', selector: { istio: 'ingressgateway' }, gateway: true },
  { name: 'behind-waypoint', namespace: 'ambient', targetRefs: service },
]
const istio = { enabled: true, authorizationPolicies: policies }
const render = async (more: object = {}, values: object = {}) =>
  (await renderValues({ ...values, istio: { ...istio, ...more } })).objects

withHelm('each AuthorizationPolicy hands what it chooses to the provider', async (t) => {
  const objects = await render({ provider: 'binding' })
  const made = findAll(objects, 'AuthorizationPolicy')
  t.deepEqual(
    made.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort(),
    policies.map(({ name, namespace }) => `${namespace}/${name}`).sort(),
  )
  for (const { spec } of made) {
    t.is(spec.action, 'CUSTOM')
    t.deepEqual(spec.provider, { name: 'binding' })
    t.deepEqual(spec.rules, [{}], 'one empty rule is every request')
  }
  const specOf = (name: string) => find(objects, 'AuthorizationPolicy', name).spec
  t.deepEqual(specOf('payments').selector, { matchLabels: { app: 'payments' } })
  t.false('targetRefs' in specOf('payments'))
  t.deepEqual(specOf('behind-waypoint').targetRefs, service)
  t.false('selector' in specOf('behind-waypoint'))
  t.false('selector' in specOf('all'))
})

withHelm('rules that are given are the rules', async (t) => {
  const rules = [{ to: [{ operation: { notPaths: ['/healthz'] } }] }]
  const objects = await render({ authorizationPolicies: [{ name: 'a', namespace: 'shop', rules }] })
  t.deepEqual(find(objects, 'AuthorizationPolicy').spec.rules, rules)
})

withHelm(
  'the filter is patched where a selector chooses: inbound at sidecars, at gateways there, at no waypoint',
  async (t) => {
    const filters = findAll(await render({ envoyFilter: { enabled: true } }), 'EnvoyFilter')
    const seen = filters.map(({ metadata, spec }) => [
      `${metadata.namespace}/${metadata.name}`,
      spec.workloadSelector?.labels,
      spec.configPatches[0].match.context,
    ])
    t.deepEqual(seen.sort(), [
      ['batch/all-certificate', undefined, 'SIDECAR_INBOUND'],
      ['istio-system/edge-certificate', { istio: 'ingressgateway' }, 'GATEWAY'],
      ['shop/payments-certificate', { app: 'payments' }, 'SIDECAR_INBOUND'],
    ])
    for (const { spec } of filters) {
      const [{ applyTo, match, patch }] = spec.configPatches
      t.is(applyTo, 'HTTP_FILTER')
      t.is(match.listener.filterChain.filter.subFilter.name, 'envoy.filters.http.ext_authz')
      t.is(patch.operation, 'MERGE')
      t.true(patch.value.typed_config.include_peer_certificate)
    }
    t.is(findAll(await render(), 'EnvoyFilter').length, 0)
  },
)

withHelm('a waypoint shows who calls, by Istio’s annotation', async (t) => {
  const waypoints = [{ name: 'waypoint', namespace: 'ambient' }]
  const { metadata, spec } = find(await render({ waypoints }), 'Gateway')
  t.is(metadata.namespace, 'ambient')
  t.deepEqual(metadata.annotations, { 'ambient.istio.io/xfcc-include-client-identity': 'true' })
  t.is(metadata.labels['istio.io/waypoint-for'], 'service')
  t.is(spec.gatewayClassName, 'istio-waypoint')
  t.deepEqual(spec.listeners, [{ name: 'mesh', port: 15008, protocol: 'HBONE' }])
})

async function providerIn(values: object): Promise<Field> {
  const { notes } = await renderValues(values)
  const [, snippet = ''] = /^( {5}meshConfig:\n(?: {7}.*\n)+)/m.exec(notes) ?? []
  return parse(snippet).meshConfig.extensionProviders[0]
}

withHelm('the provider that NOTES print asks the Service, by host, port and time', async (t) => {
  const values = { istio: { ...istio, timeout: '300ms' }, service: { port: 443 } }
  t.deepEqual(await providerIn(values), {
    name: 'meshbind',
    envoyExtAuthzGrpc: {
      service: 'meshbind.meshbind.svc.cluster.local',
      port: 443,
      timeout: '300ms',
      failOpen: false,
    },
  })
})

withHelm(
  'the provider that NOTES print has the name that each AuthorizationPolicy asks for',
  async (t) => {
    for (const provider of ['', 'binding', 'no']) {
      const { name } = await providerIn({ istio: { ...istio, provider } })
      t.is(
        name,
        find(await render({ provider }), 'AuthorizationPolicy', 'payments').spec.provider.name,
      )
    }
  },
)

const sidecars = {
  deployment: { enabled: false },
  policy: { inline: inlinePolicy(), namespaces: ['shop'], key: 'binding.yaml' },
  server: { grpcPort: 9292, probePort: 9494, deadline: '100ms', decisionLog: 'all' },
}
const injected = async (more: object = {}) => {
  const objects = await render({ sidecar: { enabled: true } }, { ...sidecars, ...more })
  const text = find(objects, 'ConfigMap', 'meshbind-injection').data['istiod-values.yaml']
  return { objects, text, spec: injectedSpec(text) }
}

withHelm(
  'the sidecar’s host leads each pod to its own meshbind, on the port that this listens on',
  async (t) => {
    const { objects, spec } = await injected()
    const entry = find(objects, 'ServiceEntry').spec
    t.deepEqual(entry.endpoints, [{ address: '127.0.0.1' }])
    const provider = await providerIn({
      ...sidecars,
      istio: { ...istio, sidecar: { enabled: true } },
    })
    t.deepEqual(entry.hosts, [provider.envoyExtAuthzGrpc.service])
    t.deepEqual(
      entry.ports.map(({ number }: Field) => number),
      [provider.envoyExtAuthzGrpc.port],
    )
    const { args } = spec.initContainers[0]
    t.true(args.includes(`--listen=127.0.0.1:${provider.envoyExtAuthzGrpc.port}`))
    t.true(args.includes('--probe=0.0.0.0:9494'))
    t.true(args.includes('--deadline=100ms'))
    t.true(args.includes('--decision-log=all'))
  },
)

withHelm('the injected policy is the ConfigMap of the workload’s namespace', async (t) => {
  const { objects, spec } = await injected()
  const mounted = spec.volumes.find(({ name }: Field) => name === 'meshbind-policy').configMap.name
  t.true(spec.initContainers[0].args.includes('--policy=/etc/meshbind/policy/binding.yaml'))
  const copy = find(objects, 'ConfigMap', mounted)
  t.is(copy.metadata.namespace, 'shop')
  t.deepEqual(Object.keys(copy.data), ['binding.yaml'])
})

withSchemas(
  'what is injected is a valid part of a pod, restricted, with no tag of a template left',
  async (t) => {
    const { text, spec } = await injected()
    t.false(text.includes('{{'), 'istiod would carry it out')
    t.is(spec.initContainers[0].restartPolicy, 'Always')
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'orders', namespace: 'shop' },
      spec: { ...spec, containers: [{ name: 'app', image: 'registry.example/orders:1' }] },
    }
    t.deepEqual(newest?.problems(pod), [])
    t.deepEqual(findUnrestricted(spec), [])
  },
)

withHelm(
  'values of the library reach the injected sidecar; the chart’s own settings are the release’s',
  async (t) => {
    const { spec } = await injected({
      'meshbind-sidecar': { extraArgs: ['--log-level=debug'], image: 'registry.example/other:1' },
    })
    t.is(spec.initContainers[0].args.at(-1), '--log-level=debug')
    t.is(spec.initContainers[0].image, 'registry.example/meshbind:0.1.0')
  },
)
