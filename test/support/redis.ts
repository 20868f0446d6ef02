/** A real redis-server on a free loopback port: started, killed, paused and restarted at a test's will. */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { end, endWithThisProcess } from './envoy.ts'

const run = promisify(execFile)
const startLimitMs = 10_000

/** Whether there is a redis-server; under CI=true its absence is a failure. */
export function canRunRedis(): boolean {
  const directories = (process.env['PATH'] ?? '').split(delimiter)
  const missing = ['redis-server', 'redis-cli'].filter(
    (name) => !directories.some((directory) => existsSync(join(directory, name))),
  )
  if (missing.length === 0) return true
  const message = `${missing.join(' and ')} not found on PATH. Debian: apt-get install redis-server`
  if (process.env['CI'] === 'true') throw new Error(message)
  process.stderr.write(`SKIPPED: ${message}\n`)
  return false
}

export interface RunningRedis {
  readonly port: number
  /** Without credentials. */
  readonly url: string
  readonly pid: number
  /** SIGKILL: no goodbye, and all that it held is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port, ending it first if it runs. */
  restart(args?: readonly string[]): Promise<void>
  /** Ends it for good. */
  stop(): Promise<void>
  /** Hangs it: connections are accepted by the kernel, and nothing is answered. */
  pause(): void
  resume(): void
  /** redis-cli with these arguments; its standard output, trimmed. */
  cli(...args: string[]): Promise<string>
}

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly ca: string
}

/** @param tls Files; with them the server takes TLS alone. Rejects with an error that cites the server's own words. */
export async function startRedis(
  args: readonly string[] = [],
  tls?: TlsFiles,
): Promise<RunningRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-redis-'))
  const port = await freePort()
  let child = await launch(args)

  function launch(extra: readonly string[]): Promise<ChildProcess> {
    const listening =
      tls === undefined
        ? ['--port', String(port)]
        : [
            ...['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no'],
            ...['--tls-cert-file', tls.certificate, '--tls-key-file', tls.key],
            ...['--tls-ca-cert-file', tls.ca],
          ]
    const quiet = ['--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no']
    return spawnReady([...listening, ...quiet, ...extra])
  }

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }

  return {
    port,
    url: `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    get pid() {
      return child.pid ?? 0
    },
    kill,
    async restart(extra = args) {
      await kill()
      child = await launch(extra)
    },
    async stop() {
      child.kill('SIGCONT')
      await end(child)
      await rm(directory, { recursive: true, force: true })
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async cli(...words) {
      const secure = tls === undefined ? [] : ['--tls', '--cacert', tls.ca]
      const { stdout } = await run('redis-cli', ['-p', String(port), ...secure, ...words])
      return stdout.trim()
    },
  }
}

async function spawnReady(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  endWithThisProcess(child)
  let output = ''
  const ready = new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`redis-server ${why}:\n${output.slice(-2000)}`))
    const timer = setTimeout(() => fail(`was not ready within ${startLimitMs} ms`), startLimitMs)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      fail(`ended with code ${code}`)
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
        if (!output.includes('Ready to accept connections')) return
        clearTimeout(timer)
        resolve()
      })
    }
  })
  try {
    await ready
  } catch (error) {
    await end(child)
    throw error
  }
  return child
}

/**
 * Below the range that the kernel hands out (32768 and above), so that nobody takes the port while the server is down,
 * and no client that calls a dead port from that very port is connected to itself.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
