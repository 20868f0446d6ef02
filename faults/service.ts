/** meshbind as the rig runs it: the real command, watched from outside: its memory, its files, its log, its end. */

import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { end, endWithThisProcess } from '../test/support/envoy.ts'
import type { Order } from './inject.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const inject = fileURLToPath(new URL('./inject.ts', import.meta.url))
const startLimitMs = 30_000
/** Nothing that looks like the rig's tokens may stand in a log: a JWS, or an opaque token. */
const tokenText = /eyJ[\w-]{16,}\.|opaque-(opaque|none)-/

export interface ServiceOptions {
  readonly args: readonly string[]
  /** For the orders of inject.ts. */
  readonly ordersFile: string
  /** `read`; `full`: every write fails for want of space; `stalled`: nobody reads. */
  readonly output?: 'read' | 'full' | 'stalled'
  readonly nodeOptions?: string
  /** Run in its place, with `node …` as its arguments. */
  readonly under?: readonly string[]
}

export interface Service {
  readonly pid: number
  readonly adminPort: number
  readonly running: () => boolean
  /** The exit code; null if a signal ended it. */
  readonly exited: Promise<number | null>
  /** Messages of the application log, and a count of every line. */
  messages(): readonly { readonly [name: string]: unknown }[]
  lineCount(): number
  /** Lines that hold a token; must be none. */
  leaks(): number
  kill(signal: NodeJS.Signals): void
  order(order: Omit<Order, 'serial'>): Promise<void>
  rssBytes(): number
  openFiles(): number
  metric(name: string): Promise<number>
  isReady(): Promise<boolean>
  /** Those that serve, by their number; none where it answers the checks itself. */
  workers(): Promise<readonly WorkerSeen[]>
  stop(): Promise<number | null>
}

export interface WorkerSeen {
  readonly worker: number
  readonly pid: number
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const { output = 'read', ordersFile } = options
  const adminPort = await freePort()
  const full = output === 'full' ? openSync('/dev/full', 'w') : undefined
  const node = [process.execPath, '--import', inject, main, 'serve', ...options.args]
  const [command = '', ...args] = [
    ...(options.under ?? []),
    ...[...node, '--admin', `127.0.0.1:${adminPort}`],
  ]
  const child = spawn(command, args, {
    env: {
      ...process.env,
      FAULTS_ORDERS: ordersFile,
      ...(options.nodeOptions === undefined ? {} : { NODE_OPTIONS: options.nodeOptions }),
    },
    stdio: ['ignore', full ?? 'pipe', 'pipe'],
  })
  if (full !== undefined) closeSync(full)
  endWithThisProcess(child)
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const messages: { [name: string]: unknown }[] = []
  let lineCount = 0
  let leaks = 0
  let rest = ''
  let errors = ''
  let failed = false
  child.once('error', (error) => {
    failed = true
    errors += error.message
  })
  const running = () => !failed && child.exitCode === null && child.signalCode === null
  const read = (line: string) => {
    lineCount++
    if (tokenText.test(line)) leaks++
    if (line.startsWith('{') && !line.includes('"type":"decision"')) messages.push(JSON.parse(line))
  }
  if (output === 'read')
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop() ?? ''
      parts.forEach(read)
    })
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    errors = (errors + chunk).slice(-4000)
    if (tokenText.test(chunk)) leaks++
  })
  const page = async (path: string) =>
    fetch(`http://127.0.0.1:${adminPort}${path}`, { signal: AbortSignal.timeout(2000) })
  const isReady = () =>
    page('/readyz').then(
      ({ status }) => status === 200,
      () => false,
    )
  let serial = 0
  const limit = performance.now() + startLimitMs
  while (!(await isReady())) {
    if (running() && performance.now() < limit) await sleep(20)
    else {
      await end(child)
      throw new Error(`meshbind did not become ready (${child.exitCode}): ${errors}${rest}`)
    }
  }
  const pid = options.under === undefined ? (child.pid ?? 0) : childOf(child.pid ?? 0)
  return {
    ...{ pid, adminPort, running, exited, isReady },
    messages: () => messages,
    lineCount: () => lineCount,
    leaks: () => leaks,
    kill: (signal) => void process.kill(pid, signal),
    async order(order) {
      writeFileSync(ordersFile, JSON.stringify({ ...order, serial: ++serial }))
      process.kill(pid, 'SIGUSR2')
      const until = performance.now() + startLimitMs
      while (doneIn(`${ordersFile}.done`) !== String(serial)) {
        if (!running() || performance.now() > until) throw new Error('an order was not carried out')
        await sleep(5)
      }
    },
    rssBytes: () => rssOf(pid),
    openFiles: () => readdirSync(`/proc/${pid}/fd`).length,
    async metric(name) {
      const text = await (await page('/metrics')).text()
      const lines = text.split('\n').filter((line) => line.startsWith(name))
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    async workers() {
      const { workers = [] } = (await (await page('/policy')).json()) as {
        readonly workers?: readonly (WorkerSeen & { readonly serving: boolean })[]
      }
      return workers.filter(({ serving }) => serving)
    },
    stop: () => end(child, 15_000),
  }
}

function doneIn(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Where a wrapper runs it: the wrapper's only child, or the wrapper itself where it has become meshbind. */
function childOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return child === undefined || child === '' ? pid : Number(child)
}

function rssOf(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** Below the range that the kernel hands out, so that nobody takes it while its owner is down. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}
