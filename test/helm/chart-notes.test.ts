/** What NOTES say after an install: the steps in their order, and every contradiction that can be installed (templates/_warnings.tpl). */

import test from 'ava'
import { ciPath, inlinePolicy, renderValues, withImage } from '../support/chart.ts'
import { canRunHelm, renderChart } from '../support/helm.ts'

const withHelm = canRunHelm() ? test : test.skip
const file = (name: string) => ciPath(`${name}.yaml`)

async function notesOf(values: object | string): Promise<string> {
  const { notes } = await renderChart({
    values: typeof values === 'string' ? values : withImage(values),
  })
  return notes.replace(/\s+/g, ' ')
}

const policy = (spec: object) => ({ inline: inlinePolicy(spec) })
const evidence = (...kinds: string[]) => policy({ peer: { evidence: kinds } })
const dpop = policy({
  dpop: { origins: ['https://payments.example'] },
  routes: [{ name: 'all', require: { issuers: ['corp'], bindings: ['dpop'] } }],
})
const events = {
  revocation: {
    events: {
      corp: { issuer: 'https://idp.example', audience: 'https://m.example', keys: { file: '/k' } },
    },
  },
}
const redis = { existingSecret: 'redis' }
const istio = (more: object = {}) => ({ enabled: true, ...more })
const waypoints = [{ name: 'waypoint', namespace: 'shop' }]
const sidecars = [{ name: 'a', namespace: 'shop', selector: { app: 'a' } }]
const gateway = {
  securityPolicies: [
    { name: 'a', namespace: 'shop', targetRefs: [{ group: 'g', kind: 'Gateway', name: 'a' }] },
  ],
}

/** Each: what must be said, values that deserve it, and nearly the same that do not. */
const warnings: readonly (readonly [said: string, deserves: object, does_not: object])[] = [
  ['The starter policy is in force', {}, { policy: policy({}) }],
  [
    'each token is then recorded as keys_unavailable',
    {},
    { kubernetesIssuer: { anonymousKeys: true } },
  ],
  ['The chart cannot look into the ConfigMap own', { policy: { existingConfigMap: 'own' } }, {}],
  [
    'policy.inline names the file revoked.yaml (spec.revocation.denylist)',
    { policy: policy({ revocation: { denylist: { file: 'revoked.yaml' } } }) },
    {
      policy: {
        ...policy({ revocation: { denylist: { file: 'revoked.yaml' } } }),
        files: { 'revoked.yaml': '[]' },
      },
    },
  ],
  [
    'which Istio never sends by itself',
    { policy: evidence('certificate'), istio: istio() },
    { policy: evidence('certificate'), istio: istio({ envoyFilter: { enabled: true } }) },
  ],
  [
    'your waypoints need the annotation',
    { policy: evidence('waypoint'), istio: istio() },
    { policy: evidence('waypoint'), istio: istio({ waypoints }) },
  ],
  [
    'behind waypoints nobody would be known',
    { policy: evidence('certificate', 'xfcc'), istio: istio({ waypoints }) },
    { istio: istio({ waypoints }) },
  ],
  [
    'Serve them with another release',
    { istio: istio({ waypoints, authorizationPolicies: sidecars }) },
    { istio: istio({ authorizationPolicies: sidecars }) },
  ],
  [
    'thumbprints cannot be compared there',
    { policy: evidence('certificate'), envoyGateway: gateway },
    { policy: evidence('xfcc'), envoyGateway: gateway },
  ],
  ['each would take a proof once', { policy: dpop }, { policy: dpop, redis }],
  ['each would take a proof once', { policy: dpop }, { policy: dpop, replicaCount: 1 }],
  [
    'each would take a proof once',
    { policy: dpop, replicaCount: 1, autoscaling: { enabled: true } },
    { policy: policy({}), replicaCount: 3 },
  ],
  [
    'the others would not know of it',
    { events: { enabled: true } },
    { events: { enabled: true }, redis },
  ],
  [
    'nothing listens for them',
    { policy: policy(events) },
    { policy: policy(events), events: { enabled: true } },
  ],
  [
    'Security events are taken without TLS',
    { events: { enabled: true } },
    { events: { enabled: true, existingSecret: 'tls' } },
  ],
  ['One replica: while it is moved', { replicaCount: 1 }, {}],
  [
    'its proxies need a DestinationRule',
    { istio: istio(), tls: { enabled: true, existingSecret: 'tls' } },
    { tls: { enabled: true, existingSecret: 'tls' } },
  ],
  [
    'of which there are none',
    { istio: istio({ envoyFilter: { enabled: true } }) },
    { istio: istio({ envoyFilter: { enabled: true }, authorizationPolicies: sidecars }) },
  ],
  [
    'set service.headless.enabled',
    { envoy: { enabled: true } },
    { envoy: { enabled: true }, service: { headless: { enabled: true } } },
  ],
  [
    'it needs a BackendTLSPolicy',
    { envoyGateway: gateway, tls: { enabled: true, existingSecret: 'tls' } },
    { envoyGateway: gateway },
  ],
  ['Every pod of the cluster can ask meshbind', {}, { networkPolicy: { enabled: true } }],
]

for (const [i, [said, deserves, doesNot]] of warnings.entries()) {
  withHelm(`NOTES warn where it is deserved, and nowhere else (${i}): ${said}`, async (t) => {
    const notes = await notesOf(deserves)
    t.true(notes.includes(said), notes)
    t.true(notes.includes('LOOK AT THIS FIRST'))
    const others = await notesOf(doesNot)
    t.false(others.includes(said), others)
  })
}

withHelm('a set of values in which nothing contradicts has nothing to look at first', async (t) => {
  t.false((await notesOf(file('production'))).includes('LOOK AT THIS FIRST'))
})

withHelm(
  'Istio: ready first, then the provider, then what hands requests to it; numbered without a gap',
  async (t) => {
    for (const shape of [
      'istio-sidecars',
      'istio-ambient',
      'istio-injected',
      'envoy-unix',
      'defaults',
    ]) {
      const { notes } = await renderChart({ values: file(shape) })
      const steps = [...notes.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number))
      t.deepEqual(
        steps,
        steps.map((_, i) => i + 1),
        shape,
      )
    }
    const notes = await notesOf(file('istio-sidecars'))
    const places = [
      'Wait until it is ready',
      'extensionProviders',
      'AuthorizationPolicies are installed',
      'mode audit',
    ].map((text) => notes.indexOf(text))
    t.false(places.includes(-1))
    t.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    )
  },
)

withHelm('the timeout of the provider is always there: Istio’s own is 600 s', async (t) => {
  t.regex(await notesOf({ istio: istio() }), /timeout: "?0\.5s/)
  t.regex(await notesOf({ istio: istio({ timeout: '250ms' }) }), /timeout: "?250ms/)
})

withHelm('NOTES say that nothing is blocked only where no route enforces', async (t) => {
  const audit = policy({ mode: 'audit' })
  const route = { name: 'all', mode: 'enforce', require: { issuers: ['corp'], bindings: ['jwk'] } }
  const said = 'Nothing is blocked yet'
  t.true((await notesOf({})).includes(said))
  t.true((await notesOf({ policy: audit })).includes(said))
  t.false((await notesOf({ policy: policy({}) })).includes(said))
  t.false((await notesOf({ policy: policy({ mode: 'audit', routes: [route] }) })).includes(said))
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
