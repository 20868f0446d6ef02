import test from 'ava'
import { type KubeSchemas, kubeSchemas } from '../support/kube-schemas.ts'

const [oldest, newest] = [await kubeSchemas('1.29'), await kubeSchemas('1.37')]
const withSchemas = oldest === undefined || newest === undefined ? test.skip : test
const ask = (schemas: KubeSchemas | undefined, object: object) => schemas?.problems(object)

type Plain = ReturnType<typeof JSON.parse>

/** A copy with another value at the path, such as `spec.ports.0.port`. */
function change(object: object, path: string, value: unknown): object {
  const copy: Plain = structuredClone(object)
  const steps = path.split('.')
  const last = steps.pop() ?? ''
  steps.reduce((at, step) => {
    at[step] ??= {}
    return at[step]
  }, copy)[last] = value
  return copy
}

function make(apiVersion: string, kind: string, spec?: object): Plain {
  const metadata = { name: 'x', namespace: 'mesh', labels: { app: 'x' } }
  return { apiVersion, kind, metadata, ...(spec === undefined ? {} : { spec }) }
}

const labels = { app: 'x' }
const selector = { matchLabels: labels }
const container = {
  name: 'meshbind',
  image: 'mesh.example/meshbind:0.1.0',
  env: [{ name: 'A', value: '1' }],
  ports: [{ name: 'grpc', containerPort: 9191 }],
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: 1 } },
  readinessProbe: { httpGet: { path: '/readyz', port: 'admin' } },
  securityContext: { capabilities: { drop: ['ALL'] } },
}
const template = { metadata: { labels }, spec: { containers: [container] } }
const deployment = make('apps/v1', 'Deployment', { replicas: 2, selector, template })
const service = make('v1', 'Service', { selector: labels, ports: [{ port: 1, targetPort: 'a' }] })
const budget = make('policy/v1', 'PodDisruptionBudget', { maxUnavailable: '50%', selector })

withSchemas(
  'built-in objects that are right have no problems, in the least and the newest Kubernetes',
  (t) => {
    const config = { ...make('v1', 'ConfigMap'), data: { a: '1' } }
    for (const object of [deployment, service, budget, config])
      for (const schemas of [oldest, newest]) t.deepEqual(ask(schemas, object), [], object.kind)
  },
)

const first = 'spec.template.spec.containers.0'
const builtIn: readonly (readonly [object: Plain, path: string, value: unknown, said: string])[] = [
  [deployment, `${first}.imagePulPolicy`, 'Always', 'unknown field'],
  [deployment, 'spec.template.metadata.label', {}, 'unknown field'],
  [deployment, 'metadata.labels.count', 3, 'must be string, not 3'],
  [deployment, 'spec.replicas', '2', 'must be integer, not "2"'],
  [deployment, 'spec.selector', undefined, 'is missing'],
  [deployment, `${first}.env.0.value`, false, 'must be string, not false'],
  [deployment, 'spec.template.spec.volumes', null, 'must be array, not null'],
  [service, 'spec.ports.0.targetPort', true, 'must be integer,string, not true'],
  [budget, 'spec.maxUnavailable', 0.5, 'must be integer,string, not 0.5'],
  [budget, 'data', {}, 'unknown field'],
]

for (const [object, path, value, said] of builtIn) {
  withSchemas(`${object.kind}: ${path} = ${JSON.stringify(value)} is found`, (t) => {
    const expected = [`${object.kind}/x: ${path.replaceAll(/\.(\d+)/g, '[$1]')}: ${said}`]
    for (const schemas of [oldest, newest])
      t.deepEqual(ask(schemas, change(object, path, value)), expected)
  })
}

withSchemas('an object without a name is found, though no schema demands one', (t) => {
  const nameless = change(budget, 'metadata.name', undefined)
  t.deepEqual(ask(newest, nameless), ['PodDisruptionBudget/undefined: metadata.name: is missing'])
})

withSchemas('two variables of one name, which server-side apply refuses, are found', (t) => {
  const twice = change(deployment, `${first}.env.1`, { name: 'A' })
  const path = 'spec.template.spec.containers[0].env'
  t.deepEqual(ask(newest, twice), [`Deployment/x: ${path}: has two entries with name="A"`])
})

withSchemas('a quantity that Kubernetes cannot read is found, and a number is one', (t) => {
  const at = `${first}.resources.limits.memory`
  t.regex(ask(newest, change(deployment, at, '128Mb'))?.join() ?? '', /memory: must match pattern/)
  t.deepEqual(ask(newest, change(deployment, at, 134217728)), [])
})

withSchemas(
  'a field that is younger than the least Kubernetes is found there: trafficDistribution',
  (t) => {
    const near = change(service, 'spec.trafficDistribution', 'PreferClose')
    t.deepEqual(ask(oldest, near), ['Service/x: spec.trafficDistribution: unknown field'])
    t.deepEqual(ask(newest, near), [])
  },
)

withSchemas(
  'a kind, group or version that nobody knows is a problem, and so is no kind at all',
  (t) => {
    for (const [apiVersion, kind] of [
      ['v1', 'Deployment'],
      ['apps/v2', 'Deployment'],
      ['mesh.example/v1', 'Thing'],
      ['security.istio.io/v1', 'EnvoyFilter'],
      ['security.istio.io/v1alpha9', 'AuthorizationPolicy'],
      ['policy/v1beta1', 'PodDisruptionBudget'],
    ] as const)
      t.deepEqual(ask(newest, make(apiVersion, kind)), [
        `${kind}/x: no schema for ${apiVersion} ${kind}`,
      ])
    t.deepEqual(ask(newest, {}), ['/undefined: no schema for  '])
  },
)

const gateway = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' }
const rule = { alert: 'A', expr: 'up == 0', for: '5m', labels: { severity: 'warning' } }

const custom: readonly Plain[] = [
  make('security.istio.io/v1', 'AuthorizationPolicy', {
    selector,
    action: 'CUSTOM',
    provider: { name: 'meshbind' },
    rules: [{ to: [{ operation: { paths: ['/v1/*'] } }] }],
  }),
  make('networking.istio.io/v1alpha3', 'EnvoyFilter', {
    workloadSelector: { labels },
    configPatches: [
      {
        applyTo: 'HTTP_FILTER',
        match: { context: 'SIDECAR_INBOUND' },
        patch: { operation: 'MERGE', value: { typed_config: { free: [1] } } },
      },
    ],
  }),
  make('networking.istio.io/v1', 'ServiceEntry', {
    hosts: ['meshbind.local'],
    endpoints: [{ address: '127.0.0.1' }],
    ports: [{ name: 'grpc', number: 9191, protocol: 'GRPC' }],
    resolution: 'STATIC',
  }),
  make('gateway.envoyproxy.io/v1alpha1', 'SecurityPolicy', {
    targetRefs: [gateway],
    extAuth: { failOpen: false, grpc: { backendRefs: [{ name: 'meshbind', port: 9191 }] } },
  }),
  make('gateway.envoyproxy.io/v1alpha1', 'ClientTrafficPolicy', {
    targetRefs: [gateway],
    headers: { xForwardedClientCert: { mode: 'SanitizeSet', certDetailsToAdd: ['URI'] } },
  }),
  make('gateway.networking.k8s.io/v1', 'HTTPRoute', {
    parentRefs: [{ name: 'edge' }],
    rules: [{ backendRefs: [{ name: 'x', port: 80 }] }],
  }),
  make('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', {
    from: [{ group: 'gateway.envoyproxy.io', kind: 'SecurityPolicy', namespace: 'edge' }],
    to: [{ group: '', kind: 'Service' }],
  }),
  make('monitoring.coreos.com/v1', 'ServiceMonitor', {
    selector,
    endpoints: [{ port: 'admin' }],
  }),
  make('monitoring.coreos.com/v1', 'PodMonitor', {
    selector,
    podMetricsEndpoints: [{ port: 'a' }],
  }),
  make('monitoring.coreos.com/v1', 'PrometheusRule', { groups: [{ name: 'x', rules: [rule] }] }),
  make('cert-manager.io/v1', 'Certificate', {
    secretName: 'x',
    issuerRef: { name: 'mesh', kind: 'Issuer' },
    dnsNames: ['x.mesh.example'],
    privateKey: { algorithm: 'ECDSA' },
  }),
  make('cert-manager.io/v1', 'Issuer', { selfSigned: {} }),
]

/** Of each a field with a wrong value, and what is said of it. */
const wrong: { readonly [kind: string]: readonly [path: string, value: unknown, said: RegExp] } = {
  AuthorizationPolicy: ['spec.action', 'REFUSE', /spec\.action: "REFUSE" is none of ALLOW, DENY/],
  EnvoyFilter: ['spec.configPatches.0.applyTo', 'FILTER', /"FILTER" is none of INVALID, LISTENER/],
  ServiceEntry: ['spec.resolution', 'FIXED', /"FIXED" is none of NONE, STATIC, DNS/],
  SecurityPolicy: ['spec.extAuth.timeout', 'soon', /spec\.extAuth\.timeout: must match pattern/],
  ClientTrafficPolicy: ['spec.headers.xForwardedClientCert.mode', 'Set', /"Set" is none of Sani/],
  HTTPRoute: ['spec.rules.0.backendRefs.0.port', '80', /port: must be integer, not "80"/],
  ReferenceGrant: ['spec.to', undefined, /spec\.to: is missing/],
  ServiceMonitor: ['spec.endpoints.0.scheme', 'tcp', /"tcp" is none of http, https/],
  PodMonitor: ['spec.podMetricsEndpoints.0.interval', 'soon', /interval: must match pattern/],
  PrometheusRule: ['spec.groups.0.rules.0.labels.severity', 1, /severity: must be string, not 1/],
  Certificate: ['spec.privateKey.algorithm', 'EC', /"EC" is none of RSA, ECDSA, Ed25519/],
  Issuer: ['spec.selfSigned.forever', true, /spec\.selfSigned\.forever: unknown field/],
}

for (const object of custom) {
  const [path = '', value, said = /./] = wrong[object.kind] ?? []
  withSchemas(
    `${object.kind}: right it passes; unknown fields and a wrong ${path} are found`,
    (t) => {
      t.deepEqual(ask(newest, object), [])
      const self = `${object.kind}/x`
      t.deepEqual(ask(newest, change(object, 'spec.typo', 1)), [
        `${self}: spec.typo: unknown field`,
      ])
      const numbered = ask(newest, change(object, 'metadata.labels.count', 3))
      t.deepEqual(numbered, [`${self}: metadata.labels.count: must be string, not 3`])
      t.regex(ask(newest, change(object, path, value))?.[0] ?? '', said)
    },
  )
}

withSchemas(
  'a default counts before the schema does, as in the API server: the type of an address',
  (t) => {
    const listeners = [{ name: 'tls', port: 443, protocol: 'TLS' }]
    const spec = { gatewayClassName: 'eg', listeners, addresses: [{ value: '192.0.2.1' }] }
    const edge = make('gateway.networking.k8s.io/v1', 'Gateway', spec)
    const before = structuredClone(edge)
    t.deepEqual(ask(newest, edge), [])
    t.deepEqual(edge, before)
  },
)
