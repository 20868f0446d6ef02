/** The span of a check, behind a real Envoy and at the protocol endpoint of a collector (docs/traces.md, How it joins Envoy’s trace). */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import protobuf from 'protobufjs'
import { canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import { findEnvoy, type RunningEnvoy, startEnvoy } from '../support/envoy.ts'
import { call, envoyConfig } from '../support/mesh.ts'

/** A span in either encoding of OTLP, ids in hexadecimal. */
interface Span {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
}

interface ReadSpan extends Span {
  /** `service.name` of its resource. */
  readonly service: string
  readonly texts: { readonly [attribute: string]: string | undefined }
}

type Attribute = { readonly key: string; readonly value: { readonly stringValue?: string } }

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly {
      readonly spans: readonly (Span & { readonly attributes?: readonly Attribute[] })[]
    }[]
  }[]
}

/** What is read here of opentelemetry-proto 1.x, with its field numbers: Envoy sends protobuf, meshbind JSON. */
const exportMessage = protobuf
  .parse(`
    syntax = "proto3";
    message Export { repeated ResourceSpans resource_spans = 1; }
    message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
    message Resource { repeated KeyValue attributes = 1; } message ScopeSpans { repeated Span spans = 2; }
    message Span {
      bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4;
      string name = 5; int32 kind = 6; repeated KeyValue attributes = 9;
    }
    message KeyValue { string key = 1; AnyValue value = 2; } message AnyValue { string string_value = 1; }
  `)
  .root.lookupType('Export')

function readProtobuf(bytes: Buffer): Export {
  const options = { bytes: String, defaults: true, arrays: true }
  const text = JSON.stringify(exportMessage.toObject(exportMessage.decode(bytes), options))
  const ids = /(?<="(?:traceId|spanId|parentSpanId)":")[^"]*/g
  return JSON.parse(text.replace(ids, (id) => Buffer.from(id, 'base64').toString('hex')))
}

function* spansIn({ resourceSpans }: Export): Generator<ReadSpan> {
  const table = (attributes: readonly Attribute[] = []) =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value?.stringValue]))
  for (const { resource, scopeSpans } of resourceSpans)
    for (const { spans } of scopeSpans)
      for (const span of spans)
        yield {
          ...span,
          parentSpanId: span.parentSpanId ?? '',
          service: table(resource.attributes)['service.name'] ?? '',
          texts: table(span.attributes),
        }
}

/** OTLP/HTTP: `POST /v1/traces`, JSON or protobuf, answered with an empty success (OTLP 1.x, "OTLP/HTTP Response"). */
async function startCollector() {
  const spans: ReadSpan[] = []
  const types = new Set<string | undefined>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const type = request.headers['content-type']
      types.add(`${request.method} ${request.url} ${type}`)
      const bytes = Buffer.concat(chunks)
      const isJson = type === 'application/json'
      spans.push(...spansIn(isJson ? JSON.parse(bytes.toString()) : readProtobuf(bytes)))
      response.writeHead(200, { 'content-type': type }).end(isJson ? '{}' : '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref() // where the rig cannot be started, nobody closes it
  const { port } = server.address() as AddressInfo
  const find = async (fits: (span: ReadSpan) => boolean): Promise<ReadSpan> => {
    for (const limit = performance.now() + 60_000; performance.now() < limit; await sleep(20)) {
      const found = spans.find(fits)
      if (found !== undefined) return found
    }
    throw new Error(`no such span among ${JSON.stringify(spans)}`)
  }
  return { port, spans, types, find, server }
}

interface Context {
  readonly rig: Rig
  readonly traced: RunningEnvoy
  readonly collector: Awaited<ReturnType<typeof startCollector>>
}

const test = anyTest as TestFn<Context>
const e2e = (await canRunEnvoy()) ? test.serial : test.serial.skip

/** The same Envoy, tracing every request with its own OpenTelemetry tracer. */
function withTracing(config: object, port: number): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } }
  const endpoints = [{ lb_endpoints: [{ endpoint: { address } }] }]
  const load_assignment = { cluster_name: 'collector', endpoints }
  const collector = { name: 'collector', type: 'STATIC', load_assignment }
  const http_uri = {
    uri: `http://127.0.0.1:${port}/v1/traces`,
    cluster: 'collector',
    timeout: '5s',
  }
  const tracer = {
    '@type': 'type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig',
    service_name: 'the-envoy',
    http_service: { http_uri },
  }
  const tracing = { provider: { name: 'envoy.tracers.opentelemetry', typed_config: tracer } }
  return JSON.parse(JSON.stringify(config), (key, value) => {
    if (key === 'clusters') return [...value, collector]
    return value?.stat_prefix === undefined ? value : { ...value, tracing }
  })
}

test.before(async (t) => {
  if (!(await canRunEnvoy())) return
  const collector = await startCollector()
  Object.assign(process.env, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
    OTEL_BSP_SCHEDULE_DELAY: '50',
  })
  const rig = await startRig((socket) => ({ plain: { authz: socket } }))
  const { authority, directory, meshbind, backend } = rig
  const certificate = await authority.issue({
    names: [
      { type: 'url', value: 'spiffe://mesh.example/ns/shop/sa/payments' },
      { type: 'dns', value: 'localhost' },
    ],
  })
  const { port: backendPort } = backend.server.address() as AddressInfo
  const listeners = { traced: { authz: meshbind.port } }
  const plan = { authority, certificate, backendPort, listeners }
  const config = withTracing(envoyConfig(plan), collector.port)
  const traced = await startEnvoy(await findEnvoy(), config, join(directory, 'traced'))
  t.context = { rig, traced, collector }
})

test.after.always(async (t) => {
  await t.context.traced?.stop()
  await t.context.rig?.close()
  t.context.collector?.server.close().closeAllConnections()
})

/** One refused request: the decision’s id, and its line in the log. */
async function refuse({ rig }: Context, port: number, traceparent?: string) {
  const { authority, orders: as, meshbind } = rig
  const headers = traceparent === undefined ? {} : { traceparent }
  const answer = await call({ port, as, authority, path: '/v1/payments', headers })
  const id = answer.headers['x-meshbind-decision-id']
  return { id, line: await meshbind.waitFor((one) => one['decision_id'] === id) }
}

/** The same, with the span of its check. */
async function ask(context: Context, port: number, traceparent?: string) {
  const { id, line } = await refuse(context, port, traceparent)
  const span = await context.collector.find(({ texts }) => texts['meshbind.decision_id'] === id)
  return { line, span }
}

const [traceId, clientSpan] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
const traceparent = `00-${traceId}-${clientSpan}-01`

e2e(
  'issue: behind an Envoy that does not trace, the span joins the client’s trace, and the log names it',
  async (t) => {
    const { span, line } = await ask(t.context, t.context.rig.envoy.portOf('plain'), traceparent)
    t.is(span.traceId, traceId)
    t.is(span.parentSpanId, clientSpan)
    t.is(line['trace_id'], traceId)
    t.is(span.service, 'meshbind')
    t.is(span.name, 'envoy.service.auth.v3.Authorization/Check')
    t.like(span.texts, {
      'url.path': '/v1/payments',
      'meshbind.reason': 'credential_missing',
      'meshbind.route': 'bound',
    })
  },
)

e2e(
  'issue: behind an Envoy that traces, the span is a child of Envoy’s span of the check, in the client’s trace',
  async (t) => {
    const { collector, traced } = t.context
    const { span, line } = await ask(t.context, traced.portOf('traced'), traceparent)
    t.is(span.traceId, traceId)
    t.is(line['trace_id'], traceId)
    const check = await collector.find(({ spanId }) => spanId === span.parentSpanId)
    t.is(`${check.service} ${check.traceId}`, `the-envoy ${traceId}`)
    t.is(check.name, 'async envoy.service.auth.v3.Authorization.Check egress')
    t.is(check.kind, 3, 'SPAN_KIND_CLIENT')
    const ingress = await collector.find(({ spanId }) => spanId === check.parentSpanId)
    t.is(ingress.service, 'the-envoy')
    t.is(ingress.parentSpanId, clientSpan)
  },
)

e2e('issue: a trace that Envoy begins is joined as well, and the log names it', async (t) => {
  const { collector, traced } = t.context
  const { span, line } = await ask(t.context, traced.portOf('traced'))
  const check = await collector.find(({ spanId }) => spanId === span.parentSpanId)
  const ingress = await collector.find(({ spanId }) => spanId === check.parentSpanId)
  t.is(ingress.parentSpanId, '')
  t.deepEqual([span.traceId, check.traceId, line['trace_id']], Array(3).fill(ingress.traceId))
})

e2e('with neither, the span begins a trace of its own, and the log names none', async (t) => {
  const { span, line } = await ask(t.context, t.context.rig.envoy.portOf('plain'))
  t.is(span.parentSpanId, '')
  t.is(line['trace_id'], null)
})

e2e('issue: both came to the endpoint of the protocol, as JSON and as protobuf', (t) => {
  t.deepEqual([...t.context.collector.types].toSorted(), [
    'POST /v1/traces application/json',
    'POST /v1/traces application/x-protobuf',
  ])
})

e2e(
  'W3C Trace Context §3.2.2.5: a trace that the client did not sample has no span, and the log names it all the same',
  async (t) => {
    const port = t.context.rig.envoy.portOf('plain')
    const { id, line } = await refuse(t.context, port, `00-${'a'.repeat(32)}-${clientSpan}-00`)
    t.is(line['trace_id'], 'a'.repeat(32))
    await ask(t.context, port, traceparent) // spans are sent in their order
    t.false(t.context.collector.spans.some(({ texts }) => texts['meshbind.decision_id'] === id))
  },
)
