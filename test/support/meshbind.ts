/** meshbind as its users run it: the real command in its own process, its log in memory. */

import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { end, endWithThisProcess } from './envoy.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export type LogLine = { readonly [name: string]: unknown }

export interface RunningMeshbind {
  readonly pid: number
  /** Port of the first TCP address that it listens on; 0 if there is none. */
  readonly port: number
  /** Every line of standard output so far, parsed. */
  readonly lines: readonly LogLine[]
  decisions(): readonly LogLine[]
  /** Everything written to standard output and standard error, as it came. */
  output(): string
  /** The first line that fits, waiting for it. */
  waitFor(fits: (line: LogLine) => boolean): Promise<LogLine>
  kill(signal: NodeJS.Signals): void
  /** The exit code, once the process has ended; null if a signal ended it. */
  readonly exited: Promise<number | null>
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
}

/** No claim: a machine that is busy with other tests may take its time. */
const startLimitMs = 60_000

/** Starts `meshbind serve` with the arguments and waits for the log message. */
export function startMeshbind(
  args: readonly string[],
  message: 'ready' | 'listening' = 'ready',
): Promise<RunningMeshbind> {
  return startCommand(['serve', '--decision-log', 'all', ...args], { message })
}

export interface CommandOptions {
  /** The whole environment; this process's own without it. */
  readonly env?: NodeJS.ProcessEnv
  readonly message?: 'ready' | 'listening'
}

/** Starts the command with exactly these arguments, `serve` among them. */
export async function startCommand(
  args: readonly string[],
  { env = process.env, message = 'ready' }: CommandOptions = {},
): Promise<RunningMeshbind> {
  const child = spawn(process.execPath, [main, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWithThisProcess(child)
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const lines: LogLine[] = []
  let output = ''
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) lines.push(JSON.parse(part))
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  const waitFor = async (fits: (line: LogLine) => boolean): Promise<LogLine> => {
    const limit = performance.now() + startLimitMs
    for (;;) {
      const found = lines.find(fits)
      if (found !== undefined) return found
      if (child.exitCode !== null)
        throw new Error(`meshbind ended with code ${child.exitCode}: ${output}`)
      if (performance.now() > limit) throw new Error(`meshbind did not write the line: ${output}`)
      await sleep(10)
    }
  }
  try {
    await waitFor((line) => line['message'] === message)
  } catch (error) {
    await end(child)
    throw error
  }
  return {
    pid: child.pid ?? 0,
    port: portOf(lines),
    lines,
    decisions: () => lines.filter((line) => line['type'] === 'decision'),
    output: () => output,
    waitFor,
    exited,
    kill: (signal) => child.kill(signal),
    stop: () => end(child, 15_000),
  }
}

function portOf(lines: readonly LogLine[]): number {
  const listen = lines.find((line) => line['message'] === 'listening')?.['listen']
  const [address] = Array.isArray(listen)
    ? listen.filter((text) => !String(text).startsWith('unix:'))
    : []
  return Number(
    String(address ?? ':0')
      .split(':')
      .at(-1),
  )
}

/** Runs the command to its end: its exit code, and everything that it wrote. */
export function runCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  endWithThisProcess(child)
  const timer = setTimeout(() => child.kill('SIGKILL'), startLimitMs)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  return new Promise((resolve) =>
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, output })
    }),
  )
}

/** Whether something listens on a Unix socket. */
export function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
