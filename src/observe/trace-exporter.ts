/** Where spans go when `OTEL_*` asks for it: the OpenTelemetry SDK, loaded here alone and only then. */

import { hostname } from 'node:os'
import type { TracerProvider } from '@opentelemetry/api'
import type { BatchSpanProcessorOptions, Sampler, SpanExporter } from '@opentelemetry/sdk-trace'
import { endsWithin } from '../time-limit.ts'
import { describeError } from './log.ts'

export interface TraceExporter {
  readonly provider: TracerProvider
  /** Sends what is left, for two seconds at the most. */
  close(): Promise<void>
}

export interface TraceLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

type Environment = { readonly [name: string]: string | undefined }
type Sdk = Awaited<ReturnType<typeof loadSdk>>

/**
 * What the end may wait for the last spans, and what one export may take unless `OTEL_EXPORTER_OTLP_TIMEOUT` says
 * otherwise: an export under way keeps the process alive, so the SDK's 10 s are too long.
 */
const limitMs = 2000
const packages = [
  '@opentelemetry/core',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace',
]

/**
 * Undefined where spans are not asked for, or cannot be sent: a service without its traces still serves.
 *
 * @param env `process.env`, where the SDK itself finds the rest: headers, certificates, compression, service name and
 * resource attributes. It does not read the sampler and the limits of a batch, and takes localhost for an endpoint
 * that it cannot read; all of these are read here.
 */
export async function startTraceExporter(
  env: Environment,
  version: string,
  log: TraceLog,
): Promise<TraceExporter | undefined> {
  if (!isWanted(env)) return undefined
  const problem = endpointProblem(env)
  if (problem !== undefined) {
    log.warn({ problem }, 'traces are off')
    return undefined
  }
  const sdk = await loadSdk().catch((error: unknown) => {
    log.warn(
      { error: describeError(error), packages },
      'traces are off: OTEL_* asks for them, and these optional packages could not be loaded',
    )
    return undefined
  })
  return sdk && createExporter(env, version, log, sdk)
}

/** OpenTelemetry, "Environment Variable Specification": an empty value is as good as none, and booleans know no case. */
function isWanted(env: Environment): boolean {
  if (read(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return false
  const exporter = read(env, 'OTEL_TRACES_EXPORTER')
  return exporter === undefined ? endpointOf(env) !== undefined : exporter !== 'none'
}

/** Names the variable and never its value: an endpoint can hold a password. */
function endpointProblem(env: Environment): string | undefined {
  if ((read(env, 'OTEL_TRACES_EXPORTER') ?? 'otlp') !== 'otlp')
    return 'OTEL_TRACES_EXPORTER can be otlp or none'
  const protocol =
    read(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? read(env, 'OTEL_EXPORTER_OTLP_PROTOCOL')
  if (protocol !== undefined && !protocol.startsWith('http/'))
    return 'OTEL_EXPORTER_OTLP_PROTOCOL asks for gRPC; spans are sent by HTTP, to port 4318 as a rule'
  const { name, value } = endpointOf(env) ?? {}
  if (value !== undefined && !/^https?:$/.test(URL.parse(value)?.protocol ?? ''))
    return `${name} is no http or https URL`
  return undefined
}

function endpointOf(env: Environment): { name: string; value: string } | undefined {
  for (const name of ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT']) {
    const value = read(env, name)
    if (value !== undefined) return { name, value }
  }
  return undefined
}

async function loadSdk() {
  const [core, exporter, resources, trace] = await Promise.all([
    import('@opentelemetry/core'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace'),
  ])
  return { core, exporter, resources, trace }
}

function createExporter(env: Environment, version: string, log: TraceLog, sdk: Sdk): TraceExporter {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = sdk.resources
  const own = { 'service.name': 'meshbind', 'service.version': version, 'host.name': hostname() }
  const provider = new sdk.trace.TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes(own))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: createSampler(env, log, sdk),
    spanProcessors: [
      new sdk.trace.BatchSpanProcessor({
        ...batchLimits(env, log),
        exporter: tellOfChange(new sdk.exporter.OTLPTraceExporter(exportLimit(env)), log, sdk),
      }),
    ],
  })
  log.info({}, 'traces are on')
  return {
    provider,
    async close() {
      const ended = provider.shutdown().catch(() => {}) // the failure has been told of already
      await endsWithin(limitMs, ended, { ref: false })
    },
  }
}

function exportLimit(env: Environment): { timeoutMillis?: number } {
  const given =
    read(env, 'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT') ?? read(env, 'OTEL_EXPORTER_OTLP_TIMEOUT')
  return given === undefined ? { timeoutMillis: limitMs } : {}
}

/** The queue has an end, so a collector that is down costs spans and never memory. */
function batchLimits(env: Environment, log: TraceLog): Omit<BatchSpanProcessorOptions, 'exporter'> {
  const limits = {
    maxQueueSize: readNumber(env, log, 'OTEL_BSP_MAX_QUEUE_SIZE', 1),
    maxExportBatchSize: readNumber(env, log, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 1),
    scheduledDelayMillis: readNumber(env, log, 'OTEL_BSP_SCHEDULE_DELAY', 0),
    exportTimeoutMillis: readNumber(env, log, 'OTEL_BSP_EXPORT_TIMEOUT', 1),
  }
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined))
}

const samplerForm = /^(parentbased_)?(always_on|always_off|traceidratio)$/

/** A parent's `sampled` flag counts unless the operator takes a sampler without `parentbased_`. */
function createSampler(env: Environment, log: TraceLog, { trace }: Sdk): Sampler {
  const known = samplerForm.exec(read(env, 'OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on')
  if (known === null)
    log.warn({ variable: 'OTEL_TRACES_SAMPLER' }, 'not a known sampler; the default is taken')
  const [, parentBased, kind] = known ?? ['', 'parentbased_', 'always_on']
  const root = createRootSampler(kind, env, log, trace)
  return parentBased === undefined ? root : new trace.ParentBasedSampler({ root })
}

function createRootSampler(
  kind: string | undefined,
  env: Environment,
  log: TraceLog,
  trace: Sdk['trace'],
): Sampler {
  if (kind === 'always_off') return new trace.AlwaysOffSampler()
  if (kind === 'always_on') return new trace.AlwaysOnSampler()
  return new trace.TraceIdRatioBasedSampler(
    readNumber(env, log, 'OTEL_TRACES_SAMPLER_ARG', 0, 1) ?? 1,
  )
}

/** One line when exports begin to fail and one when they succeed again; not the error's text, which the collector wrote. */
function tellOfChange(exporter: SpanExporter, log: TraceLog, { core }: Sdk): SpanExporter {
  let failing = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== core.ExportResultCode.SUCCESS
        if (failed && !failing)
          log.warn({ error: result.error?.name }, 'spans cannot be sent and are lost; checks go on')
        if (!failed && failing) log.info({}, 'spans are sent again')
        failing = failed
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  }
}

function readNumber(
  env: Environment,
  log: TraceLog,
  name: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const text = read(env, name)
  if (text === undefined) return undefined
  const number = Number(text)
  if (number >= least && number <= most) return number
  log.warn({ variable: name }, 'not a number in its range; the default is taken')
  return undefined
}

function read(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || undefined
}
