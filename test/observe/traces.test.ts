import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import test from 'ava'
import fc from 'fast-check'
import { type Decision, denyOutright } from '../../src/decision/decision.ts'
import { type Reason, reasons } from '../../src/decision/reasons.ts'
import type { LoggedDecision } from '../../src/observe/decision-log.ts'
import { createTraces } from '../../src/observe/traces.ts'
import { ordersId } from '../support/world.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const sampled = `00-${traceId}-${parentId}-01`

const allow = {
  ...denyOutright('overloaded'),
  verdict: 'allow',
  policyRevision: 'abcdef',
  findings: {
    route: 'bound',
    presenter: { spiffeId: ordersId, x5tS256: undefined, evidence: 'certificate' },
    token: {
      issuer: 'corp',
      subject: 'canary-subject',
      tokenId: 'canary-jti',
      keyId: 'canary-kid',
    },
    method: 'x5t#S256',
    cache: 'hit',
  },
} as unknown as Decision

function recordOf(
  decision: Decision,
  request: { method?: string; path?: string; traceparent?: string } = {},
  rest: Partial<LoggedDecision> = {},
): LoggedDecision {
  return {
    id: 'decision-1',
    decision,
    request: {
      id: 'canary-id',
      method: 'POST',
      host: 'canary-host',
      path: '/v1/payments',
      traceparent: sampled,
      ...request,
    },
    time: 1_790_000_000_999,
    durationMicroseconds: 1234,
    ...rest,
  }
}

/** The spans that the decisions make, with the SDK's default sampler: the parent's flag, and yes without a parent. */
function spansOf(...records: readonly LoggedDecision[]): readonly ReadableSpan[] {
  const exporter = new InMemorySpanExporter()
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const traces = createTraces(provider, '1.2.3')
  for (const record of records) traces.decided(record)
  return exporter.getFinishedSpans()
}

function spanOf(record: LoggedDecision): ReadableSpan {
  const [span] = spansOf(record)
  if (span === undefined) throw new Error('no span')
  return span
}

const parentOf = (traceparent: string) =>
  spansOf(recordOf(allow, { traceparent })).map(({ parentSpanContext }) => parentSpanContext)[0]

test('semantic conventions 1.45, RPC and gRPC: a server span named after the method, with exactly these attributes', (t) => {
  const span = spanOf(recordOf(allow))
  t.is(span.name, 'envoy.service.auth.v3.Authorization/Check')
  t.is(span.kind, SpanKind.SERVER)
  t.is(span.instrumentationScope.name, 'meshbind')
  t.is(span.instrumentationScope.version, '1.2.3')
  t.is(span.instrumentationScope.schemaUrl, 'https://opentelemetry.io/schemas/1.45.0')
  t.deepEqual(span.attributes, {
    'rpc.system.name': 'grpc',
    'rpc.method': 'envoy.service.auth.v3.Authorization/Check',
    'rpc.status_code': 'OK',
    'http.request.method': 'POST',
    'url.path': '/v1/payments',
    'meshbind.decision_id': 'decision-1',
    'meshbind.decision': 'allow',
    'meshbind.enforced': true,
    'meshbind.mode': 'enforce',
    'meshbind.route': 'bound',
    'meshbind.policy_revision': 'abcdef',
    'meshbind.presenter': ordersId,
    'meshbind.issuer': 'corp',
    'meshbind.confirmation_method': 'x5t#S256',
    'meshbind.cache': 'hit',
  })
})

test('a question that could not be read has a span of its own trace, with its reason', (t) => {
  const span = spanOf({ ...recordOf(denyOutright('request_malformed')), request: undefined })
  t.is(span.parentSpanContext, undefined)
  t.deepEqual(span.attributes, {
    'rpc.system.name': 'grpc',
    'rpc.method': 'envoy.service.auth.v3.Authorization/Check',
    'rpc.status_code': 'OK',
    'meshbind.decision_id': 'decision-1',
    'meshbind.decision': 'deny',
    'meshbind.enforced': true,
    'meshbind.mode': 'enforce',
    'meshbind.reason': 'request_malformed',
  })
})

test('the span begins with the check and lasts as long, to the microsecond, across a second', (t) => {
  const span = spanOf(recordOf(allow))
  t.deepEqual(span.startTime, [1_790_000_000, 999_000_000])
  t.deepEqual(span.endTime, [1_790_000_001, 234_000])
  t.deepEqual(span.duration, [0, 1_234_000])
})

test('HTTP and gRPC conventions, status: a refusal is no error of the service; what stands for 5xx is', (t) => {
  const failures = (Object.keys(reasons) as Reason[]).filter((reason) => {
    const { status, attributes } = spanOf(recordOf(denyOutright(reason)))
    const failed = status.code === SpanStatusCode.ERROR
    t.is(attributes['error.type'], failed ? reason : undefined)
    t.true(failed || status.code === SpanStatusCode.UNSET)
    return failed
  })
  t.deepEqual(failures.toSorted(), [
    'deadline_exceeded',
    'internal_error',
    'introspection_unavailable',
    'keys_unavailable',
    'not_ready',
    'overloaded',
    'revocation_stale',
    'state_unavailable',
  ])
})

test('Trace Context level 1 §3.2: the parent is what the header names, and remote', (t) => {
  t.deepEqual(parentOf(sampled), { traceId, spanId: parentId, traceFlags: 1, isRemote: true })
  t.is(spanOf(recordOf(allow)).spanContext().traceId, traceId)
})

test('Trace Context level 1 §3.2.2.5: a parent that is not sampled has no span here; other flags count for nothing', (t) => {
  const spans = (flags: string) =>
    spansOf(recordOf(allow, { traceparent: `00-${traceId}-${parentId}-${flags}` })).length
  t.deepEqual(['00', '01', '02', '03', 'fe', 'ff'].map(spans), [0, 1, 0, 1, 0, 1])
  t.is(parentOf(`00-${traceId}-${parentId}-ff`)?.traceFlags, 1)
})

test('Trace Context level 1 §4.3: a higher version is read as far as version 00 goes', (t) => {
  for (const header of [sampled.replace('00', 'cc'), `${sampled.replace('00', '01')}-what-ever`])
    t.is(parentOf(header)?.spanId, parentId, header)
})

test('Trace Context level 1 §3.2.2, §4.3: a malformed header begins a new trace', (t) => {
  const malformed = [
    '',
    `ff-${traceId}-${parentId}-01`,
    `00-${'0'.repeat(32)}-${parentId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    sampled.toUpperCase(),
    `${sampled}-00`,
    `${sampled}-`,
    `01${sampled.slice(2)}x`,
    `${sampled}\n`,
    ` ${sampled}`,
    `${sampled},${sampled}`,
  ]
  for (const header of malformed) {
    const [span] = spansOf(recordOf(allow, { traceparent: header }))
    t.is(span?.parentSpanContext, undefined, header)
    t.not(span?.spanContext().traceId, traceId, header)
  }
})

test('Trace Context level 1 §3.2: every byte at every place is judged as the grammar says', (t) => {
  for (let place = 0; place < sampled.length; place++) {
    const dash = sampled[place] === '-'
    for (let byte = 0; byte < 256; byte++) {
      const text = String.fromCharCode(byte)
      const header = `${sampled.slice(0, place)}${text}${sampled.slice(place + 1)}`
      // Flags are read elsewhere; here a parent that is not sampled would hide behind the want of a span.
      if (place > 52 && /[0-9a-f]/.test(text)) continue
      t.is(parentOf(header) !== undefined, dash ? text === '-' : /[0-9a-f]/.test(text), header)
    }
  }
})

test('any text at all as traceparent gives one span or none, and never throws', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (traceparent) => {
      const spans = spansOf(recordOf(allow, { traceparent }))
      return spans.length === 1 && spans[0]?.parentSpanContext === undefined
    }),
  )
  t.pass()
})

test('Envoy’s own span of the check is the parent where its call names one, else what the client sent', (t) => {
  const envoy = `00-${traceId}-${'a'.repeat(16)}-01`
  const parent = (callTraceparent: string | undefined) =>
    spanOf(recordOf(allow, {}, { callTraceparent: () => callTraceparent })).parentSpanContext
      ?.spanId
  t.deepEqual([envoy, undefined, 'junk'].map(parent), ['a'.repeat(16), parentId, parentId])
})

test('HTTP conventions, http.request.method: what is no known method is _OTHER', (t) => {
  const method = (text: string) =>
    spanOf(recordOf(allow, { method: text })).attributes['http.request.method']
  t.deepEqual(['GET', 'QUERY', 'get', 'canary'].map(method), ['GET', 'QUERY', '_OTHER', '_OTHER'])
})

test('catalogue 266: the path has neither query nor fragment and is bounded; no other value of the request is told', (t) => {
  const paths = ['/a?canary', '/a#canary', '/a#b?canary', `/${'x'.repeat(9000)}?canary`]
  for (const path of paths) {
    const text = JSON.stringify(spanOf(recordOf(allow, { path })).attributes)
    t.false(text.includes('canary'), text)
    t.true(text.length < 2000)
  }
  t.is(spanOf(recordOf(allow, { path: '/a?b#c' })).attributes['url.path'], '/a')
})
