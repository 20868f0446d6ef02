/** One decision → one finished span, through the OpenTelemetry API alone: whoever gives the provider brings the SDK. */

import {
  type Attributes,
  type Context,
  type HrTime,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type TracerProvider,
  trace,
} from '@opentelemetry/api'
import { reasons } from '../decision/reasons.ts'
import { type LoggedDecision, loggedPath } from './decision-log.ts'
import { remoteParentOf } from './traceparent.ts'

export interface Traces {
  /** Makes the span of a check after the check, so that no check waits for it. */
  decided(record: LoggedDecision): void
}

/** The conventions that the names below are from: RPC and HTTP, both stable in this version. */
const schemaUrl = 'https://opentelemetry.io/schemas/1.45.0'
const method = 'envoy.service.auth.v3.Authorization/Check'
/**
 * Known before the sampler is asked (gRPC conventions, "at span creation time"). The call itself always succeeds:
 * a refusal, too, is an answer (docs/architecture.md, fail closed).
 */
const call: Attributes = {
  'rpc.system.name': 'grpc',
  'rpc.method': method,
  'rpc.status_code': 'OK',
}
/** `http.request.method` takes these alone, and `_OTHER`: its values must be few (HTTP conventions). */
const httpMethods = new Set('CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE'.split(' '))

export function createTraces(provider: TracerProvider, version: string): Traces {
  const tracer = provider.getTracer('meshbind', version, { schemaUrl })
  return {
    decided(record) {
      const startTime = hrTime(record.time, 0)
      const options = { kind: SpanKind.SERVER, attributes: call, startTime }
      const span = tracer.startSpan(method, options, parentOf(record))
      // Most spans of a busy mesh are not sampled: nothing is written for them.
      if (!span.isRecording()) return
      span.setAttributes(describe(record))
      const failure = failureOf(record)
      if (failure !== undefined) {
        span.setAttribute('error.type', failure)
        span.setStatus({ code: SpanStatusCode.ERROR })
      }
      span.end(hrTime(record.time, record.durationMicroseconds))
    },
  }
}

/**
 * Envoy's span of the check, else what the client sent: Envoy writes its own context into the request's headers only
 * after the check, so they still name the client's span, or none.
 */
function parentOf(record: LoggedDecision): Context {
  const parent = remoteParentOf(record)
  if (parent === undefined) return ROOT_CONTEXT
  const { traceId, spanId } = parent
  // Of the flags, level 1 defines `sampled`, and says nothing of the others that could be handed on (§3.2.2.5).
  const traceFlags = parent.flags & TraceFlags.SAMPLED
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}

/** Never what was presented (a token, proof, header value or query), nor `server.address`, which would be our own. */
function describe({ id, decision, request }: LoggedDecision): Attributes {
  const { findings } = decision
  return {
    'http.request.method': request && (httpMethods.has(request.method) ? request.method : '_OTHER'),
    'url.path': request && loggedPath(request.path),
    'meshbind.decision_id': id,
    'meshbind.decision': decision.verdict,
    'meshbind.enforced': decision.enforced,
    'meshbind.mode': decision.mode,
    'meshbind.reason': decision.verdict === 'deny' ? decision.reason : undefined,
    'meshbind.route': findings.route,
    'meshbind.policy_revision': decision.policyRevision || undefined,
    'meshbind.presenter': findings.presenter?.spiffeId,
    'meshbind.issuer': findings.token?.issuer,
    'meshbind.confirmation_method': findings.method,
    'meshbind.cache': findings.cache,
  }
}

/**
 * A refusal is this service at work, not a failure of it: 4xx leaves the status of a SERVER span unset (HTTP
 * conventions, "Status"), and so do UNAUTHENTICATED, PERMISSION_DENIED and INVALID_ARGUMENT (gRPC conventions,
 * "Server"). Failures are the reasons that stand for 5xx, INTERNAL or UNAVAILABLE: a check that could not be made.
 */
function failureOf({ decision }: LoggedDecision): string | undefined {
  return decision.verdict === 'deny' && reasons[decision.reason].http >= 500
    ? decision.reason
    : undefined
}

/** Seconds and nanoseconds: one number of milliseconds since 1970 would lose part of a microsecond. */
function hrTime(unixMs: number, moreMicroseconds: number): HrTime {
  const microseconds = (unixMs % 1000) * 1000 + moreMicroseconds
  const seconds = Math.floor(unixMs / 1000) + Math.floor(microseconds / 1e6)
  return [seconds, (microseconds % 1e6) * 1000]
}
