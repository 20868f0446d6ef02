import { execFile } from 'node:child_process'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { type Decision, denyOutright, isRefusal } from '../../src/decision/decision.ts'
import type { LoggedDecision } from '../../src/observe/decision-log.ts'
import { startTraceExporter, type TraceLog } from '../../src/observe/trace-exporter.ts'
import { createTraces } from '../../src/observe/traces.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { ordersId } from '../support/world.ts'

const run = promisify(execFile)
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const parent = (flags: string) => `00-${traceId}-${parentId}-${flags}`

/** The parts of an OTLP/JSON ExportTraceServiceRequest that are read here. */
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}
interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly boolValue?: boolean }
}
interface Span {
  readonly traceId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code: number }
}

/** An OTLP/HTTP receiver. What `answer` leaves unanswered stays so until the test has ended. */
async function startCollector(t: ExecutionContext, answer: (response: ServerResponse) => void) {
  const posts: { request: IncomingMessage; body: string }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
      posts.push({ request, body: plain.toString() })
      answer(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const exports = () => posts.map(({ body }) => JSON.parse(body) as Export)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    posts,
    resource: () => table(exports()[0]?.resourceSpans[0]?.resource.attributes ?? []),
    spans: () =>
      exports().flatMap(({ resourceSpans }) =>
        resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
      ),
  }
}

const table = (attributes: readonly Attribute[]) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.boolValue]),
  )

const accept = (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
}

function createTestLog(): TraceLog & { readonly lines: string[] } {
  const lines: string[] = []
  const write = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  }
  return { lines, info: write('info'), warn: write('warn') }
}

/** The SDK reads `process.env` itself, so the tests set it, one after another. */
function setEnvironment(variables: { readonly [name: string]: string }): NodeJS.ProcessEnv {
  for (const name of Object.keys(process.env))
    if (name.startsWith('OTEL_')) delete process.env[name]
  return Object.assign(process.env, variables)
}

/** With a limit for exports that no busy machine meets by accident. */
async function start(variables: { readonly [name: string]: string }) {
  const log = createTestLog()
  const env = setEnvironment({ OTEL_EXPORTER_OTLP_TIMEOUT: '600000', ...variables })
  const exporter = await startTraceExporter(env, '1.2.3', log)
  if (exporter === undefined) throw new Error(`no exporter: ${log.lines}`)
  return { log, traces: createTraces(exporter.provider, '1.2.3'), close: () => exporter.close() }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5)
}

function recordOf(traceparent: string, decision: Decision = denyOutright('overloaded')) {
  const bytes = encodeCheckRequest({
    path: '/v1/payments?key=canary-query#canary-fragment',
    host: 'canary-host',
    id: 'canary-id',
    token: 'canary-token',
    certificate: 'canary-certificate',
    headers: { traceparent, cookie: 'canary-cookie', dpop: 'canary-proof', 'x-api-key': 'canary' },
  })
  const request = decodeCheckRequest(bytes)
  if (isRefusal(request)) throw new Error(request.detail)
  const record: LoggedDecision = {
    id: 'decision-1',
    decision,
    request,
    time: 1_790_000_000_000,
    durationMicroseconds: 187,
  }
  return record
}

const stolen: Decision = {
  ...denyOutright('binding_mismatch', 'canary-detail'),
  policyRevision: 'abcdef',
  findings: {
    route: 'bound',
    presenter: { spiffeId: ordersId, x5tS256: 'canary-thumbprint', evidence: 'certificate' },
    token: {
      issuer: 'corp',
      subject: 'canary-subject',
      tokenId: 'canary-jti',
      keyId: 'canary-kid',
      confirmation: { 'x5t#S256': 'canary-thumbprint' },
      issuedAt: 0,
      expiresAt: 0,
    },
    cache: 'miss',
  },
}

test.serial('OTLP/HTTP: a collector gets the span of a check, in the client’s trace', async (t) => {
  const collector = await startCollector(t, accept)
  const { traces, close } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  traces.decided(recordOf(parent('01'), stolen))
  await close()
  await until(() => collector.posts.length === 1)
  t.deepEqual(
    collector.posts.map(({ request: { method, url, headers } }) => [
      method,
      url,
      headers['content-type'],
    ]),
    [['POST', '/v1/traces', 'application/json']],
  )
  const [span] = collector.spans()
  t.like(span, {
    traceId,
    parentSpanId: parentId,
    name: 'envoy.service.auth.v3.Authorization/Check',
    kind: 2, // SPAN_KIND_SERVER
    startTimeUnixNano: '1790000000000000000',
    endTimeUnixNano: '1790000000000187000',
    status: { code: 0 },
  })
  t.deepEqual(table(span?.attributes ?? []), {
    'rpc.system.name': 'grpc',
    'rpc.method': 'envoy.service.auth.v3.Authorization/Check',
    'rpc.status_code': 'OK',
    'http.request.method': 'POST',
    'url.path': '/v1/payments',
    'meshbind.decision_id': 'decision-1',
    'meshbind.decision': 'deny',
    'meshbind.enforced': true,
    'meshbind.mode': 'enforce',
    'meshbind.reason': 'binding_mismatch',
    'meshbind.route': 'bound',
    'meshbind.policy_revision': 'abcdef',
    'meshbind.presenter': ordersId,
    'meshbind.issuer': 'corp',
    'meshbind.cache': 'miss',
  })
  t.like(collector.resource(), { 'service.name': 'meshbind', 'service.version': '1.2.3' })
})

test.serial(
  'catalogue 266: no token, proof, cookie, query or header value is in the bytes that are sent',
  async (t) => {
    const collector = await startCollector(t, accept)
    const { traces, close } = await start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    for (const decision of [stolen, denyOutright('internal_error', 'canary-detail')])
      traces.decided(recordOf(parent('01'), decision))
    await close()
    await until(() => collector.posts.length === 1)
    t.is(collector.spans().length, 2)
    for (const { request, body } of collector.posts)
      t.false(`${JSON.stringify(request.rawHeaders)}${body}`.includes('canary'))
  },
)

test.serial(
  'the standard variables name the service, add headers and attributes, and compress',
  async (t) => {
    const collector = await startCollector(t, accept)
    const { traces, close } = await start({
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/here`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=acme',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
      OTEL_SERVICE_NAME: 'payments-authz',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=not-this',
    })
    traces.decided(recordOf(parent('01')))
    await close()
    await until(() => collector.posts.length === 1)
    t.is(collector.posts[0]?.request.url, '/here')
    t.is(collector.posts[0]?.request.headers['x-tenant'], 'acme')
    t.is(collector.posts[0]?.request.headers['content-encoding'], 'gzip')
    t.like(collector.resource(), {
      'service.name': 'payments-authz',
      'deployment.environment.name': 'test',
    })
  },
)

test.serial(
  'OTEL_TRACES_SAMPLER: which of no parent, a sampled and an unsampled one have a span',
  async (t) => {
    const collector = await startCollector(t, accept)
    const sampled = async (count: number, name: string, argument = '') => {
      const before = collector.spans().length
      const { log, traces, close } = await start({
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_TRACES_SAMPLER: name,
        OTEL_TRACES_SAMPLER_ARG: argument,
      })
      for (const traceparent of ['', parent('01'), parent('00')])
        traces.decided(recordOf(traceparent))
      await close()
      await until(() => collector.spans().length >= before + count)
      const parents = collector.spans().slice(before)
      const warned = log.lines.some((line) => line.startsWith('warn'))
      return `${parents.map(({ parentSpanId }) => (parentSpanId === undefined ? 'root' : 'child'))} ${warned}`
    }
    t.is(await sampled(2, ''), 'root,child false')
    t.is(await sampled(2, 'parentbased_always_on'), 'root,child false')
    t.is(await sampled(1, 'parentbased_always_off'), 'child false')
    t.is(await sampled(1, 'parentbased_traceidratio', '0'), 'child false')
    t.is(await sampled(3, 'always_on'), 'root,child,child false')
    t.is(await sampled(0, 'always_off'), ' false')
    t.is(await sampled(3, 'traceidratio', '1'), 'root,child,child false')
    t.is(await sampled(3, 'traceidratio', '1.5'), 'root,child,child true')
    t.is(await sampled(2, 'sometimes'), 'root,child true')
  },
)

test.serial('off unless OTEL_* asks, and then without a word', async (t) => {
  const url = 'http://127.0.0.1:4318'
  const quiet: readonly { readonly [name: string]: string }[] = [
    {},
    { OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on' },
    { OTEL_TRACES_EXPORTER: '', OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: url },
    { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: url },
    { OTEL_SDK_DISABLED: 'TRUE', OTEL_TRACES_EXPORTER: 'otlp' },
  ]
  for (const variables of quiet) {
    const log = createTestLog()
    t.is(await startTraceExporter(setEnvironment(variables), '1', log), undefined)
    t.deepEqual(log.lines, [])
  }
})

test.serial(
  'what cannot be sent is off with a warning that names the variable, and not its value',
  async (t) => {
    const problems: readonly (readonly [string, { readonly [name: string]: string }])[] = [
      ['OTEL_TRACES_EXPORTER', { OTEL_TRACES_EXPORTER: 'canary' }],
      ['OTEL_EXPORTER_OTLP_ENDPOINT', { OTEL_EXPORTER_OTLP_ENDPOINT: 'canary:4318' }],
      ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'canary' }],
      [
        'OTEL_EXPORTER_OTLP_PROTOCOL',
        { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      ],
    ]
    for (const [name, variables] of problems) {
      const log = createTestLog()
      t.is(await startTraceExporter(setEnvironment(variables), '1', log), undefined)
      t.is(log.lines.length, 1)
      t.true(log.lines[0]?.startsWith('warn traces are off') && log.lines[0].includes(name))
      t.false(log.lines[0]?.includes('canary'))
    }
  },
)

test.serial(
  'a collector that never answers: the queue is bounded, and close returns without the answer',
  async (t) => {
    const held: ServerResponse[] = []
    const collector = await startCollector(t, (response) => held.push(response))
    const { traces, close } = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_MAX_QUEUE_SIZE: '10',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5',
      OTEL_BSP_EXPORT_TIMEOUT: '600000',
    })
    for (let count = 0; count < 1000; count++) traces.decided(recordOf(parent('01')))
    await until(() => held.length === 1)
    traces.decided(recordOf(parent('01')))
    await close()
    await until(() => collector.posts.length === 3)
    t.true(held.every(({ writableEnded }) => !writableEnded))
    t.is(collector.spans().length, 15) // the batch that was under way, and the queue
  },
)

test.serial(
  'a collector that refuses is one warning, its return one line; its text is in neither',
  async (t) => {
    let status = 400
    const collector = await startCollector(t, (response) => {
      response
        .writeHead(status, 'canary', { 'content-type': 'application/json' })
        .end('{"canary":1}')
    })
    const { log, traces, close } = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '0',
    })
    traces.decided(recordOf(parent('01')))
    await until(() => log.lines.length === 2)
    traces.decided(recordOf(parent('01')))
    await until(() => collector.posts.length === 2)
    status = 200
    traces.decided(recordOf(parent('01')))
    await until(() => log.lines.length === 3)
    await close()
    t.deepEqual(log.lines, [
      'info traces are on {}',
      'warn spans cannot be sent and are lost; checks go on {"error":"OTLPExporterError"}',
      'info spans are sent again {}',
    ])
  },
)

const exporterFile = new URL('../../src/observe/trace-exporter.ts', import.meta.url).href
const tracesFile = new URL('../../src/observe/traces.ts', import.meta.url).href

/** A process of its own that starts the exporter with a log on standard output, and says what it got. */
async function runAlone(body: string, variables: { readonly [name: string]: string }) {
  const script = `
    import { registerHooks } from 'node:module'
    const write = (fields, message) => console.log(JSON.stringify({ ...fields, message }))
    const log = { info: write, warn: write }
    ${body}`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
    env: { ...setEnvironment({}), ...variables },
    timeout: 60_000,
  })
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { [name: string]: unknown })
}

test.serial(
  'without the optional packages the code loads, serves no traces, and names them',
  async (t) => {
    const lines = await runAlone(
      `registerHooks({
      resolve(name, context, next) {
        if (!name.startsWith('@opentelemetry/') || name === '@opentelemetry/api') return next(name, context)
        throw Object.assign(new Error('not there'), { code: 'ERR_MODULE_NOT_FOUND' })
      },
    })
    await import('${tracesFile}')
    const { startTraceExporter } = await import('${exporterFile}')
    const exporter = await startTraceExporter(process.env, '1', log)
    log.info({ exporter: typeof exporter }, 'done')`,
      { OTEL_TRACES_EXPORTER: 'otlp' },
    )
    t.is(lines.length, 2)
    t.like(lines[0], {
      message:
        'traces are off: OTEL_* asks for them, and these optional packages could not be loaded',
      packages: [
        '@opentelemetry/core',
        '@opentelemetry/exporter-trace-otlp-http',
        '@opentelemetry/resources',
        '@opentelemetry/sdk-trace',
      ],
    })
    t.is(lines[1]?.['exporter'], 'undefined')
  },
)

test.serial('the SDK is not loaded while traces are off', async (t) => {
  const lines = await runAlone(
    `const loaded = []
    registerHooks({
      resolve(name, context, next) {
        if (name.startsWith('@opentelemetry/')) loaded.push(name)
        return next(name, context)
      },
    })
    const { startTraceExporter } = await import('${exporterFile}')
    await startTraceExporter(process.env, '1', log)
    log.info({ loaded }, 'done')`,
    {},
  )
  t.deepEqual(lines, [{ loaded: [], message: 'done' }])
})

test.serial(
  'a collector that never answers does not keep the process once it has closed',
  async (t) => {
    const collector = await startCollector(t, () => {})
    const lines = await runAlone(
      `const { createTraces } = await import('${tracesFile}')
    const { startTraceExporter } = await import('${exporterFile}')
    const { provider, close } = await startTraceExporter(process.env, '1', log)
    const deny = { verdict: 'deny', reason: 'overloaded', findings: {} }
    const record = { id: '1', decision: deny, request: undefined, time: 0, durationMicroseconds: 1 }
    createTraces(provider, '1').decided(record)
    await close()
    log.info({}, 'closed')`,
      { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
    )
    t.is(collector.posts.length, 1)
    t.true(lines.some(({ message }) => message === 'closed'))
  },
)
