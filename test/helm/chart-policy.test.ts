import test from 'ava'
import { parse } from 'yaml'
import { compileText, type Field, inlinePolicy, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip

async function dataOf(values: object): Promise<Field> {
  return find((await renderValues(values)).objects, 'ConfigMap', 'meshbind-policy').data
}
const starterOf = async (values: object) => {
  const text = (await dataOf(values))['policy.yaml']
  compileText(text)
  return parse(text).spec
}

withHelm('the inline policy is in the ConfigMap as it was given', async (t) => {
  const inline = inlinePolicy({ mode: 'audit' })
  const data = await dataOf({ policy: { inline } })
  t.deepEqual(Object.keys(data), ['policy.yaml'])
  t.deepEqual(parse(data['policy.yaml']), inline)
})

withHelm(
  'with an existing ConfigMap nothing is rendered: it is mounted, by the key that is given',
  async (t) => {
    const { objects } = await renderValues({
      policy: { existingConfigMap: 'ours', key: 'binding.yaml' },
    })
    t.false(findAll(objects, 'ConfigMap').some(({ metadata }) => metadata.name.endsWith('-policy')))
    const { volumes, containers } = find(objects, 'Deployment').spec.template.spec
    t.deepEqual(volumes[0].configMap, { name: 'ours' })
    t.is(containers[0].args[1], '--policy=/etc/meshbind/policy/binding.yaml')
  },
)

const texts = {
  'plain.txt': 'a\nb\n',
  'no-newline.json': '{"keys":[]}',
  'indented.txt': '   first\nsecond\n',
  'more-newlines.txt': 'a\n\n\n',
  'leading-newline.txt': '\na\n',
  'tabs.txt': '\ta: 1\r\n',
  'markup.txt': '<&> {{ .Values.image }} "x" \\n # no comment: é\u2028',
  'empty.txt': '',
}
withHelm('files are in the ConfigMap byte for byte, and are no templates', async (t) => {
  const { 'policy.yaml': policy, ...files } = await dataOf({ policy: { files: texts } })
  t.deepEqual(files, texts)
  t.truthy(policy)
})

withHelm('every namespace that is named has the same policy, each once', async (t) => {
  const namespaces = ['shop', 'batch', 'meshbind']
  const files = { 'revoked.yaml': '[]\n' }
  const { objects } = await renderValues({ policy: { inline: inlinePolicy(), namespaces, files } })
  const copies = findAll(objects, 'ConfigMap').filter(
    ({ metadata }) => metadata.name === 'meshbind-policy',
  )
  t.deepEqual(copies.map(({ metadata }) => metadata.namespace).sort(), [
    'batch',
    'meshbind',
    'shop',
  ])
  for (const { data } of copies) t.deepEqual(data, copies[0]?.data)
})

withHelm(
  'without a Deployment the release’s own namespace has no copy, unless it is named',
  async (t) => {
    const { objects } = await renderValues({
      deployment: { enabled: false },
      policy: { namespaces: ['shop'] },
    })
    t.deepEqual(
      objects.map(({ metadata }) => metadata.namespace),
      ['shop'],
    )
  },
)

withHelm('the starter policy enforces nothing, for every request', async (t) => {
  const spec = await starterOf({})
  t.is(spec.mode, 'audit')
  t.deepEqual(
    spec.routes.map(({ match, mode }: Field) => [match, mode]),
    [[undefined, undefined]],
  )
  t.true(
    compileText((await dataOf({}))['policy.yaml']).routes.every(({ mode }) => mode === 'audit'),
  )
})

withHelm(
  'the starter knows the cluster’s own issuer: its keys, their CA and the identity in its tokens',
  async (t) => {
    const { issuers } = await starterOf({ policy: { starter: { trustDomain: 'mesh.example' } } })
    t.deepEqual(issuers.starter, {
      issuer: 'https://kubernetes.default.svc.cluster.local',
      audiences: ['meshbind'],
      keys: {
        url: 'https://kubernetes.default.svc.cluster.local/openid/v1/jwks',
        caFile: '/etc/meshbind/cluster/ca.crt',
      },
      identity: { kubernetes: 'mesh.example' },
    })
  },
)

withHelm(
  'the starter takes another issuer, by discovery or by the place of its keys',
  async (t) => {
    const starter = {
      issuer: 'https://idp.example',
      audiences: ['a', 'b: c'],
      identityClaim: 'spiffe',
    }
    const found = await starterOf({ policy: { starter } })
    t.deepEqual(found.issuers.starter, {
      issuer: 'https://idp.example',
      audiences: ['a', 'b: c'],
      keys: { discovery: true },
      identity: { claim: 'spiffe' },
    })
    const keysUrl = 'https://idp.example/keys?a=b'
    const told = await starterOf({ policy: { starter: { ...starter, keysUrl } } })
    t.deepEqual(told.issuers.starter.keys, { url: keysUrl })
  },
)

const spiffeOnly = ['spiffe']
const both = ['x5t#S256', 'spiffe']
const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'a' }]
const place = { name: 'a', namespace: 'shop' }
const evidence: readonly [of: string, values: object, evidence: string[], bindings: string[]][] = [
  ['no mesh', {}, ['certificate'], both],
  ['a plain Envoy', { envoy: { enabled: true } }, ['certificate'], both],
  ['Istio', { istio: { enabled: true } }, ['certificate', 'xfcc'], both],
  ['Istio’s waypoints', { istio: { enabled: true, waypoints: [place] } }, ['waypoint'], spiffeOnly],
  [
    'Envoy Gateway',
    { envoyGateway: { securityPolicies: [{ ...place, targetRefs }] } },
    ['certificate', 'xfcc'],
    both,
  ],
  [
    'Gateway API',
    {
      gatewayApi: {
        routes: [{ ...place, parentRefs: [{ name: 'e' }], backendRefs: [{ name: 'b', port: 80 }] }],
      },
    },
    ['certificate', 'xfcc'],
    both,
  ],
  [
    'the operator’s word before all',
    { istio: { enabled: true }, policy: { starter: { evidence: ['principal'] } } },
    ['principal'],
    // A principal alone shows no certificate: a thumbprint could never be confirmed, and the policy would not start.
    spiffeOnly,
  ],
]
for (const [of, values, expected, bindings] of evidence)
  withHelm(`evidence of the starter: ${of}`, async (t) => {
    const { peer, routes } = await starterOf(values)
    t.deepEqual(peer.evidence, expected)
    t.deepEqual(routes[0].require.bindings, bindings)
  })

withHelm(
  'the cluster’s public keys are opened to everybody on the operator’s word alone, sidecars included',
  async (t) => {
    t.is(findAll((await renderValues()).objects, 'ClusterRoleBinding').length, 0)
    const kubernetesIssuer = { anonymousKeys: true }
    const apart = { deployment: { enabled: false }, policy: { namespaces: ['shop'] } }
    for (const values of [{ kubernetesIssuer }, { kubernetesIssuer, ...apart }]) {
      const { roleRef, subjects, metadata } = find(
        (await renderValues(values)).objects,
        'ClusterRoleBinding',
      )
      t.is(metadata.name, 'meshbind-meshbind-issuer-keys')
      t.deepEqual((roleRef as Field).name, 'system:service-account-issuer-discovery')
      t.deepEqual(
        (subjects as Field).map(({ kind, name }: Field) => `${kind} ${name}`),
        ['Group system:unauthenticated'],
      )
    }
  },
)
