/** Go as a package client: modules at a pinned version and hash, and commands that are built from them. */

import { type ChildProcess, execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endWithThisProcess } from './envoy.ts'

const run = promisify(execFile)
const downloadTimeoutMs = 600_000
const buildTimeoutMs = 1_800_000

const goIsMissing = 'go not found on PATH (Go 1.26 or later: https://go.dev/dl)'

/** `go` on PATH, else where Go's own archive is unpacked by its instructions. */
export function findGo(): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/go/bin']
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, 'go'))
    .find((file) => existsSync(file))
}

/** Whether there is a Go; under CI=true its absence is a failure. */
export function canRunGo(): boolean {
  if (findGo() !== undefined) return true
  if (process.env['CI'] === 'true') throw new Error(goIsMissing)
  process.stderr.write(`SKIPPED: ${goIsMissing}\n`)
  return false
}

export interface GoModule {
  readonly module: string
  readonly version: string
  /** As in a go.sum: `h1:` and the hash of all the module's files. */
  readonly sum: string
}

/** The module has other bytes than those that were pinned: never a reason to skip. */
export class AlteredModule extends Error {}

const directories = new Map<string, Promise<string>>()

/** The directory of a module's files. Rejects if they are not those of the pinned sum, or cannot be had. */
export function goModuleDirectory(
  module: string,
  version: string,
  sum: string,
  go: string | undefined = findGo(),
): Promise<string> {
  const key = [module, version, sum, go].join(' ')
  const known = directories.get(key)
  if (known !== undefined) return known
  const found = downloadModule({ module, version, sum }, go)
  directories.set(key, found)
  found.catch(() => directories.delete(key))
  return found
}

interface Download {
  readonly Dir?: string
  readonly Sum?: string
  readonly Error?: string
}

async function downloadModule(wanted: GoModule, go: string | undefined): Promise<string> {
  if (go === undefined) throw new Error(goIsMissing)
  const name = `${wanted.module}@${wanted.version}`
  const nowhere = await mkdtemp(join(tmpdir(), 'meshbind-go-'))
  try {
    const { stdout, stderr } = await run(go, ['mod', 'download', '-json', name], {
      cwd: nowhere,
      timeout: downloadTimeoutMs,
    }).catch((error: { stdout?: string; stderr?: string; message: string }) => ({
      stdout: error.stdout ?? '',
      stderr: error.stderr || error.message,
    }))
    const answer: Download = stdout.trim() === '' ? {} : JSON.parse(stdout)
    if (answer.Dir === undefined)
      throw new Error(`${name} cannot be had: ${answer.Error ?? stderr.trim()}`)
    if (answer.Sum !== wanted.sum)
      throw new AlteredModule(`${name} has the sum ${answer.Sum}, and ${wanted.sum} is pinned`)
    return answer.Dir
  } finally {
    await rm(nowhere, { recursive: true, force: true })
  }
}

export interface GoCommand extends GoModule {
  /** The package of the command inside the module. */
  readonly path: string
}

/**
 * Builds a command into `directory`, once, however many ask at the same time: one builds and the others wait for it.
 * What is in place is complete: it is built beside it and renamed.
 */
export async function installGoCommand(
  command: GoCommand,
  directory: string,
  onProgress: (message: string) => void,
  go: string | undefined = findGo(),
): Promise<string> {
  const file = join(directory, basename(command.path))
  if (existsSync(file)) return file
  if (go === undefined) throw new Error(goIsMissing)
  await mkdir(dirname(directory), { recursive: true })
  await withLock(`${directory}.lock`, onProgress, async () => {
    if (existsSync(file)) return
    const partial = `${directory}.${process.pid}`
    try {
      await mkdir(partial, { recursive: true })
      await build(command, partial, onProgress, go)
      await rm(directory, { recursive: true, force: true })
      await rename(partial, directory)
    } finally {
      await rm(partial, { recursive: true, force: true })
    }
  })
  return file
}

async function build(
  { module, version, sum, path }: GoCommand,
  directory: string,
  onProgress: (message: string) => void,
  go: string,
): Promise<void> {
  const name = `${basename(path)} ${version}`
  onProgress(`building ${name} from its sources with Go: minutes, once`)
  await goModuleDirectory(module, version, sum, go)
  const building = run(go, ['install', `${module}/${path}@${version}`], {
    cwd: directory,
    env: { ...process.env, GOBIN: directory },
    timeout: buildTimeoutMs,
  })
  endWithThisProcess(building.child as ChildProcess)
  await building.catch((error: { stderr?: string; message: string }) => {
    const said = (error.stderr || error.message).trim().split('\n').slice(-5).join('\n')
    throw new Error(`${name} could not be built: ${said}`)
  })
}

/** A file that holds its maker's process id. One whose maker is gone does not count. */
async function withLock(
  file: string,
  onProgress: (message: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  let told = false
  while (!(await takeLock(file))) {
    if (!told) onProgress(`waiting for the process that holds ${file}`)
    told = true
    await sleep(250)
  }
  try {
    await work()
  } finally {
    await rm(file, { force: true })
  }
}

async function takeLock(file: string): Promise<boolean> {
  const own = await mkdtemp(`${file}.`)
  try {
    const written = join(own, 'pid')
    await writeFile(written, String(process.pid))
    // A link, not a new file: it is never seen without the id in it.
    await link(written, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const holder = Number(await readFile(file, 'utf8').catch(() => ''))
    if (holder > 0 && !isAlive(holder)) await rm(file, { force: true })
    return false
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
