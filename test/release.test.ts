/** What makes a release, as far as it can be run without a registry: the scripts, and the form of the workflows (docs/releasing.md). */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parse } from 'yaml'
import { bakeImage } from '../.github/release/bake-image.ts'
import { findReleaseProblems, findUnpinnedActions } from '../.github/release/check-release.ts'
import { canRunHelm, find, renderChart } from './support/helm.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const directory = mkdtempSync(join(tmpdir(), 'meshbind-release-'))
test.after.always(() => rmSync(directory, { recursive: true, force: true }))

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: { readonly [name: string]: unknown }
}
interface Job {
  readonly needs?: string | readonly string[]
  readonly permissions?: { readonly [name: string]: string }
  readonly steps: readonly Step[]
}
interface Workflow {
  readonly permissions: unknown
  readonly jobs: { readonly [name: string]: Job }
}

const names = readdirSync(join(root, '.github/workflows'))
const workflows = names.map((name) => {
  const text = read(`.github/workflows/${name}`)
  return { name, text, workflow: parse(text) as Workflow }
})
const jobs = workflows.flatMap(({ workflow }) => Object.entries(workflow.jobs))
const steps = jobs.flatMap(([, job]) => job.steps)

test('workflows may read the repository; jobs that sign or publish alone have an identity, jobs that analyse alone raise alerts (least privilege)', (t) => {
  for (const { name, workflow } of workflows)
    t.deepEqual(workflow.permissions, { contents: 'read' }, name)
  const rights = jobs.flatMap(([name, { permissions }]) =>
    permissions === undefined ? [] : [[name, permissions]],
  )
  const identity = { contents: 'read', 'id-token': 'write' }
  const alerts = { contents: 'read', 'security-events': 'write' }
  t.is(new Set(rights.map(([name]) => name)).size, rights.length)
  t.deepEqual(Object.fromEntries(rights), {
    ...{ chart: identity, package: identity, sign: identity },
    ...{ analyse: alerts, scorecard: alerts },
  })
})

test('no expression is pasted into a shell, and no checkout leaves its token behind (script injection)', (t) => {
  t.true(steps.length > 10)
  for (const { run = '', uses = '', with: given } of steps) {
    t.false(run.includes('${' + '{'), run)
    if (uses.startsWith('actions/checkout@')) t.is(given?.['persist-credentials'], false)
  }
})

test('where things are published is a variable, and the files name no registry', (t) => {
  for (const { name, text } of workflows) {
    t.notRegex(text, /\b(ghcr|docker|gcr|quay|npmjs|amazonaws|azurecr)\.(io|com|org)\b/, name)
    t.regex(text, /^#[\s\S]*?[Nn]ever run/, `${name} does not say what it was not run against`)
  }
})

test('every job of a release comes after the check, and the package comes last', (t) => {
  const release = workflows.find(({ name }) => name === 'release.yml')?.workflow.jobs ?? {}
  const before = (name: string): readonly string[] =>
    [release[name]?.needs ?? []].flat().flatMap((need) => [need, ...before(need)])
  for (const name of Object.keys(release).filter((job) => job !== 'check'))
    t.true(before(name).includes('check'), name)
  for (const name of ['check', 'image', 'try', 'sign', 'chart'])
    t.true(before('package').includes(name), name)
})

test('a release does not begin while an action is not pinned to a commit (docs/releasing.md)', (t) => {
  const used = steps.flatMap(({ uses }) => (uses === undefined ? [] : [uses]))
  const unpinned = used.filter((action) => !/@[0-9a-f]{40}$/.test(action))
  t.is(findUnpinnedActions(root).length, unpinned.length)
  const copy = join(directory, 'pins/.github/workflows')
  mkdirSync(copy, { recursive: true })
  const check = (text: string) => {
    writeFileSync(join(copy, 'x.yml'), text)
    return findUnpinnedActions(join(directory, 'pins')).length
  }
  t.is(check(`- uses: a/b@${'0f'.repeat(20)} # v1\n`), 0)
  t.is(check('- uses: ./own\n'), 0)
  for (const line of ['- uses: a/b@v1', "  'uses': a/b@main", `uses: a/b@v1 # @${'0f'.repeat(20)}`])
    t.is(check(line), 1, line)
})

test('a release is refused for every number, section and variable that does not fit its tag', (t) => {
  const copy = join(directory, 'fits')
  for (const path of [
    '.github/workflows',
    'helm/meshbind/Chart.yaml',
    'package.json',
    'CHANGELOG.md',
  ])
    cpSync(join(root, path), join(copy, path), { recursive: true })
  const edit = (path: string, change: (text: string) => string) =>
    writeFileSync(join(copy, path), change(readFileSync(join(copy, path), 'utf8')))
  for (const name of names)
    edit(`.github/workflows/${name}`, (text) =>
      text.replace(/(uses: \S+)@\S+/g, `$1@${'0f'.repeat(20)}`),
    )
  edit('CHANGELOG.md', (text) => `${text}\n## [9.9.9] - 2026-01-01\n`)
  edit('helm/meshbind/Chart.yaml', (text) => text.replace(/^appVersion: .*$/m, 'appVersion: 9.9.9'))
  edit('package.json', (text) =>
    JSON.stringify({ ...JSON.parse(text), version: '9.9.9', repository: { url: 'git+https://…' } }),
  )
  const variables = { IMAGE_REPOSITORY: 'r.example/meshbind', CHART_REPOSITORY: 'r.example/charts' }
  t.deepEqual(findReleaseProblems(copy, 'v9.9.9', variables), [])
  t.is(findReleaseProblems(copy, 'v9.9.8', variables).length, 1)
  t.is(findReleaseProblems(copy, 'v9.9.9', {}).length, 2)
  edit('package.json', () => '{ "version": "9.9.7" }')
  t.is(findReleaseProblems(copy, 'v9.9.7', variables).length, 3)
})

const repository = 'registry.example:5000/shop/meshbind'
const digest = `sha256:${'ab'.repeat(32)}`

test('the packaged chart names the image by digest; nothing else of its values changes (bake-image)', (t) => {
  const values = read('helm/meshbind/values.yaml')
  const baked = bakeImage(values, repository, digest)
  t.deepEqual(parse(baked), {
    ...parse(values),
    image: { ...parse(values).image, repository, digest },
  })
  const before = values.split('\n')
  const changed = baked.split('\n').filter((line, index) => line !== before[index])
  t.deepEqual(changed, [`  repository: "${repository}"`, `  digest: "${digest}"`])
})

test('neither a tag nor half a digest is baked in, nor anything over what is there (bake-image)', (t) => {
  const values = 'image:\n  repository: ""\n  digest: ""\n'
  for (const name of [
    'meshbind',
    'r.example/meshbind:1',
    'r.example/m@sha256:x',
    'https://r.example/m',
    '',
  ])
    t.throws(() => bakeImage(values, name, digest), { message: /no repository/ }, name)
  for (const given of ['', 'sha256:ab', digest.toUpperCase()])
    t.throws(() => bakeImage(values, repository, given), { message: /no sha256 digest/ }, given)
  t.throws(() => bakeImage(bakeImage(values, repository, digest), repository, digest), {
    message: /not empty/,
  })
  t.throws(() => bakeImage('image: {}\n', repository, digest), { message: /not empty/ })
})

const helmTest = canRunHelm() ? test : test.skip

helmTest(
  'a chart with those values runs that image, and no tag decides (helm template)',
  async (t) => {
    const path = join(directory, 'values.yaml')
    writeFileSync(path, bakeImage(read('helm/meshbind/values.yaml'), repository, digest))
    const { objects } = await renderChart({ values: path })
    const deployment = JSON.stringify(find(objects, 'Deployment'))
    t.true(deployment.includes(`"image":"${repository}@${digest}"`), deployment)
  },
)

test('the release packages the chart with the Helm that the tests use', (t) => {
  const pinned = /version: '(v[\d.]+)'/.exec(read('test/support/helm.ts'))?.[1]
  t.true(
    read('.github/workflows/release.yml').includes(`HELM: helm.sh/helm/v4/cmd/helm@${pinned}\n`),
  )
})
