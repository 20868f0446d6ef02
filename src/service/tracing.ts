/** Traces, where the environment asks for them: the exporter, and who tells it of decisions. */

import type { Log } from '../observe/log.ts'
import { startTraceExporter } from '../observe/trace-exporter.ts'
import { createTraces, type Traces } from '../observe/traces.ts'
import { versionInfo } from './version.ts'

export interface Tracing {
  readonly traces: Traces
  close(): Promise<void>
}

export async function startTracing(log: Log): Promise<Tracing | undefined> {
  const { version } = versionInfo()
  const exporter = await startTraceExporter(process.env, version, log.app)
  return (
    exporter && {
      traces: createTraces(exporter.provider, version),
      close: () => exporter.close(),
    }
  )
}
