/** Standard output as the log: application messages and decisions share one stream that never blocks a check. */

import { type Logger, pino } from 'pino'
import { endsWithin } from '../time-limit.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Log {
  readonly app: Logger
  /** Writes one finished line, or drops and counts it where standard output is too slow. */
  writeLine(line: string): void
  dropped(): number
  /** Writes what is buffered, for half a second at the most: a reader that stalls must not keep the process. */
  close(): Promise<void>
}

/** What a stalled reader of standard output may cost in memory; beyond it lines are dropped. */
const maxBufferedBytes = 4 * 1024 * 1024
const closeLimitMs = 500

/** @param base Stands in every application message. */
export function createLog(level: LogLevel, base: Readonly<Record<string, unknown>> = {}): Log {
  let givenUp = false
  const stream = pino.destination({
    fd: 1,
    sync: false,
    maxLength: maxBufferedBytes,
    // Without an end to it, trying again would keep the process for as long as nobody reads.
    retryEAGAIN: () => !givenUp,
  })
  let dropped = 0
  stream.on('drop', () => {
    dropped++
  })
  stream.on('error', () => {}) // the reader has gone; checks go on
  const app = pino(
    {
      level,
      base: { type: 'app', ...base },
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  )
  return {
    app,
    writeLine: (line) => {
      stream.write(`${line}\n`)
    },
    dropped: () => dropped,
    async close() {
      const closed = new Promise((resolve) => stream.once('close', resolve))
      stream.end()
      await endsWithin(closeLimitMs, closed)
      givenUp = true
      stream.destroy()
    },
  }
}

/** Where an error came from, without its message, which may quote what came with a request. */
export function describeError(error: unknown): { name: string; at: string[] } {
  if (!(error instanceof Error)) return { name: typeof error, at: [] }
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return { name: error.name, at: frames.slice(0, 5).map((line) => line.trim()) }
}
