import test from 'ava'
import { type Field, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const group = 'gateway.networking.k8s.io'
const route = [{ group, kind: 'HTTPRoute', name: 'payments' }]
const gateway = [{ group, kind: 'Gateway', name: 'edge' }]
const caCertificateRefs = [{ group: '', kind: 'ConfigMap', name: 'mesh-ca' }]
const own = { service: { port: 443 } }
const backend = { name: 'meshbind', namespace: 'meshbind', port: 443 }

withHelm('Envoy Gateway asks the Service, and what gets no answer is refused', async (t) => {
  const securityPolicies = [
    { name: 'one', namespace: 'shop', targetRefs: route },
    { name: 'two', namespace: 'batch', targetRefs: gateway },
  ]
  const { objects } = await renderValues({
    ...own,
    envoyGateway: { securityPolicies, timeout: '300ms' },
  })
  const made = findAll(objects, 'SecurityPolicy')
  t.is(made.length, 2)
  for (const { spec } of made)
    t.deepEqual(spec.extAuth, {
      failOpen: false,
      timeout: '300ms',
      grpc: { backendRefs: [backend] },
    })
  t.deepEqual(find(objects, 'SecurityPolicy', 'one').spec.targetRefs, route)
  t.is(find(objects, 'SecurityPolicy', 'two').metadata.namespace, 'batch')
})

withHelm(
  'Envoy Gateway demands certificates and shows them in XFCC, and believes no XFCC of a client',
  async (t) => {
    const clientTrafficPolicies = [
      { name: 'mtls', namespace: 'shop', targetRefs: gateway, caCertificateRefs },
    ]
    const { objects } = await renderValues({ envoyGateway: { clientTrafficPolicies } })
    t.deepEqual(find(objects, 'ClientTrafficPolicy').spec, {
      targetRefs: gateway,
      tls: { clientValidation: { mode: 'RequireAndVerify', caCertificateRefs } },
      headers: { xForwardedClientCert: { mode: 'SanitizeSet', certDetailsToAdd: ['URI', 'Cert'] } },
      path: { escapedSlashesAction: 'RejectRequest' },
    })
  },
)

const place = { name: 'payments', namespace: 'shop' }
const parentRefs = [{ name: 'edge' }]
const backendRefs = [{ name: 'payments', port: 8080 }]

withHelm('a route asks by its ExternalAuth filter before it forwards', async (t) => {
  const matches = [{ path: { type: 'PathPrefix', value: '/v1' } }]
  const routes = [{ ...place, parentRefs, backendRefs, matches, hostnames: ['payments.example'] }]
  const { objects } = await renderValues({ ...own, gatewayApi: { routes } })
  t.deepEqual(find(objects, 'HTTPRoute').spec, {
    parentRefs,
    hostnames: ['payments.example'],
    rules: [
      {
        matches,
        filters: [
          { type: 'ExternalAuth', externalAuth: { protocol: 'GRPC', backendRef: backend } },
        ],
        backendRefs,
      },
    ],
  })
})

withHelm('a route without hosts and matches has neither', async (t) => {
  const { objects } = await renderValues({
    gatewayApi: { routes: [{ ...place, parentRefs, backendRefs }] },
  })
  const { spec } = find(objects, 'HTTPRoute')
  t.false('hostnames' in spec)
  t.false('matches' in spec.rules[0])
})

withHelm(
  'each namespace that asks may name the Service, once, and nothing else of this namespace',
  async (t) => {
    const securityPolicies = [
      { name: 'one', namespace: 'shop', targetRefs: route },
      { name: 'two', namespace: 'shop', targetRefs: gateway },
    ]
    const routes = [{ ...place, parentRefs, backendRefs }]
    const { objects } = await renderValues({
      envoyGateway: { securityPolicies },
      gatewayApi: { routes },
    })
    const { metadata, spec } = find(objects, 'ReferenceGrant')
    t.is(metadata.namespace, 'meshbind')
    t.deepEqual(
      spec.from.map((from: Field) => `${from.group} ${from.kind} ${from.namespace}`),
      ['gateway.envoyproxy.io SecurityPolicy shop', 'gateway.networking.k8s.io HTTPRoute shop'],
    )
    t.deepEqual(spec.to, [
      { group: '', kind: 'Service', name: find(objects, 'Service').metadata.name },
    ])
  },
)

withHelm('where nobody asks from elsewhere there is no grant', async (t) => {
  t.is(findAll((await renderValues()).objects, 'ReferenceGrant').length, 0)
})
