/** The container image, made from its Dockerfile without an engine and run as a container runs it (docs/image.md). */

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { type Image, makeImage, readContextNames, readDockerfile } from './support/image.ts'
import * as containers from './support/image-container.ts'
import { findProductionPackages, packageName } from './support/image-packages.ts'
import { writeShop } from './support/image-shop.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'))
const manifest = readJson(join(repository, 'package.json'))
const production = findProductionPackages()
const commit = 'c0ffee0'
const mebibyte = 1024 * 1024

const directory = mkdtempSync(join(tmpdir(), 'meshbind-image-'))
test.after.always(async () => {
  await container?.stop()
  rmSync(directory, { recursive: true, force: true })
})

const canRun = containers.canRunContainer()
const containerTest = canRun ? test.serial : test.serial.skip

let image: Image
let container: containers.Container | undefined
let app: string
let files: readonly string[]
let entries: readonly string[]

test.before(async (t) => {
  t.timeout(300_000)
  image = await makeImage(directory, { VERSION: manifest.version, COMMIT: commit })
  app = join(image.root, image.workdir)
  files = readdirSync(app, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(app, path)).isFile())
    .toSorted()
  entries = readdirSync(image.root)
  if (!canRun) return
  const mounted = join(directory, 'mounted')
  await writeShop(mounted)
  container = await containers.startContainer(image, mounted, {
    MESHBIND_POLICY: '/etc/meshbind/policy.yaml',
    MESHBIND_DEADLINE: '10s', // no claim: this machine may be busy
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
  })
  await container.waitFor('ready')
})

const unique = (texts: Iterable<string>) => [...new Set(texts)].toSorted()

/** Directories of packages in the image, nested ones too; a package's own inner manifests are none. */
const installed = () =>
  files
    .filter((path) => /(^|\/)node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/.test(path))
    .map((path) => path.slice(0, -'/package.json'.length))

test('the image holds what runs, the licence and the SBOM (docs/image.md, What is in it)', (t) => {
  t.deepEqual(readdirSync(app).toSorted(), [
    'LICENSE',
    'dist',
    'node_modules',
    'package.json',
    'protos',
    'sbom.cdx.json',
  ])
  t.deepEqual(entries, [image.workdir.slice(1)])
  t.is(readFileSync(join(app, 'dist/COMMIT'), 'utf8').trim(), commit)
})

test('no types, sources or source maps, and nothing that is compiled for one platform (Dockerfile)', (t) => {
  t.deepEqual(
    files.filter((path) => /\.([cm]?ts|map|node|so|wasm|exe)$/.test(path)),
    [],
  )
})

test('the packages are those that the lockfile has for production and traces, each with its hash', (t) => {
  t.deepEqual(unique(installed()), unique(production.keys()))
  for (const [path, { version, integrity }] of production) {
    t.truthy(integrity, `${path} has no hash in the lockfile`)
    t.like(readJson(join(app, path, 'package.json')), { name: packageName(path), version })
  }
})

test('neither npm nor anything that only development needs is in the image', (t) => {
  const names = new Set(installed().map(packageName))
  const needed = new Set([...production.keys()].map(packageName))
  for (const name of Object.keys(manifest.devDependencies))
    t.is(names.has(name), needed.has(name), name)
  for (const name of [
    'npm',
    'corepack',
    'yarn',
    'typescript',
    'ava',
    'node',
    '@biomejs/biome',
    'puppeteer-core',
  ])
    t.false(names.has(name), name)
})

test('no package of the image has an install script that is wanted (package.json, allowScripts)', (t) => {
  for (const [path, { hasInstallScript }] of production)
    if (hasInstallScript) t.is(manifest.allowScripts[packageName(path)], false, path)
  t.pass()
})

test('the SBOM names exactly the packages of the image, with their licences (CycloneDX)', (t) => {
  const sbom = readJson(join(app, 'sbom.cdx.json'))
  t.is(sbom.bomFormat, 'CycloneDX')
  t.is(sbom.metadata.component.purl, `pkg:npm/meshbind@${manifest.version}`)
  t.is(sbom.metadata.component.name, 'meshbind')
  const components: { name: string; version: string; hashes?: object[]; licenses?: object[] }[] =
    sbom.components
  t.deepEqual(
    unique(components.map(({ name, version }) => `${name}@${version}`)),
    unique([...production].map(([path, { version }]) => `${packageName(path)}@${version}`)),
  )
  for (const { name, hashes, licenses } of components) {
    t.truthy(hashes?.length, `${name} has no hash`)
    t.truthy(licenses?.length, `${name} has no licence`)
  }
})

test('what meshbind adds to the base is under 40 MiB', (t) => {
  const bytes = files.reduce((sum, path) => sum + statSync(join(app, path)).size, 0)
  t.log(`${(bytes / mebibyte).toFixed(1)} MiB in ${files.length} files`)
  t.true(bytes < 40 * mebibyte, `${bytes} bytes`)
})

test('nobody but the owner may write, and everybody may read (docs/image.md: a read-only root)', (t) => {
  for (const path of files) {
    const { mode } = statSync(join(app, path))
    t.is(mode & 0o022, 0, `${path} can be written by others`)
    t.is(mode & 0o004, 0o004, `${path} cannot be read`)
  }
})

test('user, command, ports and labels (OCI image spec, annotations)', (t) => {
  t.is(image.user, '65532:65532')
  t.deepEqual(image.entrypoint, ['/nodejs/bin/node', '/meshbind/dist/main.js'])
  t.deepEqual(image.command, ['serve'])
  t.deepEqual(image.ports, ['9191', '9464', '9465'])
  t.deepEqual(image.environment, { NODE_ENV: 'production' })
  const label = (name: string) => image.labels[`org.opencontainers.image.${name}`]
  t.is(label('description'), manifest.description)
  t.is(label('licenses'), manifest.license)
  t.is(label('version'), manifest.version)
  t.is(label('revision'), commit)
})

test('the bases are arguments, of the major that package.json asks for, and without an invented digest', async (t) => {
  const { defaults, stages } = await readDockerfile()
  const bases = stages.map(({ base }) => /^\$\{(\w+)\}$/.exec(base)?.[1] ?? base)
  t.deepEqual(unique(bases), unique(Object.keys(defaults)))
  const major = /^>=(\d+)\./.exec(manifest.engines.node)?.[1]
  for (const base of Object.values(defaults)) {
    t.regex(base, new RegExp(`(:|nodejs)${major}(?!\\d)`))
    t.false(base.includes('@sha256:'), `${base}: where does the digest come from?`)
  }
})

test('the engine is sent no more than the Dockerfile copies (.dockerignore)', async (t) => {
  const { stages } = await readDockerfile()
  const copied = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ keyword, flags }) => keyword === 'COPY' && flags['from'] === undefined)
    .flatMap(({ text }) => text.split(' ').slice(0, -1))
  t.deepEqual(unique(await readContextNames()), unique(copied))
})

const execute = async (...command: readonly string[]): Promise<containers.Ended> =>
  (await container?.execute(...command)) ?? { code: -1, stdout: '', stderr: 'no container' }
const node = (script: string) =>
  execute('/nodejs/bin/node', '--input-type=module', '--eval', script)
const meshbind = (...args: readonly string[]) => execute(...image.entrypoint, ...args)
const ask = (name: string) =>
  meshbind('check', '--target', '127.0.0.1:9191', '--timeout', '20s', `/etc/meshbind/${name}.json`)

containerTest(
  'without arguments it serves the policy that the environment names, and is live',
  async (t) => {
    const live = await node(`console.log((await fetch('http://127.0.0.1:9464/livez')).status)`)
    t.is(live.stdout.trim(), '200', live.stderr)
  },
)

containerTest(
  'the owner of a token is allowed, and a thief is refused (RFC 8705 §3)',
  async (t) => {
    const allowed = await ask('orders')
    t.is(allowed.code, 0, allowed.stdout + allowed.stderr)
    const denied = await ask('thief')
    t.is(denied.code, 1, denied.stderr)
    t.regex(denied.stdout, /binding_mismatch/)
  },
)

containerTest('it knows its version and its commit', async (t) => {
  const { stdout } = await meshbind('version', '--output', 'json')
  t.like(JSON.parse(stdout), { version: manifest.version, commit })
})

containerTest('traces need nothing but the environment (docs/traces.md)', async (t) => {
  t.truthy(await container?.waitFor('traces are on'))
})

containerTest('every module loads: no package that one of them imports was left out', async (t) => {
  const modules = files
    .filter((path) => /^dist\/.*\.js$/.test(path))
    .filter((path) => !['dist/main.js', 'dist/service/parse-worker.js'].includes(path))
  t.true(modules.length > 100)
  const { code, stderr } = await node(
    `for (const path of ${JSON.stringify(modules)}) await import('/meshbind/' + path)`,
  )
  t.is(code, 0, stderr)
})

containerTest('all of this without privileges (Pod Security Standards, restricted)', (t) => {
  const status = readFileSync(`/proc/${container?.pid}/status`, 'utf8')
  t.regex(status, /^Uid:(\t65532){4}$/m)
  t.regex(status, /^Gid:(\t65532){4}$/m)
  t.regex(status, /^Groups:\s*$/m)
  t.regex(status, /^CapEff:\t0+$/m)
  t.regex(status, /^NoNewPrivs:\t1$/m)
})

containerTest('without a network, a shell, or a place that can be written to', async (t) => {
  const devices = await node(
    `console.log(Object.keys((await import('node:os')).networkInterfaces()))`,
  )
  t.is(devices.stdout.trim(), "[ 'lo' ]", devices.stderr)
  for (const path of ['/x', '/meshbind/dist/main.js', '/etc/meshbind/policy.yaml', '/tmp/x']) {
    const { stderr } = await node(`(await import('node:fs')).writeFileSync('${path}', '')`)
    t.regex(stderr, path === '/tmp/x' ? /ENOENT/ : /EROFS|EACCES/, path)
  }
  t.regex((await execute('/bin/sh', '-c', 'true')).stderr, /No such file/)
})

containerTest('SIGTERM ends it with code 0', async (t) => {
  t.is(await container?.stop(), 0, container?.output())
})
