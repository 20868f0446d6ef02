import test from 'ava'
import { ciPath, renderValues, withImage } from '../support/chart.ts'
import { canRunHelm, renderChart, renderFailure } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const apart = { deployment: { enabled: false }, policy: { namespaces: ['shop'] } }
const targetRefs = [{ kind: 'Gateway', name: 'edge' }]
const parentRefs = [{ name: 'edge' }]
const place = { name: 'a', namespace: 'shop' }
const missing = 'would ask its Service, which is not there'

/** What would be installed, and would then end every start or refuse every request: see templates/_checks.tpl. */
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

withHelm('NOTES: requests must be led through the waypoints, or nobody asks', async (t) => {
  const { notes } = await renderChart({ values: ciPath('istio-ambient.yaml') })
  t.regex(notes, /kubectl label namespace shop istio\.io\/use-waypoint=waypoint/)
  t.false((await renderValues({ istio: { enabled: true } })).notes.includes('use-waypoint'))
})

withHelm('NOTES: helm test is named where it is rendered, and there alone', async (t) => {
  const inline = { existingConfigMap: 'ours' }
  const question = { attributes: {} }
  const isNamed = async (values: object) =>
    (await renderValues(values)).notes.includes('helm test meshbind')
  t.true(await isNamed({}))
  t.false(await isNamed({ policy: inline }))
  t.true(await isNamed({ policy: inline, helmTest: { allowed: question } }))
  t.true(await isNamed({ policy: inline, helmTest: { refused: question } }))
  t.false(await isNamed({ helmTest: { enabled: false } }))
})

withHelm(
  'NOTES: an Envoy that asks over a Unix socket is told where its meshbind comes from',
  async (t) => {
    const { notes } = await renderChart({ values: ciPath('envoy-unix.yaml') })
    t.regex(notes, /charts\/meshbind-sidecar/)
    t.false((await renderValues({ envoy: { enabled: true } })).notes.includes('meshbind-sidecar'))
  },
)
