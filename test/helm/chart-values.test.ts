/** Wrong values fail before anything is installed, with a sentence that names the value (templates/_checks.tpl, values.schema.json). */

import test from 'ava'
import { parse } from 'yaml'
import { valuesJsonSchema } from '../../docs/values-schema.ts'
import { chartFile, inlinePolicy, withImage } from '../support/chart.ts'
import { canRunHelm, renderChart, renderFailure } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const image = { repository: 'registry.example/meshbind' }
const selected = { name: 'payments', namespace: 'shop', selector: { app: 'payments' } }
const istio = (more: object) => ({ istio: { enabled: true, ...more } })

const inline = (corp: object) => {
  const { spec, ...policy } = inlinePolicy()
  const issuers = { corp: { ...spec.issuers.corp, ...corp } }
  return { policy: { inline: { ...policy, spec: { ...spec, issuers } } } }
}

const refusals: readonly (readonly [values: object, sentence: string])[] = [
  [{ image: {} }, 'image.repository is empty'],
  [
    { policy: { ...inline({}).policy, existingConfigMap: 'own' } },
    'policy.inline and policy.existingConfigMap are both given: keep one',
  ],
  [
    { policy: { existingConfigMap: 'own', files: { 'a.yaml': 'a' } } },
    'policy.files is given beside policy.existingConfigMap',
  ],
  [
    { policy: { existingConfigMap: 'own', namespaces: ['shop'] } },
    'policy.namespaces is given beside policy.existingConfigMap',
  ],
  [{ policy: { files: { 'policy.yaml': 'a' } } }, 'policy.files has the name of the policy itself'],
  [{ tls: { enabled: true } }, 'tls.enabled needs tls.existingSecret or tls.certManager.enabled'],
  [{ tls: { certManager: { enabled: true } } }, 'without effect while tls.enabled is false'],
  [
    { tls: { enabled: true, certManager: { enabled: true } } },
    'tls.certManager.issuerRef.name is empty',
  ],
  [
    { autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 4 } },
    'autoscaling.minReplicas is 5, more than autoscaling.maxReplicas, 4',
  ],
  [
    { metrics: { serviceMonitor: { enabled: true }, podMonitor: { enabled: true } } },
    'every replica would be counted twice',
  ],
  [{ server: { grpcPort: 9465 } }, 'server.grpcPort and server.probePort are the same'],
  [{ istio: { waypoints: [{ name: 'w', namespace: 'shop' }] } }, 'istio.enabled is false'],
  [
    istio({
      authorizationPolicies: [{ ...selected, targetRefs: [{ kind: 'Service', name: 'payments' }] }],
    }),
    'payments has both selector and targetRefs',
  ],
  [
    istio({ authorizationPolicies: [{ name: 'all', namespace: 'meshbind' }] }),
    'meshbind among them, which would have to ask itself',
  ],
  [
    istio({ authorizationPolicies: [{ name: 'all', namespace: 'istio-system' }] }),
    'chooses every workload of the mesh',
  ],
  [{ deployment: { enabled: false } }, 'there is nothing else to install'],
]

for (const [values, sentence] of refusals) {
  withHelm(`the chart refuses what cannot stand together: ${sentence}`, async (t) => {
    const failure = await renderFailure(withImage(values))
    t.true(failure.includes(sentence), failure)
  })
}

const apart = { deployment: { enabled: false }, policy: { namespaces: ['shop'] } }
const targetRefs = [{ kind: 'Gateway', name: 'edge' }]
const parentRefs = [{ name: 'edge' }]
const place = { name: 'a', namespace: 'shop' }
const missing = 'would ask its Service, which is not there'

/** What would be installed, and would then end every start or refuse every request. */
const refused: readonly (readonly [of: string, values: object, sentence: string])[] = [
  ['an hour', { server: { maxConnectionAge: '1h' } }, 'server.maxConnectionAge is 1h'],
  ['a duration of nothing', { server: { deadline: '0ms' } }, 'server.deadline is 0ms'],
  ['a drain of nothing', { server: { drainSeconds: 0 } }, 'server.drainSeconds'],
  [
    'a waypoint beside other evidence',
    { policy: { starter: { evidence: ['certificate', 'waypoint'] } } },
    'policy.starter.evidence',
  ],
  [
    'evidence twice',
    { policy: { starter: { evidence: ['xfcc', 'xfcc'] } } },
    'policy.starter.evidence',
  ],
  ['an Envoy over TCP without a server', { ...apart, envoy: { enabled: true } }, missing],
  [
    'an AuthorizationPolicy without server and sidecar',
    {
      ...apart,
      istio: { enabled: true, authorizationPolicies: [{ ...place, selector: { app: 'a' } }] },
    },
    missing,
  ],
  [
    'a SecurityPolicy without a server',
    { ...apart, envoyGateway: { securityPolicies: [{ ...place, targetRefs }] } },
    missing,
  ],
  [
    'a route without a server',
    {
      ...apart,
      gatewayApi: { routes: [{ ...place, parentRefs, backendRefs: [{ name: 'b', port: 80 }] }] },
    },
    missing,
  ],
]
for (const [of, values, sentence] of refused)
  withHelm(`the chart refuses ${of}, which would fail after the install`, async (t) => {
    const failure = await renderFailure(withImage(values))
    t.true(failure.includes(sentence), failure)
  })

/** Where it stands, as Helm says it. */
const misfits: readonly (readonly [values: object, place: string])[] = [
  [{ replicas: 3 }, "additional properties 'replicas' not allowed"],
  [{ server: { grpcprt: 1 } }, "'/server': additional properties 'grpcprt' not allowed"],
  [{ image: { ...image, digest: 'sha256:abc' } }, "'/image/digest'"],
  [{ server: { deadline: '150' } }, "'/server/deadline'"],
  [{ server: { maxConnectionAge: false } }, "'/server/maxConnectionAge'"],
  [{ server: { decisionLog: 'some' } }, "'/server/decisionLog'"],
  [{ replicaCount: 0 }, "'/replicaCount'"],
  [{ replicaCount: '2' }, "'/replicaCount'"],
  [{ service: { port: 70_000 } }, "'/service/port'"],
  [{ envoy: { transport: 'udp' } }, "'/envoy/transport'"],
  [{ policy: { key: '../policy.yaml' } }, "'/policy/key'"],
  [{ policy: { files: { 'a/b': 'text' } } }, "'/policy/files': additional properties 'a/b'"],
  [
    { policy: { inline: inlinePolicy({ issuers: { Corp: {} } }) } },
    "'/policy/inline/spec/issuers': additional properties 'Corp'",
  ],
  [istio({ provider: 'Not.A.Label' }), "'/istio/provider'"],
  [istio({ authorizationPolicies: [{ name: 'a' }] }), "missing property 'namespace'"],
  [
    inline({ audience: ['a'] }),
    "'/policy/inline/spec/issuers/corp': additional properties 'audience'",
  ],
  [inline({ audiences: [] }), "'/policy/inline/spec/issuers/corp/audiences'"],
  [inline({ maxLifetime: '15 minutes' }), "'/policy/inline/spec/issuers/corp/maxLifetime'"],
  [{ policy: { inline: { kind: 'BindingPolicy' } } }, "'/policy/inline'"],
]

for (const [i, [values, place]] of misfits.entries()) {
  withHelm(`the values’ schema refuses a misfit where it stands (${i}): ${place}`, async (t) => {
    const failure = await renderFailure(withImage(values))
    t.true(failure.includes(place), failure)
  })
}

withHelm('the controls of those pass: the same values without the fault', async (t) => {
  for (const values of [inline({}), istio({ authorizationPolicies: [selected] }), {}])
    await t.notThrowsAsync(renderChart({ values: withImage(values) }))
})

type Tree = { readonly [key: string]: unknown }
const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Keys of closed objects in the schema, dotted; those of values.yaml where the schema is closed. */
function keysOf(
  schema: Tree,
  values: unknown,
  path: string,
): { schema: string[]; values: string[] } {
  const { properties } = schema
  if (!isTree(properties) || !isTree(values)) return { schema: [path], values: [path] }
  const found = Object.keys(properties).map((key) =>
    Object.hasOwn(values, key)
      ? keysOf(properties[key] as Tree, values[key], `${path}.${key}`)
      : { schema: [`${path}.${key}`], values: [] },
  )
  const unknown = Object.keys(values).filter((key) => !Object.hasOwn(properties, key))
  return {
    schema: found.flatMap((each) => each.schema),
    values: [...found.flatMap((each) => each.values), ...unknown.map((key) => `${path}.${key}`)],
  }
}

test('the schema knows the keys of values.yaml, and values.yaml shows those of the schema', (t) => {
  const { schema, values } = keysOf(valuesJsonSchema(), parse(chartFile('values.yaml')), '')
  // `global` and the library's values come from Helm; the rest is left out as an empty default says more.
  const unshown = new Set(['.global', '.meshbind-sidecar', '.resources.claims'])
  const optional = (key: string) =>
    unshown.has(key) || key.startsWith('.tls.certManager.issuerRef.')
  t.deepEqual(
    values.filter((key) => !schema.includes(key)),
    [],
  )
  t.deepEqual(
    schema.filter((key) => !values.includes(key) && !optional(key)),
    [],
  )
})
