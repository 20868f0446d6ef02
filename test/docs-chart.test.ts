/** What the pages about the chart show: values that it takes, manifests that it renders, and a sidecar in a chart of one's own. */

import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parse } from 'yaml'
import { parsePolicy } from '../src/policy/parse.ts'
import { canRunHelm, find, findAll, type KubeObject, renderChart } from './support/helm.ts'

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const pages = [
  ...['install', 'istio', 'ambient', 'sidecar', 'gateways'],
  ...['scale', 'upgrade', 'hardening', 'compatibility'],
]
const texts = new Map(
  pages.map((page) => [page, readFileSync(file(`docs/${page}.md`), 'utf8')] as const),
)
const helmTest = canRunHelm() ? test : test.skip

/** The YAML blocks of a page, in their order. */
function blocksOf(page: string): readonly string[] {
  const text = texts.get(page) ?? ''
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
}

/** Values begin with `# values:`, and a manifest is what has a kind. */
const valuesOf = (page: string) => blocksOf(page).filter((block) => block.startsWith('# values:'))
const manifestsOf = (page: string) =>
  blocksOf(page).filter((block) => /^apiVersion: .*\nkind: /.test(block) && !block.includes('{{'))

/** Helm's labels are not what a page is about. */
function withoutLabels({ metadata, ...object }: KubeObject): object {
  const own = Object.entries(metadata.labels ?? {}).filter(
    ([name]) => !/^(helm\.sh|app\.kubernetes\.io)\//.test(name),
  )
  const { labels: _, ...rest } = metadata
  return {
    ...object,
    metadata: own.length > 0 ? { ...rest, labels: Object.fromEntries(own) } : rest,
  }
}

for (const page of pages) {
  for (const values of valuesOf(page)) {
    const [title = ''] = values.split('\n')
    helmTest(`docs/${page}.md: the chart takes the values "${title.slice(10)}"`, async (t) => {
      const { objects, warnings } = await renderChart({ values: withImage(values) })
      t.is(warnings, '')
      for (const { data } of findAll(objects, 'ConfigMap')) {
        if (data?.['policy.yaml'] === undefined) continue
        const policy = parsePolicy(data['policy.yaml'])
        t.deepEqual(policy.ok ? [] : policy.problems, [])
      }
    })
  }

  for (const manifest of manifestsOf(page)) {
    const wanted: KubeObject = parse(manifest)
    const name = `${wanted.kind} ${wanted.metadata.name}`
    helmTest(
      `docs/${page}.md: ${name} is what the chart renders of the page's values`,
      async (t) => {
        const release = page === 'ambient' ? 'meshbind-waypoint' : 'meshbind'
        const rendered = await Promise.all(
          valuesOf(page).map((values) =>
            renderChart({ values: withImage(values), release, namespace: release }),
          ),
        )
        const same = rendered
          .flatMap(({ objects }) => objects)
          .filter(
            ({ kind, metadata }) =>
              kind === wanted.kind &&
              metadata.name === wanted.metadata.name &&
              metadata.namespace === wanted.metadata.namespace,
          )
        t.true(same.length > 0, `nothing renders ${name}`)
        for (const object of same) t.deepEqual(withoutLabels(object), withoutLabels(wanted))
      },
    )
  }
}

/** Part of a values file stands without the image, which every install needs. */
function withImage(values: string): object {
  return { image: { repository: 'registry.example/meshbind' }, ...parse(values) }
}

/** As source hosts make them of a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

for (const page of pages) {
  test(`docs/${page}.md: every link to a section finds its heading`, (t) => {
    const links = [...(texts.get(page) ?? '').matchAll(/\]\(([^)#\s]*)#([^)]+)\)/g)]
    for (const [, path = '', anchor] of links) {
      const target = readFileSync(new URL(path || `${page}.md`, `file://${file('docs/')}`), 'utf8')
      const headings = [...target.matchAll(/^#+ (.*)$/gm)].map(([, each = '']) => anchorOf(each))
      t.true(headings.includes(anchor ?? ''), `${path}#${anchor}`)
    }
    t.pass()
  })
}

test('every value that a command of the pages sets is one of the chart', (t) => {
  const known = parse(readFileSync(file('helm/meshbind/values.yaml'), 'utf8'))
  const found = [...texts].flatMap(([page, text]) =>
    [...text.matchAll(/--set(?:-json)? '?([\w.]+)=/g)].map(([, path = '']) => ({ page, path })),
  )
  t.true(found.length > 0)
  for (const { page, path } of found) {
    const value = path.split('.').reduce((at, key) => at?.[key], known)
    t.not(value, undefined, `docs/${page}.md sets ${path}`)
  }
})

helmTest('docs/istio.md: the extension provider is the one that the notes print', async (t) => {
  const [block = ''] = blocksOf('istio').filter((each) => each.startsWith('meshConfig:'))
  const { notes } = await renderChart({ values: withImage('istio: { enabled: true }') })
  const [, printed = ''] = /^( {5}meshConfig:\n(?: {7}.*\n)+)/m.exec(notes) ?? []
  t.deepEqual(parse(block), parse(printed))
})

helmTest(
  'docs/sidecar.md: the chart of one’s own renders a pod that shares the socket',
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'meshbind-docs-'))
    try {
      for (const block of blocksOf('sidecar')) {
        const [, name] = /^# ((?:Chart|values|templates\/deployment)\.yaml)$/m.exec(block) ?? []
        if (name === undefined || !block.startsWith(`# ${name}\n`)) continue
        await mkdir(join(directory, 'templates'), { recursive: true })
        await writeFile(join(directory, name), block)
      }
      const library = 'helm/meshbind/charts/meshbind-sidecar'
      await cp(file(library), join(directory, 'charts/meshbind-sidecar'), { recursive: true })
      const { objects, warnings } = await renderChart({ chart: directory, release: 'payments' })
      t.is(warnings, '')
      const pod = find(objects, 'Deployment', 'payments').spec.template.spec
      const names = pod.initContainers.map(({ name }: { name: string }) => name)
      t.deepEqual(names, ['meshbind', 'envoy'])
      for (const container of pod.initContainers) {
        t.is(container.restartPolicy, 'Always')
        const mounts = container.volumeMounts.map(
          ({ name, mountPath }: { name: string; mountPath: string }) => `${name} ${mountPath}`,
        )
        t.true(mounts.includes('meshbind-socket /run/meshbind'), container.name)
      }
      const volumes = new Set(pod.volumes.map(({ name }: { name: string }) => name))
      for (const { volumeMounts } of pod.initContainers)
        for (const { name } of volumeMounts) t.true(volumes.has(name), name)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
)
