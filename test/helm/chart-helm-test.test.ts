import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { readExpectation } from '../../src/cli/expectation.ts'
import { encodeCheckJson } from '../../src/wire/check-json.ts'
import { ciPath, type Field, inlinePolicy, renderValues } from '../support/chart.ts'
import { canRunHelm, find, findAll, renderChart } from '../support/helm.ts'
import type { KubeObject } from '../support/kube-objects.ts'
import { runCommand, startMeshbind } from '../support/meshbind.ts'

const withHelm = canRunHelm() ? test : test.skip
const inline = { inline: inlinePolicy() }
const ask = (path: string) => ({
  attributes: { request: { http: { method: 'GET', host: 'a.example', path } } },
})

const testsOf = (objects: readonly KubeObject[]) => findAll(objects, 'Pod')
const questionsOf = (objects: readonly KubeObject[]) =>
  find(objects, 'ConfigMap', 'meshbind-test').data
const expectedOf = ({ args }: Field) =>
  args.find((one: string) => one.startsWith('--expect=')).slice(9)

withHelm(
  'with nothing but an image it asks twice: allowed, and recorded as credential_missing',
  async (t) => {
    const { objects } = await renderValues()
    const { containers } = find(objects, 'Pod').spec
    t.deepEqual(
      containers.map((container: Field) => [container.name, expectedOf(container)]),
      [
        ['allowed', 'allow'],
        ['refused', 'credential_missing'],
      ],
    )
    for (const text of Object.values<string>(questionsOf(objects)))
      t.notThrows(() => encodeCheckJson(JSON.parse(text)))
  },
)

withHelm(
  'an inline policy is tested by requests of its own, as they are written, and by no others',
  async (t) => {
    t.is(testsOf((await renderValues({ policy: inline })).objects).length, 0)
    t.is(testsOf((await renderValues({ policy: { existingConfigMap: 'ours' } })).objects).length, 0)
    const { objects } = await renderValues({ policy: inline, helmTest: { refused: ask('/"a"') } })
    t.deepEqual(Object.keys(questionsOf(objects)), ['refused.json'])
    t.deepEqual(JSON.parse(questionsOf(objects)['refused.json']), ask('/"a"'))
    t.deepEqual(
      find(objects, 'Pod').spec.containers.map(({ name }: Field) => name),
      ['refused'],
    )
  },
)

withHelm('each container reads the question that is mounted for it', async (t) => {
  const { objects } = await renderValues()
  const { containers, volumes } = find(objects, 'Pod').spec
  for (const { name, args, volumeMounts } of containers) {
    t.is(args.at(-1), `${volumeMounts[0].mountPath}/${name}.json`)
    t.truthy(questionsOf(objects)[`${name}.json`])
    t.is(
      volumes.find((volume: Field) => volume.name === volumeMounts[0].name).configMap.name,
      'meshbind-test',
    )
  }
})

withHelm('it asks the Service that is rendered, by the port that this has', async (t) => {
  const { objects } = await renderValues(
    { service: { port: 443 } },
    { release: 'blue', namespace: 'mesh' },
  )
  const { metadata, spec } = find(objects, 'Service')
  const { args } = find(objects, 'Pod').spec.containers[0]
  t.true(args.includes(`--target=${metadata.name}.mesh.svc.cluster.local:${spec.ports[0].port}`))
})

const tls = { enabled: true, existingSecret: 'server' }
const flags = (args: string[]) =>
  args.filter((one) => one.startsWith('--tls')).map((one) => one.split('=')[0])

withHelm(
  'over TLS it verifies the server, and shows a certificate where one is demanded',
  async (t) => {
    const podWith = async (values: object) => find((await renderValues(values)).objects, 'Pod').spec
    const demanded = await podWith({ tls })
    t.deepEqual(flags(demanded.containers[0].args), ['--tls-ca', '--tls-cert', '--tls-key'])
    const secretOf = ({ volumes }: Field) =>
      volumes.find(({ name }: Field) => name === 'tls').secret.secretName
    t.is(secretOf(demanded), 'server')
    t.is(secretOf(await podWith({ tls, helmTest: { clientSecret: 'client' } })), 'client')
    const open = await podWith({ tls: { ...tls, requireClientCertificate: false } })
    t.deepEqual(flags(open.containers[0].args), ['--tls-ca'])
    t.deepEqual(flags((await podWith({})).containers[0].args), [])
  },
)

withHelm(
  'it is a hook of helm test that is made anew each time, and no proxy keeps it from its end',
  async (t) => {
    const { objects } = await renderValues()
    const pod = find(objects, 'Pod')
    t.is(pod.metadata.annotations['helm.sh/hook'], 'test')
    t.regex(pod.metadata.annotations['helm.sh/hook-delete-policy'], /before-hook-creation/)
    t.is(pod.metadata.annotations['sidecar.istio.io/inject'], 'false')
    t.is(pod.spec.restartPolicy, 'Never')
    const { annotations } = find(objects, 'ConfigMap', 'meshbind-test').metadata
    t.is(annotations['helm.sh/hook'], 'test')
    t.true(Number(annotations['helm.sh/hook-weight']) < 0, 'there before the pod is')
  },
)

withHelm('no Service and no budget takes its pod for a replica', async (t) => {
  const { objects } = await renderValues()
  const { labels } = find(objects, 'Pod').metadata
  for (const selector of [
    find(objects, 'Service').spec.selector,
    find(objects, 'PodDisruptionBudget').spec.selector.matchLabels,
  ])
    t.false(Object.entries(selector).every(([name, value]) => labels[name] === value))
  t.is(labels['app.kubernetes.io/managed-by'], 'Helm')
})

withHelm('what it expects is something that meshbind check can find', async (t) => {
  const { objects } = await renderChart({ values: ciPath('production.yaml') })
  for (const container of find(objects, 'Pod').spec.containers)
    t.notThrows(() => readExpectation(expectedOf(container)))
})

withHelm('without a server, or where it is not wanted, there is none', async (t) => {
  const apart = { deployment: { enabled: false }, policy: { namespaces: ['shop'] } }
  for (const values of [{ helmTest: { enabled: false } }, apart])
    t.is(testsOf((await renderValues(values)).objects).length, 0)
})

withHelm(
  'the questions of ci/production.yaml come out as they are expected to, under the policy in it',
  async (t) => {
    const { objects } = await renderChart({ values: ciPath('production.yaml') })
    const directory = await mkdtemp(join(tmpdir(), 'meshbind-questions-'))
    t.teardown(() => rm(directory, { recursive: true, force: true }))
    const policy = find(objects, 'ConfigMap', 'meshbind-policy').data['policy.yaml']
    // There is no idp.example: its keys, which no question here needs, are looked for where nobody listens.
    const offline = policy.replaceAll('url: https://idp.example', 'url: https://127.0.0.1:9')
    await writeFile(join(directory, 'policy.yaml'), offline)
    const files = ['--policy', join(directory, 'policy.yaml'), '--listen', '127.0.0.1:0']
    const meshbind = await startMeshbind([...files, '--admin', 'off'], 'listening')
    t.teardown(() => meshbind.stop())
    const { containers } = find(objects, 'Pod').spec
    t.is(containers.length, 2)
    for (const container of containers) {
      const question = join(directory, `${container.name}.json`)
      await writeFile(question, questionsOf(objects)[`${container.name}.json`])
      const target = ['--target', `127.0.0.1:${meshbind.port}`, '--timeout', '30s']
      const expected = ['--expect', expectedOf(container)]
      const { code, output } = await runCommand(['check', ...target, ...expected, question])
      t.is(code, 0, output)
    }
  },
)
