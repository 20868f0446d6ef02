/** A real Helm: found or built at a pinned version; charts rendered, linted and packaged, far from anyone's own Helm. */

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type GoCommand, installGoCommand } from './go-tools.ts'
import { type KubeObject, parseObjects } from './kube-objects.ts'

export { find, findAll, type KubeObject } from './kube-objects.ts'

const run = promisify(execFile)
const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const ownChart = file('helm/meshbind')
const timeoutMs = 60_000

const pinned: GoCommand = {
  module: 'helm.sh/helm/v4',
  path: 'cmd/helm',
  version: 'v4.3.1',
  sum: 'h1:UndCoLe9UPmNoL7IvWzaUXveL7T5t/ijoorEmgJdI9g=',
}
const cacheDirectory = file(`.cache/helm/${pinned.version}`)

const ways = [
  '  1. HELM_BIN=/path/to/helm',
  '  2. helm on PATH',
  '  3. go (1.26 or later) on PATH: `make test` builds Helm with it before the tests start',
].join('\n')

/** `HELM_BIN`, then `helm` on PATH, then the one that was built. Builds nothing: a test cannot wait that long. */
function findHelm(): string | undefined {
  const given = process.env['HELM_BIN']
  if (given !== undefined && given !== '') {
    if (existsSync(given)) return given
    throw new Error(`HELM_BIN is ${given}, and there is no such file`)
  }
  return [...(process.env['PATH'] ?? '').split(delimiter), cacheDirectory]
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, 'helm'))
    .find((path) => existsSync(path))
}

/** Finds Helm, or builds it once. Throws an error that names the three ways. */
export async function provideHelm(onProgress: (message: string) => void): Promise<string> {
  try {
    return findHelm() ?? (await installGoCommand(pinned, cacheDirectory, onProgress))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`No Helm can be had. One of these is needed:\n${ways}\n${why}`)
  }
}

/** Whether there is a Helm; under CI=true its absence is a failure. */
export function canRunHelm(): boolean {
  if (findHelm() !== undefined) return true
  const message = `helm not found. One of these is needed:\n${ways}`
  if (process.env['CI'] === 'true') throw new Error(message)
  process.stderr.write(`SKIPPED: ${message}\n`)
  return false
}

export interface RenderOptions {
  /** The chart's directory; meshbind's own without it. */
  readonly chart?: string
  /** Plain data, or the path of a values file. */
  readonly values?: object | string
  /** As `--set`: `a.b=c`. */
  readonly set?: readonly string[]
  readonly release?: string
  readonly namespace?: string
  readonly kubeVersion?: string
  /** Beyond those that Helm knows, such as `security.istio.io/v1`. */
  readonly apiVersions?: readonly string[]
  /** Templates, such as `templates/service.yaml`. */
  readonly showOnly?: readonly string[]
}

export interface Rendered {
  readonly objects: readonly KubeObject[]
  /** NOTES.txt as `helm install` would print it. */
  readonly notes: string
  /** Helm's standard error of a render that succeeded: values of the wrong shape, mostly. */
  readonly warnings: string
}

const renders = new Map<string, Promise<Rendered>>()

/** As `helm template`. Rejects with Helm's own words. The same question is asked once in a process. */
export async function renderChart(options: RenderOptions = {}): Promise<Rendered> {
  const key = JSON.stringify(options)
  const known = renders.get(key) ?? render(options)
  renders.set(key, known)
  return structuredClone(await known)
}

/** Helm's standard error of a render that must fail. Rejects if it does not. */
export async function renderFailure(
  values: object | string,
  options: Omit<RenderOptions, 'values'> = {},
): Promise<string> {
  const words = await renderChart({ ...options, values }).then(
    () => undefined,
    (error: Error) => error.message,
  )
  if (words !== undefined) return words
  throw new Error(`the chart takes these values, and should not: ${JSON.stringify(values)}`)
}

/** `helm template` shows no notes, and `helm install` takes no version of Kubernetes: so a template shows them. */
const notesKind = 'RenderedNotes'
const notesFile = 'templates/zz-rendered-notes.yaml'
const notesTemplate = `{{ dict "kind" "${notesKind}" "text"
  (include (print $.Template.BasePath "/NOTES.txt") .) | toJson }}`

function render(options: RenderOptions): Promise<Rendered> {
  return inOwnDirectory(async (directory) => {
    const chart = join(directory, 'chart')
    await cp(options.chart ?? ownChart, chart, { recursive: true, dereference: true })
    const hasNotes = existsSync(join(chart, 'templates/NOTES.txt'))
    if (hasNotes) await writeFile(join(chart, notesFile), notesTemplate)
    const { release = 'meshbind', namespace = 'meshbind', kubeVersion = '1.33.0' } = options
    const { set = [], apiVersions = [], showOnly = [] } = options
    const shown = showOnly.length > 0 && hasNotes ? [...showOnly, notesFile] : showOnly
    const { stdout, stderr } = await helm(directory, [
      ...['template', release, chart, '--namespace', namespace, '--kube-version', kubeVersion],
      ...(await valuesFlags(directory, options.values)),
      ...set.flatMap((value) => ['--set', value]),
      ...apiVersions.flatMap((version) => ['--api-versions', version]),
      ...shown.flatMap((template) => ['--show-only', template]),
    ])
    const all = parseObjects(stdout)
    const notes = all.find(({ kind }) => kind === notesKind)?.['text'] ?? ''
    const objects = all.filter(({ kind }) => kind !== notesKind)
    return { objects, notes, warnings: stderr }
  })
}

/** `helm lint --strict`: its report. Rejects with it if it finds something; a template's own `fail` is not found. */
export function lintChart(values: object | string = {}, chart = ownChart): Promise<string> {
  return inOwnDirectory(async (directory) => {
    const flags = await valuesFlags(directory, values)
    const { stdout, stderr } = await helm(directory, ['lint', '--strict', chart, ...flags])
    return `${stdout}${stderr}`
  })
}

/** `helm package`: the path of the archive in `destination`. */
export function packageChart(destination: string, chart = ownChart): Promise<string> {
  return inOwnDirectory(async (directory) => {
    const { stdout } = await helm(directory, ['package', chart, '--destination', destination])
    const path = /saved it to: (.+)$/m.exec(stdout)?.[1]
    if (path === undefined) throw new Error(`helm package said: ${stdout}`)
    return path
  })
}

async function valuesFlags(directory: string, values: object | string | undefined) {
  if (values === undefined) return []
  if (typeof values === 'string') return ['--values', values]
  const path = join(directory, 'values.json')
  await writeFile(path, JSON.stringify(values))
  return ['--values', path]
}

async function helm(directory: string, args: readonly string[]) {
  const binary = findHelm()
  if (binary === undefined) throw new Error(`helm not found. One of these is needed:\n${ways}`)
  const foreign = /^(HELM_|KUBE)/
  const own = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const env = {
    ...Object.fromEntries(own),
    KUBECONFIG: '/dev/null',
    HELM_CACHE_HOME: join(directory, 'cache'),
    HELM_CONFIG_HOME: join(directory, 'config'),
    HELM_DATA_HOME: join(directory, 'data'),
  }
  const options = { env, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 }
  return run(binary, args, options).catch((error) => {
    throw new Error(`${error.stderr}${error.stdout}`.trim() || error.message)
  })
}

/** AVA starts all tests of a file at once, and each Helm takes some fifty megabytes: a few at a time. */
const atOnce = 4
let running = 0
const waiting: (() => void)[] = []

async function inOwnDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  while (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
  running++
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-helm-'))
  try {
    return await work(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
    running--
    waiting.shift()?.()
  }
}
