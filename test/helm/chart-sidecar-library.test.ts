import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { serveCommand } from '../../src/cli/serve.ts'
import { type ServeFlags, serveSettings } from '../../src/cli/serve-settings.ts'
import { chartDirectory, chartFile, type Field } from '../support/chart.ts'
import { canRunHelm, find, lintChart, renderChart, renderFailure } from '../support/helm.ts'
import { kubeSchemas } from '../support/kube-schemas.ts'
import { findUnrestricted } from '../support/pod-security.ts'

const withHelm = canRunHelm() ? test : test.skip
const [oldest, newest] = [await kubeSchemas('1.29'), await kubeSchemas('1.37')]
const withSchemas = canRunHelm() && oldest !== undefined && newest !== undefined ? test : test.skip

const library = 'charts/meshbind-sidecar'
/** The lines that the library itself documents. */
const documented = (
  /^ {2}spec:\n[\s\S]*?(?=^\*\/)/m.exec(chartFile(`${library}/templates/_sidecar.tpl`))?.[0] ?? ''
)
  .replaceAll(/^ {2}/gm, '')
  .replace(/( +)- name: envoy .*\n/, '')

const deployment = [
  'apiVersion: v1',
  'kind: Pod',
  'metadata: { name: app, namespace: shop }',
  documented.trimEnd(),
  '  securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }',
  '  containers:',
  '    - name: app',
  '      image: registry.example/app:1',
  '',
].join('\n')

async function writeApp(t: ExecutionContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'meshbind-app-'))
  t.teardown(() => rm(parent, { recursive: true, force: true }))
  const chart = join(parent, 'app')
  await mkdir(join(chart, 'templates'), { recursive: true })
  await cp(join(chartDirectory, library), join(chart, library), { recursive: true })
  const files = {
    'Chart.yaml': [
      'apiVersion: v2',
      'name: app',
      'version: 0.1.0',
      'icon: https://mesh.example/icon.svg',
      'dependencies: [{ name: meshbind-sidecar, version: 0.1.0 }]',
    ].join('\n'),
    'templates/pod.yaml': deployment,
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(chart, name), text)
  return chart
}

const given = { image: 'registry.example/meshbind:0.1.0', policyConfigMap: 'binding' }
const values = (more: object = {}) => ({ 'meshbind-sidecar': { ...given, ...more } })

async function podOf(t: ExecutionContext, more: object = {}) {
  const { objects } = await renderChart({ chart: await writeApp(t), values: values(more) })
  return find(objects, 'Pod')
}

test('the library documents how it is used', (t) => {
  t.regex(documented, /initContainers:\n.*include "meshbind\.sidecar\.container"/)
  t.regex(documented, /volumes:\n.*include "meshbind\.sidecar\.volumes"/)
})

withSchemas(
  'in an application’s chart the lines of its documentation give a valid pod, restricted',
  async (t) => {
    const pod = await podOf(t)
    t.deepEqual(oldest?.problems(pod), [])
    t.deepEqual(newest?.problems(pod), [])
    const { containers, ...rest } = pod.spec
    t.is(containers.length, 1)
    t.deepEqual(findUnrestricted(rest), [])
  },
)

withHelm('helm lint --strict finds nothing in such a chart', async (t) => {
  t.regex(await lintChart(values(), await writeApp(t)), /0 chart\(s\) failed/)
})

withHelm(
  'it is a native sidecar, which is there before the application and after it',
  async (t) => {
    const [sidecar, ...more] = (await podOf(t)).spec.initContainers
    t.deepEqual(more, [])
    t.is(sidecar.restartPolicy, 'Always')
    t.is(sidecar.image, given.image)
    t.is(sidecar.startupProbe.httpGet.path, '/livez')
  },
)

withHelm('its arguments are serve’s, and their files are mounted', async (t) => {
  const { initContainers, volumes } = (await podOf(t)).spec
  const [{ args, volumeMounts }] = initContainers
  const command = serveCommand(() => {})
  command.action(() => {})
  command.parse(args.slice(1), { from: 'user' })
  t.is(args[0], 'serve')
  const settings = serveSettings(command.opts<ServeFlags & Field>())
  t.deepEqual(settings.listen, ['unix:/run/meshbind/authz.sock'])
  t.is(settings.policy, '/etc/meshbind/policy/policy.yaml')
  t.is(settings.admin, undefined)
  const names = volumeMounts.map(({ name }: Field) => name).sort()
  t.deepEqual(names, volumes.map(({ name }: Field) => name).sort())
  const policy = volumes.find(({ name }: Field) => name === 'meshbind-policy')
  t.is(policy.configMap.name, 'binding')
})

withHelm(
  'the socket is in memory, at the directory that is asked for; over TCP there is none',
  async (t) => {
    const own = (await podOf(t, { listen: 'unix:/sockets/a.sock' })).spec
    const mountOf = ({ initContainers }: Field) =>
      initContainers[0].volumeMounts.find(({ name }: Field) => name === 'meshbind-socket')
    t.is(mountOf(own).mountPath, '/sockets')
    t.is(
      own.volumes.find(({ name }: Field) => name === 'meshbind-socket').emptyDir.medium,
      'Memory',
    )
    const tcp = (await podOf(t, { listen: '127.0.0.1:9191' })).spec
    t.is(mountOf(tcp), undefined)
    t.false(tcp.volumes.some(({ name }: Field) => name === 'meshbind-socket'))
  },
)

withSchemas('more arguments, variables, volumes and mounts are put behind its own', async (t) => {
  const pod = await podOf(t, {
    extraArgs: ['--log-level=debug'],
    extraEnv: [{ name: 'TZ', value: 'UTC' }],
    extraVolumes: [{ name: 'bundle', configMap: { name: 'bundle' } }],
    extraVolumeMounts: [{ name: 'bundle', mountPath: '/bundle' }],
  })
  t.deepEqual(newest?.problems(pod), [])
  const [{ args, env, volumeMounts }] = pod.spec.initContainers
  t.is(args.at(-1), '--log-level=debug')
  t.deepEqual(env.at(-1), { name: 'TZ', value: 'UTC' })
  t.deepEqual(volumeMounts.at(-1), { name: 'bundle', mountPath: '/bundle' })
  t.deepEqual(pod.spec.volumes.at(-1), { name: 'bundle', configMap: { name: 'bundle' } })
})

for (const [missing, sentence] of [
  ['image', 'meshbind-sidecar.image is empty: give the image with its tag or digest'],
  ['policyConfigMap', 'meshbind-sidecar.policyConfigMap is empty: name the ConfigMap'],
] as const)
  withHelm(`without ${missing} it fails, and says so`, async (t) => {
    const failure = await renderFailure(values({ [missing]: '' }), { chart: await writeApp(t) })
    t.true(failure.includes(sentence), failure)
  })
