/** The configuration that the chart gives an Envoy without a control plane: validated as rendered, and run. */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
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
  dataOf,
  type RunningPod,
  startPod,
  type Translation,
  translate,
  writeFiles,
} from '../support/chart-pod.ts'
import { canRunEnvoy } from '../support/e2e.ts'
import { findEnvoy, type RunningEnvoy } from '../support/envoy.ts'
import { canRunHelm, type KubeObject, renderChart } from '../support/helm.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'
import type { Leaf } from '../support/pki.ts'

const run = promisify(execFile)
const test = anyTest as TestFn<{ mesh: ChartMesh; tlsDirectory: string }>
const e2e = canRunHelm() && (await canRunEnvoy()) ? test.serial : test.serial.skip

const service = 'meshbind.meshbind.svc.cluster.local'
const headless = 'meshbind-headless.meshbind.svc.cluster.local'

test.before(async (t) => {
  const mesh = await startChartMesh()
  const { directory } = await writeFiles(pairOf(mesh, mesh.payments), mesh.directory)
  t.context = { mesh, tlsDirectory: directory }
})

test.after.always(async (t) => {
  await t.context.mesh?.close()
})

const pairOf = ({ authority }: ChartMesh, leaf: Leaf) => ({
  'tls.crt': leaf.pem,
  'tls.key': leaf.keyPem,
  'ca.crt': authority.certificatePem,
})

async function render({ issuer }: ChartMesh, values: object): Promise<readonly KubeObject[]> {
  const files = { 'jwks.json': JSON.stringify(issuer.jwks), 'revoked.yaml': '[]' }
  const { envoy, ...more } = values as { envoy?: object }
  return (
    await renderChart({
      values: {
        ...localValues,
        ...more,
        envoy: { ...localValues.envoy, enabled: true, ...envoy },
        policy: { inline: shopPolicy, files },
      },
    })
  ).objects
}

/** Of every transport: Envoy's listener, the service behind it, and where its own identity is. */
const everywhere = ({ mesh, tlsDirectory }: { mesh: ChartMesh; tlsDirectory: string }) =>
  [
    ['address: 0.0.0.0, port_value: 8443', 'address: 127.0.0.1, port_value: 0'],
    ['port_value: 8080', `port_value: ${mesh.backendPort}`],
    ['/run/tls/', `${tlsDirectory}/`],
  ] satisfies Translation[]

/** The Service's name as an address alone: as `sni` and as the name to verify it stays what it is. */
const addressOf = (name: string, port: number): Translation => [
  `address: ${name}, port_value: 9191`,
  `address: 127.0.0.1, port_value: ${port}`,
]

/** The rendered text with those translations, after Envoy itself has validated it. */
async function startRendered(
  t: ExecutionContext<{ mesh: ChartMesh; tlsDirectory: string }>,
  objects: readonly KubeObject[],
  translation: Translation,
): Promise<RunningEnvoy> {
  const rendered = dataOf(objects, 'meshbind-envoy')['envoy.yaml'] ?? ''
  const text = translate(rendered, [...everywhere(t.context), translation])
  const { mesh } = t.context
  const file = join(mesh.directory, 'envoy.yaml')
  await writeFile(file, text)
  await run(await findEnvoy(), ['--mode', 'validate', '-c', file, '--use-dynamic-base-id'])
  const envoy = await mesh.startConfig(parse(text))
  t.teardown(() => envoy.stop())
  return envoy
}

/** The statistic of the cluster `meshbind`. */
async function statOf(envoy: RunningEnvoy, name: string): Promise<number> {
  const full = `cluster.meshbind.${name}`
  return (await envoy.stats(`^${full.replaceAll('.', '\\.')}$`)).get(full) ?? 0
}

const ask = (mesh: ChartMesh, envoy: RunningEnvoy, as: Leaf, token: string) =>
  askEnvoy(mesh, { port: envoy.portOf('inbound'), as, token })

/** Owner, thief, health checks, and what comes when meshbind is gone. */
async function prove(
  t: ExecutionContext<{ mesh: ChartMesh }>,
  envoy: RunningEnvoy,
  meshbind: RunningMeshbind,
): Promise<void> {
  const { mesh } = t.context
  const token = await mesh.token()
  const healthy = () => statOf(envoy, 'membership_healthy')
  t.is(await settle(healthy, (count) => count === 1), 1)
  // A busy machine may need more than the rendered connect_timeout for a handshake, once.
  const owner = () => ask(mesh, envoy, mesh.orders, token)
  t.is(await settle(owner, (answer) => answer === '200'), '200')
  t.is(await ask(mesh, envoy, mesh.thief, token), '401 binding_mismatch')
  t.true((await statOf(envoy, 'health_check.success')) > 0)
  t.is(await meshbind.stop(), 0)
  t.is(await ask(mesh, envoy, mesh.orders, token), '403')
  t.is(await settle(healthy, (count) => count === 0), 0, 'its health checks see it')
}

async function startTls(
  t: ExecutionContext<{ mesh: ChartMesh }>,
  objects: readonly KubeObject[],
  name: string,
): Promise<RunningPod> {
  const { mesh } = t.context
  const leaf = await mesh.authority.issue({ names: [{ type: 'dns', value: name }] })
  const pod = await startPod(objects, { 'meshbind-tls': pairOf(mesh, leaf) })
  t.teardown(() => pod.close())
  return pod
}

const tls = { enabled: true, existingSecret: 'meshbind-tls' }

for (const [title, name, values] of [
  ['the Service', service, { tls }],
  ['the headless Service', headless, { tls, service: { headless: { enabled: true } } }],
] as const) {
  e2e(
    `helm/meshbind envoy: over TCP with mTLS to ${title}, the owner passes, a thief does not, nobody answers: refused`,
    async (t) => {
      const objects = await render(t.context.mesh, values)
      const { meshbind } = await startTls(t, objects, name)
      const envoy = await startRendered(t, objects, addressOf(name, meshbind.port))
      await prove(t, envoy, meshbind)
    },
  )
}

e2e(
  'helm/meshbind envoy: a meshbind of the same CA whose certificate has another name is not asked',
  async (t) => {
    const { mesh } = t.context
    const objects = await render(mesh, { tls })
    const { meshbind } = await startTls(t, objects, 'other.meshbind.svc.cluster.local')
    const envoy = await startRendered(t, objects, addressOf(service, meshbind.port))
    t.is(await ask(mesh, envoy, mesh.orders, await mesh.token()), '403')
    const refused = () => statOf(envoy, 'ssl.fail_verify_san')
    t.true((await settle(refused, (count) => count > 0)) > 0)
    t.is(await statOf(envoy, 'membership_healthy'), 0)
    t.deepEqual(meshbind.decisions(), [])
  },
)

e2e(
  'helm/meshbind envoy: over TCP without TLS, the owner passes, a thief does not, nobody answers: refused',
  async (t) => {
    const objects = await render(t.context.mesh, {})
    const pod = await startPod(objects)
    t.teardown(() => pod.close())
    const { port } = pod.meshbind
    const envoy = await startRendered(t, objects, addressOf(service, port))
    await prove(t, envoy, pod.meshbind)
  },
)

e2e(
  'helm/meshbind envoy: over a Unix socket, the owner passes, a thief does not, nobody answers: refused',
  async (t) => {
    const { mesh } = t.context
    const objects = await render(mesh, { envoy: { transport: 'unix' } })
    const { directory } = await writeFiles(dataOf(objects, 'meshbind-policy'), mesh.directory)
    const socket = join(directory, 'authz.sock')
    const policy = join(directory, 'policy.yaml')
    const meshbind = await startMeshbind([
      ...['--policy', policy, '--listen', `unix:${socket}`],
      ...['--admin', 'off', '--deadline', '3s'],
    ])
    t.teardown(() => meshbind.stop())
    const translation = ['/run/meshbind/authz.sock', socket] as const
    await prove(t, await startRendered(t, objects, translation), meshbind)
  },
)

e2e(
  'helm/meshbind envoy: an Envoy that is there before meshbind sees it soon after it is ready',
  async (t) => {
    const { mesh } = t.context
    const objects = await render(mesh, { envoy: { transport: 'unix' } })
    const { directory } = await writeFiles(dataOf(objects, 'meshbind-policy'), mesh.directory)
    const socket = join(directory, 'authz.sock')
    const translation = ['/run/meshbind/authz.sock', socket] as const
    const envoy = await startRendered(t, objects, translation)
    const healthy = () => statOf(envoy, 'membership_healthy')
    const failed = () => statOf(envoy, 'health_check.failure')
    t.true((await settle(failed, (count) => count > 0)) > 0)
    t.is(await healthy(), 0)
    const meshbind = await startMeshbind([
      ...['--policy', join(directory, 'policy.yaml'), '--listen', `unix:${socket}`],
      ...['--admin', 'off', '--deadline', '3s'],
    ])
    t.teardown(() => meshbind.stop())
    t.is(await settle(healthy, (count) => count === 1), 1)
  },
)
