import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  canRunHelm,
  find,
  findAll,
  lintChart,
  packageChart,
  type RenderOptions,
  renderChart,
  renderFailure,
} from '../support/helm.ts'
import { parseObjects } from '../support/kube-objects.ts'

const withHelm = canRunHelm() ? test : test.skip

async function makeDirectory(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-kit-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const tinyFiles = {
  'Chart.yaml': 'apiVersion: v2\nname: tiny\nversion: 0.1.0\nicon: https://mesh.example/icon.svg\n',
  'values.yaml': 'mode: "off"\nnested: { map: { a: 1 } }\nbroken: false\n',
  'values.schema.json': '{ "properties": { "broken": { "type": "boolean" } } }',
  'templates/config.yaml': [
    '{{- if .Values.broken }}{{ fail "mode is broken" }}{{ end }}',
    'apiVersion: v1',
    'kind: ConfigMap',
    'metadata: { name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }} }',
    'data:',
    '  mode: {{ .Values.mode }}',
    '  kubernetes: {{ .Capabilities.KubeVersion.Version }}',
    '  istio: "{{ .Capabilities.APIVersions.Has "security.istio.io/v1" }}"',
  ].join('\n'),
  'templates/nothing.yaml': '{{- if .Values.more }}\nkind: More\n{{- end }}\n---\n# a comment\n',
  'templates/service.yaml': 'apiVersion: v1\nkind: Service\nmetadata: { name: tiny }\n',
  'templates/NOTES.txt':
    '{{ define "tiny.greeting" }}Good day{{ end -}}\n' +
    '{{ include "tiny.greeting" . }}, "{{ .Release.Name }}" on {{ .Capabilities.KubeVersion }}\n',
}

async function writeChart(t: ExecutionContext, files: object = {}): Promise<string> {
  const chart = join(await makeDirectory(t), 'tiny')
  for (const [name, text] of Object.entries({ ...tinyFiles, ...files })) {
    await mkdir(dirname(join(chart, name)), { recursive: true })
    await writeFile(join(chart, name), text)
  }
  return chart
}

test('rendered YAML is read as Kubernetes reads it (sigs.k8s.io/yaml): bare off is false, dates and 1:30 are text', (t) => {
  const [first, ...more] = parseObjects(
    'a: off\nb: yes\nc: 2026-01-01\nd: 1:30\ne: 0644\nf: "off"\ng: 1e3\n---\n# nothing\n---\n',
  )
  t.deepEqual(more, [])
  const read = { a: false, b: true, c: '2026-01-01', d: '1:30', e: 420, f: 'off', g: 1000 }
  t.deepEqual(first as object, read)
  t.throws(() => parseObjects('a: 1\na: 2\n'), { message: /unique/ })
})

test('an object that is not there, or there twice, is refused with what there is', (t) => {
  const objects = parseObjects(
    ['Service', 'Service', 'ConfigMap']
      .map((kind, at) => `kind: ${kind}\nmetadata: { name: n${at} }`)
      .join('\n---\n'),
  )
  t.is(find(objects, 'ConfigMap').metadata.name, 'n2')
  t.is(find(objects, 'Service', 'n1').metadata.name, 'n1')
  t.is(findAll(objects, 'Service').length, 2)
  const there = 'there are: Service/n0, Service/n1, ConfigMap/n2'
  t.throws(() => find(objects, 'Service'), { message: `more than one Service; ${there}` })
  t.throws(() => find(objects, 'Service', 'n9'), { message: `no Service/n9; ${there}` })
  t.throws(() => find([], 'Service'), { message: 'no Service; there are: no objects' })
})

test.serial(
  'Helm sees nothing of the developer: no cluster, and directories of its own',
  async (t) => {
    const given = ['HELM_BIN', 'HELM_NAMESPACE', 'HELM_PLUGINS', 'KUBERNETES_SERVICE_HOST'] as const
    const before = given.map((name) => process.env[name])
    t.teardown(() => {
      for (const [at, name] of given.entries()) {
        if (before[at] === undefined) delete process.env[name]
        else process.env[name] = before[at]
      }
    })
    const fake = join(await makeDirectory(t), 'helm')
    const script = `#!/bin/sh\necho seen:\nenv | grep -E '^(HELM|KUBE)' | sed 's/=/: "/; s/^/  /; s/$/"/'\n`
    await writeFile(fake, script, { mode: 0o755 })
    for (const name of given) process.env[name] = fake
    const { objects } = await renderChart({ chart: await writeChart(t) })
    const seen: Record<string, string> = objects[0]?.['seen']
    t.deepEqual(Object.keys(seen).sort(), [
      'HELM_CACHE_HOME',
      'HELM_CONFIG_HOME',
      'HELM_DATA_HOME',
      'KUBECONFIG',
    ])
    t.is(seen['KUBECONFIG'], '/dev/null')
    t.regex(seen['HELM_CONFIG_HOME'] ?? '', /meshbind-helm-/)
    t.false(existsSync(dirname(seen['HELM_CONFIG_HOME'] ?? '')))
  },
)

withHelm(
  'a render has the objects and the notes, for the release, cluster and values that are asked for',
  async (t) => {
    const chart = await writeChart(t)
    const options: RenderOptions = {
      chart,
      values: { mode: 'audit' },
      release: 'blue',
      namespace: 'mesh',
      kubeVersion: '1.29.0',
      apiVersions: ['security.istio.io/v1'],
    }
    const { objects, notes, warnings } = await renderChart(options)
    t.deepEqual(objects.map(({ kind }) => kind).sort(), ['ConfigMap', 'Service'])
    const { metadata, data } = find(objects, 'ConfigMap')
    t.deepEqual(metadata, { name: 'blue', namespace: 'mesh' })
    t.deepEqual(data, { mode: 'audit', kubernetes: 'v1.29.0', istio: true.toString() })
    t.is(notes, 'Good day, "blue" on v1.29.0\n')
    t.is(warnings, '')

    const plain = await renderChart({ chart, showOnly: ['templates/config.yaml'] })
    t.deepEqual(
      plain.objects.map((object) => [object.kind, object.metadata.name, object.data.mode]),
      [['ConfigMap', 'meshbind', false]],
    )
    t.is(plain.notes, 'Good day, "meshbind" on v1.33.0\n')
  },
)

withHelm(
  'values come as data, as a file and as --set, which wins; a wrong shape is in the warnings',
  async (t) => {
    const chart = await writeChart(t)
    const mode = async (options: RenderOptions) =>
      find((await renderChart({ chart, ...options })).objects, 'ConfigMap').data.mode
    const file = join(chart, '../values.yaml')
    await writeFile(file, 'mode: from-file\n')
    t.is(await mode({ values: file }), 'from-file')
    t.is(await mode({ values: file, set: ['mode=from-set'] }), 'from-set')
    t.regex(
      (await renderChart({ chart, values: { nested: { map: 'flat' } } })).warnings,
      /tiny\.nested\.map/,
    )
  },
)

withHelm('what a test does to a render, the next test does not see', async (t) => {
  const chart = await writeChart(t)
  const first = await renderChart({ chart })
  find(first.objects, 'ConfigMap').data.mode = 'spoilt'
  await rm(join(chart, 'templates'), { recursive: true })
  t.is(find((await renderChart({ chart })).objects, 'ConfigMap').data.mode, false)
})

withHelm(
  'a render that fails says what Helm says, and one that should and does not fails the test',
  async (t) => {
    const chart = await writeChart(t)
    t.regex(await renderFailure({ broken: 'yes' }, { chart }), /got string, want boolean/)
    t.regex(await renderFailure({ broken: true }, { chart }), /mode is broken/)
    await t.throwsAsync(renderChart({ chart, set: ['broken=true'] }), { message: /mode is broken/ })
    await t.throwsAsync(renderFailure({ broken: false }, { chart }), { message: /and should not/ })
    const open = await writeChart(t, { 'templates/config.yaml': 'kind: ConfigMap\n metadata: [' })
    await t.throwsAsync(renderChart({ chart: open }), { message: /config\.yaml/ })
  },
)

withHelm(
  'helm lint --strict and helm package pass on a good chart and fail on a bad one',
  async (t) => {
    const chart = await writeChart(t)
    t.regex(await lintChart({}, chart), /1 chart\(s\) linted, 0 chart\(s\) failed/)
    await t.throwsAsync(lintChart({ broken: 'yes' }, chart), {
      message: /'\/broken': got string, want boolean/,
    })
    const nameless = await writeChart(t, { 'Chart.yaml': 'apiVersion: v2\nversion: 0.1.0\n' })
    await t.throwsAsync(lintChart({}, nameless), { message: /name is required/ })
    const archive = await packageChart(join(chart, '..'), chart)
    t.true(existsSync(archive))
    t.regex(archive, /tiny-0\.1\.0\.tgz$/)
    await t.throwsAsync(packageChart(chart, nameless), { message: /name is required/ })
  },
)
