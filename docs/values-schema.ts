/** The JSON Schema of the chart's values, with the policy's own schema inside: a typo in either fails before anything is installed. */

import { policyJsonSchema } from '../src/policy/schema.ts'

type Schema = { readonly [keyword: string]: unknown }

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const count: Schema = { type: 'integer', minimum: 1 }
const port: Schema = { type: 'integer', minimum: 1, maximum: 65535 }
const seconds: Schema = { type: 'integer', minimum: 0, maximum: 3600 }
const anyMap: Schema = { type: 'object' }
const anyList: Schema = { type: 'array' }
const labels: Schema = { type: 'object', additionalProperties: { type: 'string' } }
const percentage: Schema = { type: 'integer', minimum: 1, maximum: 100 }
const name: Schema = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$' }
const nameOrNone: Schema = { type: 'string', pattern: '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$' }
const fileName = { type: 'string', pattern: '^[A-Za-z0-9._-]{1,253}$' }
/** As the command line takes it: a number with `ms`, `s`, `m` or `h`. */
const duration: Schema = { type: 'string', pattern: '^[0-9]{1,7}(ms|s|m|h)$' }
/** As Kubernetes and Envoy take it. */
const proxyDuration: Schema = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$' }

const list = (items: Schema): Schema => ({ type: 'array', items })
const oneOf = (...values: string[]): Schema => ({ type: 'string', enum: values })

/** Nothing but these keys. */
function map(properties: { readonly [key: string]: Schema }, ...required: string[]): Schema {
  const demanded = required.length === 0 ? {} : { required }
  return { type: 'object', additionalProperties: false, properties, ...demanded }
}

const targetReference = map(
  { group: text, kind: text, name: text, sectionName: text },
  'kind',
  'name',
)

const { $schema, ...policy } = policyJsonSchema() as Schema

/** Helm names another value than the wrong one where `propertyNames` does not fit; `patternProperties` say the same. */
function withoutPropertyNames(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutPropertyNames)
  if (typeof schema !== 'object' || schema === null) return schema
  const { propertyNames, additionalProperties, ...rest } = schema as Schema
  const converted = Object.fromEntries(
    Object.entries(rest).map(([keyword, value]) => [keyword, withoutPropertyNames(value)]),
  )
  const values = withoutPropertyNames(additionalProperties)
  const pattern = (propertyNames as Schema | undefined)?.['pattern']
  if (typeof pattern === 'string')
    return { ...converted, patternProperties: { [pattern]: values }, additionalProperties: false }
  return {
    ...converted,
    ...(propertyNames === undefined ? {} : { propertyNames }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: values }),
  }
}

const properties: { readonly [key: string]: Schema } = {
  global: anyMap,
  /** Values of the library beside the chart. */
  'meshbind-sidecar': anyMap,
  nameOverride: text,
  fullnameOverride: text,
  commonLabels: labels,
  imagePullSecrets: list(map({ name }, 'name')),
  image: map({
    registry: text,
    repository: text,
    tag: text,
    digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
    pullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
  }),
  deployment: map({ enabled: flag, annotations: labels }),
  replicaCount: count,
  policy: map({
    // An empty one stands for none.
    inline: { type: 'object', if: { maxProperties: 0 }, else: { $ref: '#/$defs/policy' } },
    existingConfigMap: nameOrNone,
    key: fileName,
    files: {
      type: 'object',
      patternProperties: { [fileName.pattern]: text },
      additionalProperties: false,
    },
    namespaces: list(name),
    starter: map({
      trustDomain: { type: 'string', pattern: '^[a-z0-9._-]{1,255}$' },
      issuer: { type: 'string', pattern: '^https?://' },
      audiences: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
      keysUrl: { type: 'string', pattern: '^(https?://.+)?$' },
      identityClaim: { type: 'string', minLength: 1 },
      evidence: list(oneOf('certificate', 'xfcc', 'principal', 'waypoint')),
    }),
  }),
  server: map({
    bindAddress: { type: 'string', minLength: 1 },
    grpcPort: port,
    probePort: port,
    deadline: duration,
    workers: { type: 'integer', minimum: 1, maximum: 64 },
    maxInFlight: count,
    maxConnectionAge: { type: 'string', pattern: '^(off|[0-9]{1,7}(s|m|h))$' },
    shutdownDelaySeconds: seconds,
    drainSeconds: seconds,
    logLevel: oneOf('debug', 'info', 'warn', 'error'),
    decisionLog: { type: 'string', pattern: '^(all|deny|off|sample:[1-9][0-9]*)$' },
  }),
  redis: map({ existingSecret: nameOrNone, key: fileName }),
  dpop: map({ nonceKey: map({ existingSecret: nameOrNone, key: fileName }) }),
  tls: map({
    enabled: flag,
    existingSecret: nameOrNone,
    requireClientCertificate: flag,
    certManager: map({
      enabled: flag,
      issuerRef: map({ name, kind: text, group: text }),
      duration: proxyDuration,
      renewBefore: proxyDuration,
    }),
  }),
  events: map({ enabled: flag, port, existingSecret: nameOrNone }),
  kubernetesIssuer: map({ anonymousKeys: flag }),
  service: map({
    type: oneOf('ClusterIP', 'NodePort', 'LoadBalancer'),
    port,
    appProtocol: text,
    trafficDistribution: oneOf('', 'PreferClose', 'PreferSameZone', 'PreferSameNode'),
    annotations: labels,
    headless: map({ enabled: flag }),
  }),
  serviceAccount: map({ create: flag, name: nameOrNone, annotations: labels }),
  podDisruptionBudget: map({
    enabled: flag,
    maxUnavailable: {
      oneOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: '^[0-9]{1,3}%$' },
      ],
    },
  }),
  autoscaling: map({
    enabled: flag,
    minReplicas: count,
    maxReplicas: count,
    targetCPUUtilizationPercentage: percentage,
    behavior: anyMap,
  }),
  networkPolicy: map({
    enabled: flag,
    clients: list(anyMap),
    scrapers: list(anyMap),
    eventSenders: list(anyMap),
    egress: list(anyMap),
  }),
  podSecurityContext: anyMap,
  securityContext: anyMap,
  resources: map({ requests: anyMap, limits: anyMap, claims: anyList }),
  nodeOptions: text,
  nodeSelector: labels,
  affinity: anyMap,
  tolerations: list(anyMap),
  topologySpreadConstraints: list(anyMap),
  priorityClassName: nameOrNone,
  podLabels: labels,
  podAnnotations: labels,
  extraArgs: list(text),
  extraEnv: list(anyMap),
  extraVolumes: list(anyMap),
  extraVolumeMounts: list(anyMap),
  extraObjects: { type: 'array', items: { type: ['object', 'string'] } },
  tracing: map({ otlpEndpoint: { type: 'string', pattern: '^(https?://.+)?$' } }),
  metrics: map({
    serviceMonitor: map({ enabled: flag, interval: duration, labels }),
    podMonitor: map({ enabled: flag, interval: duration, labels }),
    prometheusRule: map({ enabled: flag, labels, runbookBaseUrl: text }),
  }),
  grafana: map({ dashboards: map({ enabled: flag, labels, annotations: labels }) }),
  istio: map({
    enabled: flag,
    // Istio: a DNS label (pilot, extension provider validation).
    provider: { type: 'string', pattern: '^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$' },
    timeout: proxyDuration,
    authorizationPolicies: list(
      map(
        {
          name,
          namespace: name,
          selector: { ...labels, minProperties: 1 },
          targetRefs: { type: 'array', items: targetReference, minItems: 1 },
          rules: { type: 'array', items: anyMap, minItems: 1 },
          gateway: flag,
        },
        'name',
        'namespace',
      ),
    ),
    envoyFilter: map({ enabled: flag }),
    waypoints: list(map({ name, namespace: name }, 'name', 'namespace')),
    sidecar: map({ enabled: flag, host: name }),
  }),
  envoy: map({
    enabled: flag,
    transport: oneOf('tcp', 'unix'),
    listenPort: port,
    upstreamPort: port,
    tlsDirectory: { type: 'string', pattern: '^/' },
    socket: { type: 'string', pattern: '^/' },
    timeout: { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?s$' },
  }),
  envoyGateway: map({
    securityPolicies: list(
      map(
        { name, namespace: name, targetRefs: list(targetReference) },
        'name',
        'namespace',
        'targetRefs',
      ),
    ),
    clientTrafficPolicies: list(
      map(
        {
          name,
          namespace: name,
          targetRefs: list(targetReference),
          caCertificateRefs: { type: 'array', items: anyMap, minItems: 1 },
        },
        'name',
        'namespace',
        'targetRefs',
        'caCertificateRefs',
      ),
    ),
    timeout: duration,
  }),
  gatewayApi: map({
    routes: list(
      map(
        {
          name,
          namespace: name,
          parentRefs: { type: 'array', items: anyMap, minItems: 1 },
          hostnames: list(text),
          matches: list(anyMap),
          backendRefs: { type: 'array', items: anyMap, minItems: 1 },
        },
        'name',
        'namespace',
        'parentRefs',
        'backendRefs',
      ),
    ),
  }),
  helmTest: map({
    enabled: flag,
    allowed: anyMap,
    refused: anyMap,
    expectRefused: { type: 'string', pattern: '^[a-z_]+$' },
    clientSecret: nameOrNone,
  }),
}

/** `helm/meshbind/values.schema.json`. */
export function valuesJsonSchema(): Schema {
  return {
    $schema,
    title: 'Values of the meshbind chart',
    ...map(properties),
    $defs: { policy: withoutPropertyNames(policy) },
  }
}
