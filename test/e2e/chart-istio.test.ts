/** The chart's starter policies behind the filters that Istio generates, imitated on a real Envoy. */

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import {
  gatewayListener,
  providerIn,
  sidecarListener,
  terminateFor,
  waypointListener,
} from '../support/chart-istio.ts'
import {
  askEnvoy,
  type ChartMesh,
  localValues,
  paymentsId,
  startChartMesh,
} from '../support/chart-mesh.ts'
import { dataOf, type RunningPod, startPod, translate, writeFiles } from '../support/chart-pod.ts'
import { canRunEnvoy } from '../support/e2e.ts'
import type { RunningEnvoy } from '../support/envoy.ts'
import { canRunHelm, type Rendered, renderChart } from '../support/helm.ts'
import type { Claims } from '../support/issuer.ts'
import { envoyConfig } from '../support/mesh.ts'
import type { Leaf } from '../support/pki.ts'
import { edit } from '../support/policy-text.ts'

const test = anyTest as TestFn<{ mesh: ChartMesh }>
const e2e = canRunHelm() && (await canRunEnvoy()) ? test.serial : test.serial.skip

test.before(async (t) => {
  t.context = { mesh: await startChartMesh() }
})

test.after.always(async (t) => {
  await t.context.mesh?.close()
})

const sidecars = {
  authorizationPolicies: [
    { name: 'payments', namespace: 'shop', selector: { app: 'payments' } },
    {
      name: 'edge',
      namespace: 'istio-system',
      selector: { istio: 'ingressgateway' },
      gateway: true,
    },
  ],
}
const waypoints = {
  waypoints: [{ name: 'waypoint', namespace: 'shop' }],
  authorizationPolicies: [
    {
      name: 'payments',
      namespace: 'shop',
      targetRefs: [{ group: '', kind: 'Service', name: 'payments' }],
    },
  ],
}

/** The starter policy for the test's issuer and trust domain; nothing else of it is chosen here. */
function renderFor(mesh: ChartMesh, istio: object): Promise<Rendered> {
  return renderChart({
    values: {
      ...localValues,
      istio: { ...localValues.istio, enabled: true, ...istio },
      policy: {
        starter: {
          issuer: mesh.issuer.issuer,
          keysUrl: mesh.keysUrl,
          audiences: ['https://payments.mesh.example'],
          trustDomain: 'mesh.example',
        },
      },
    },
  })
}

type Mode = 'audit' | 'enforce'

/** As rendered, in mode audit; or with that one word of the policy changed. */
async function startIn(
  t: ExecutionContext<{ mesh: ChartMesh }>,
  { objects }: Rendered,
  mode: Mode,
): Promise<RunningPod> {
  const data = dataOf(objects, 'meshbind-policy')
  const text = data['policy.yaml'] ?? ''
  const enforced = { ...data, 'policy.yaml': edit(text, 'mode: audit', 'mode: enforce') }
  const pod = await startPod(objects, mode === 'audit' ? {} : { 'meshbind-policy': enforced })
  t.teardown(() => pod.close())
  return pod
}

interface Presented {
  readonly orders: string
  readonly thief: string
}

/** What Envoy answers the owner and the thief of one token. */
async function present(
  mesh: ChartMesh,
  ask: (as: Leaf, token: string) => Promise<string>,
  claims: Claims = {},
): Promise<Presented> {
  const token = await mesh.token(claims)
  return { orders: await ask(mesh.orders, token), thief: await ask(mesh.thief, token) }
}

/** The decisions about both, with who presented the token, in the order of their requests. */
async function decided(
  { meshbind }: RunningPod,
  { orders, thief }: { readonly orders: Leaf; readonly thief: Leaf },
) {
  const by = (leaf: Leaf) =>
    meshbind.waitFor(
      ({ type, presenter }) => type === 'decision' && Object(presenter).spiffe_id === leaf.spiffeId,
    )
  const told = async (leaf: Leaf) => {
    const { decision, reason, enforced, presenter } = await by(leaf)
    return { decision, reason, enforced, evidence: Object(presenter).evidence }
  }
  return { orders: await told(orders), thief: await told(thief) }
}

const answers: { readonly [mode in Mode]: Presented } = {
  audit: { orders: '200', thief: '200' },
  enforce: { orders: '200', thief: '401 binding_mismatch' },
}

const decisions = (mode: Mode, evidence: string) => ({
  orders: { decision: 'allow', reason: null, enforced: mode === 'enforce', evidence },
  thief: { decision: 'deny', reason: 'binding_mismatch', enforced: mode === 'enforce', evidence },
})

const listeners = { sidecar: sidecarListener, gateway: gatewayListener } as const

for (const mode of ['audit', 'enforce'] as const) {
  for (const name of ['sidecar', 'gateway'] as const) {
    e2e(
      `helm/meshbind istio: the starter policy at a ${name}, in mode ${mode}, tells the owner from the thief`,
      async (t) => {
        const { mesh } = t.context
        const rendered = await renderFor(mesh, sidecars)
        const pod = await startIn(t, rendered, mode)
        const plan = listeners[name](name, pod.meshbind.port, providerIn(rendered.notes))
        const envoy = await mesh.startListeners({ [name]: plan })
        t.teardown(() => envoy.stop())
        const port = envoy.portOf(name)
        const ask = (as: Leaf, token: string) => askEnvoy(mesh, { port, as, token })
        t.deepEqual(await present(mesh, ask), answers[mode])
        t.deepEqual(await decided(pod, mesh), decisions(mode, 'xfcc'))
      },
    )
  }

  e2e(
    `helm/meshbind istio: the starter policy at a waypoint, in mode ${mode}, tells the owner from the thief`,
    async (t) => {
      const { mesh } = t.context
      const rendered = await renderFor(mesh, waypoints)
      const pod = await startIn(t, rendered, mode)
      const name = 'main_internal'
      const plan = waypointListener(name, pod.meshbind.port, providerIn(rendered.notes))
      const internal = await mesh.startListeners({ [name]: plan })
      const terminate = await startTerminate(mesh, internal.portOf(name))
      t.teardown(() => Promise.all([terminate.stop(), internal.stop()]))
      const port = terminate.portOf('connect_terminate')
      // What a caller writes itself is overwritten.
      const xfcc = `By=${paymentsId};URI=${mesh.orders.spiffeId}`
      const ask = (as: Leaf, token: string) => askEnvoy(mesh, { port, as, token, xfcc })
      // As ServiceAccount tokens are: their `sub` alone binds them. A `cnf` asks for what a waypoint cannot show.
      t.deepEqual(await present(mesh, ask, { cnf: undefined }), answers[mode])
      t.deepEqual(await decided(pod, mesh), decisions(mode, 'waypoint'))

      const certificateBound = await ask(mesh.orders, await mesh.token())
      t.is(certificateBound, mode === 'audit' ? '200' : '401 presenter_missing')

      // A peer without an identity: what the header then holds is no name of anybody.
      const nobody = { port: internal.portOf(name), as: undefined, plaintext: true }
      const token = await mesh.token({ cnf: undefined })
      const anonymous = await askEnvoy(mesh, { ...nobody, token, xfcc: `By=${paymentsId};URI=-` })
      if (mode === 'audit') t.is(anonymous, '200')
      else t.regex(anonymous, /^401 presenter_/)
    },
  )
}

e2e(
  'helm/meshbind istio: with no value but the mesh, ServiceAccount tokens are told apart by the keys of the API server',
  async (t) => {
    const { mesh } = t.context
    const values = { ...localValues, istio: { ...localValues.istio, enabled: true } }
    const { objects, notes } = await renderChart({ values })
    const cluster = await serveClusterKeys(mesh)
    t.teardown(() => cluster.close())
    const files = await writeFiles({ 'ca.crt': mesh.authority.certificatePem }, mesh.directory)
    const policy = translate(dataOf(objects, 'meshbind-policy')['policy.yaml'] ?? '', [
      [`url: "${clusterIssuer}/`, `url: "https://localhost:${cluster.port}/`],
      ['/etc/meshbind/cluster/', `${files.directory}/`],
    ])
    const pod = await startPod(objects, { 'meshbind-policy': { 'policy.yaml': policy } })
    t.teardown(() => pod.close())
    const listener = sidecarListener('sidecar', pod.meshbind.port, providerIn(notes))
    const envoy = await mesh.startListeners({ sidecar: listener })
    t.teardown(() => envoy.stop())
    const port = envoy.portOf('sidecar')

    const [orders, thief] = await Promise.all(
      ['spiffe://cluster.local/ns/shop/sa/orders', 'spiffe://cluster.local/ns/web/sa/blog'].map(
        (spiffeId) => mesh.authority.issue({ spiffeId }),
      ),
    )
    if (orders === undefined || thief === undefined) return t.fail()
    const claims = {
      iss: clusterIssuer,
      aud: ['meshbind'],
      sub: 'system:serviceaccount:shop:orders',
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'orders', uid: '1' } },
    }
    const token = await mesh.issuer.sign(claims, { typ: undefined })
    for (const as of [orders, thief]) t.is(await askEnvoy(mesh, { port, as, token }), '200')
    t.deepEqual(await decided(pod, { orders, thief }), decisions('audit', 'xfcc'))
    return undefined
  },
)

const clusterIssuer = 'https://kubernetes.default.svc.cluster.local'

/** The API server's keys, at its path, under a certificate of the CA that kube-root-ca.crt would hold. */
async function serveClusterKeys({ authority, issuer }: ChartMesh) {
  const leaf = await authority.issue({ names: [{ type: 'dns', value: 'localhost' }] })
  const server = createServer({ cert: leaf.pem, key: leaf.keyPem }, (request, response) =>
    request.url === '/openid/v1/jwks'
      ? response.end(JSON.stringify(issuer.jwks))
      : response.writeHead(404).end(),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { port, close: () => server.close() }
}

function startTerminate(mesh: ChartMesh, internalPort: number): Promise<RunningEnvoy> {
  const { authority, payments: certificate, backendPort } = mesh
  const plan = { authority, certificate, backendPort, listeners: { connect_terminate: {} } }
  return mesh.startConfig(terminateFor(envoyConfig(plan), 'connect_terminate', internalPort))
}
