/** The chart's pod, started from what Helm renders: its arguments, environment, probes and mounts, with a real Envoy. */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import { parse } from 'yaml'
import {
  askEnvoy,
  type ChartMesh,
  localValues,
  settle,
  shopPolicy,
  startChartMesh,
} from '../support/chart-mesh.ts'
import {
  type Container,
  dataOf,
  mountVolumes,
  type RunningPod,
  runContainer,
  startPod,
} from '../support/chart-pod.ts'
import { canRunEnvoy } from '../support/e2e.ts'
import { canRunHelm, find, type KubeObject, renderChart } from '../support/helm.ts'
import type { Leaf } from '../support/pki.ts'

const test = anyTest as TestFn<{ mesh: ChartMesh }>
const hasHelm = canRunHelm()
const e2e = hasHelm && (await canRunEnvoy()) ? test.serial : test.serial.skip
const withHelm = hasHelm ? test.serial : test.serial.skip

const host = 'meshbind.meshbind.svc.cluster.local'

test.before(async (t) => {
  t.context = { mesh: await startChartMesh() }
})

test.after.always(async (t) => {
  await t.context.mesh?.close()
})

interface PolicyEdit {
  readonly mode?: 'audit'
  readonly revoked?: readonly object[]
}

/** The chart with a policy of one's own. */
async function renderInline({ issuer }: ChartMesh, { mode, revoked = [] }: PolicyEdit = {}) {
  const spec = { ...shopPolicy.spec, ...(mode === undefined ? {} : { mode }) }
  const values = {
    ...localValues,
    policy: {
      inline: { ...shopPolicy, spec },
      files: {
        'jwks.json': JSON.stringify(issuer.jwks),
        'revoked.yaml': JSON.stringify(revoked),
      },
    },
  }
  return (await renderChart({ values })).objects
}

async function started(
  t: ExecutionContext,
  objects: readonly KubeObject[],
  secrets: Parameters<typeof startPod>[1] = {},
): Promise<RunningPod> {
  const pod = await startPod(objects, secrets)
  t.teardown(() => pod.close())
  return pod
}

e2e(
  'helm/meshbind: the rendered container is started as rendered, decides, follows its ConfigMap and leaves in peace',
  async (t) => {
    const { mesh } = t.context
    const { orders, thief } = mesh
    const pod = await started(t, await renderInline(mesh))
    const { meshbind, container, args } = pod
    const policy = pod.volumes.volume('policy').path('policy.yaml')
    // What is not as rendered, and all of it: the mount, and the pod's own network.
    t.deepEqual(
      args.filter((argument) => !container.args.includes(argument)),
      [`--policy=${policy}`, '--listen=127.0.0.1:0', '--probe=127.0.0.1:0'],
    )
    const flagsOf = (list: readonly string[]) => list.map((argument) => argument.split('=')[0])
    t.deepEqual(flagsOf(args), flagsOf(container.args))
    t.true(container.env?.some(({ name }) => name === 'NODE_OPTIONS'))
    for (const kind of ['startup', 'liveness', 'readiness'] as const)
      t.is(await pod.probe(kind), 200, kind)

    const envoy = await mesh.startListeners({ inbound: { authz: meshbind.port } })
    t.teardown(() => envoy.stop())
    const token = await mesh.token({ jti: 'to-be-revoked' })
    const port = envoy.portOf('inbound')
    const ask = (as: Leaf) => askEnvoy(mesh, { port, as, token })
    t.is(await ask(orders), '200')
    t.is(await ask(thief), '401 binding_mismatch')

    const swap = async (edit: PolicyEdit) =>
      pod.volumes.volume('policy').swap(dataOf(await renderInline(mesh, edit), 'meshbind-policy'))
    await swap({ mode: 'audit' })
    const passed = await settle(
      () => ask(thief),
      (answer) => answer === '200',
    )
    t.is(passed, '200', 'the first swap: mode audit')
    await swap({ revoked: [{ issuer: 'https://idp.example', jti: 'to-be-revoked' }] })
    const refused = await settle(
      () => ask(orders),
      (answer) => answer !== '200',
    )
    t.is(
      refused,
      '401 token_revoked',
      'the second swap: enforced again, and the denylist beside it',
    )

    meshbind.kill('SIGTERM')
    await meshbind.waitFor(({ message }) => message === 'leaving')
    t.is(await pod.probe('readiness'), 503)
    t.is(await pod.probe('liveness'), 200)
    const another = await mesh.token()
    t.is(await askEnvoy(mesh, { port, as: orders, token: another }), '200', 'while it leaves')
    t.is(await meshbind.exited, 0)
    t.is(meshbind.lines.filter(({ message }) => message === 'ready').length, 1, 'no restart')
  },
)

/** The containers of `helm test`, with the Service's address translated to where the pod listens. */
async function runHelmTest(
  t: ExecutionContext,
  objects: readonly KubeObject[],
  { meshbind }: RunningPod,
  expected: { readonly [container: string]: number },
  secrets: Parameters<typeof startPod>[1] = {},
): Promise<void> {
  const { spec } = find(objects, 'Pod', 'meshbind-test')
  const containers: readonly Container[] = spec.containers
  t.deepEqual(
    containers.map(({ name }) => name),
    Object.keys(expected),
  )
  for (const container of containers) {
    const volumes = await mountVolumes(objects, spec, container, secrets)
    t.teardown(() => volumes.remove())
    const { code, output } = await runContainer(container, [
      [`${host}:9191`, `127.0.0.1:${meshbind.port}`],
      ...volumes.translations,
    ])
    t.is(code, expected[container.name] ?? null, `${container.name}: ${output}`)
  }
}

const bothAsExpected = { allowed: 0, refused: 0 }

withHelm(
  'helm/meshbind: with nothing but an image, the starter policy serves, and helm test finds it observing',
  async (t) => {
    const { objects } = await renderChart({ values: localValues })
    const pod = await started(t, objects)
    t.is(await pod.probe('readiness'), 200)
    await runHelmTest(t, objects, pod, bothAsExpected)
  },
)

const request = (path: string, method: string) => ({
  attributes: { request: { http: { method, host: 'payments.example', path, headers: {} } } },
})

withHelm(
  'helm/meshbind: helm test with requests of one’s own finds an inline policy enforced',
  async (t) => {
    const file = fileURLToPath(
      new URL('../../helm/meshbind/ci/inline-policy.yaml', import.meta.url),
    )
    const values = {
      ...parse(await readFile(file, 'utf8')),
      ...localValues,
      helmTest: {
        allowed: request('/healthz', 'GET'),
        refused: request('/v1/payments', 'POST'),
        expectRefused: 'deny',
      },
    }
    const { objects } = await renderChart({ values })
    const pod = await started(t, objects)
    await runHelmTest(t, objects, pod, bothAsExpected)
    const wrong = { ...values, helmTest: { ...values.helmTest, allowed: values.helmTest.refused } }
    const mistaken = (await renderChart({ values: wrong })).objects
    await runHelmTest(t, mistaken, pod, { allowed: 1, refused: 0 })
  },
)

withHelm(
  'helm/meshbind: helm test asks over TLS with the Secret, where clients must have a certificate',
  async (t) => {
    const { authority } = t.context.mesh
    const leaf = await authority.issue({
      names: [
        { type: 'dns', value: host },
        { type: 'ip', value: '127.0.0.1' },
      ],
    })
    const pair = { 'tls.crt': leaf.pem, 'tls.key': leaf.keyPem, 'ca.crt': authority.certificatePem }
    const secrets = { 'meshbind-tls': pair }
    const values = { ...localValues, tls: { enabled: true, existingSecret: 'meshbind-tls' } }
    const { objects } = await renderChart({ values })
    const pod = await started(t, objects, secrets)
    await runHelmTest(t, objects, pod, bothAsExpected, secrets)
  },
)
