import test from 'ava'
import { type Decision, denyOutright } from '../../src/decision/decision.ts'
import type { LoggedDecision } from '../../src/observe/decision-log.ts'
import { type MetricReadings, maxSeries, metricList } from '../../src/observe/metric-list.ts'
import { createMetrics, type Metrics } from '../../src/observe/metrics.ts'

const readings: MetricReadings = {
  build: { version: '1.2.3', commit: 'abc', node: '24.0.0' },
  inFlight: () => 3,
  replayEntries: () => 5,
  sharedStateConnected: () => false,
  workers: () => ({ ended: 37, connections: [[1, 41]] }),
  decisionLogDropped: () => 7,
  caches: () => [
    { cache: 'token', entries: 11 },
    { cache: 'xfcc', entries: 13, lookups: { hits: 17, misses: 19 } },
  ],
  keyAges: () => [['corp', Number.POSITIVE_INFINITY]],
  evidence: () => [['certificate', 23]],
  revocations: () => [['jti', 29]],
  files: () => [{ kind: 'policy', current: true }],
  policy: () => ({ revision: 'r1', loadedAt: 31 }),
}

interface Checked {
  readonly route?: string
  readonly reason?: string
  readonly enforced?: boolean
  readonly method?: string
  readonly token?: boolean
  readonly cache?: 'hit' | 'miss'
  readonly microseconds?: number
}

/** An allow, unless there is a reason. */
function checked({
  reason,
  enforced = true,
  microseconds = 30,
  ...found
}: Checked): LoggedDecision {
  const token = {
    issuer: 'corp',
    subject: 'canary-subject',
    tokenId: 'canary-jti',
    keyId: 'canary-kid',
    confirmation: undefined,
    issuedAt: 1,
    expiresAt: 2,
  }
  const findings = {
    presenter: { spiffeId: 'spiffe://canary/a', x5tS256: 'canary', evidence: 'certificate' },
    ...(found.route !== undefined && { route: found.route }),
    ...(found.method !== undefined && { method: found.method }),
    ...(found.cache !== undefined && { cache: found.cache }),
    ...(found.token !== false && { token }),
  }
  const verdict = reason === undefined ? 'allow' : 'deny'
  const decision = { ...denyOutright('overloaded'), verdict, reason, enforced, findings }
  return {
    id: 'canary-id',
    decision: decision as unknown as Decision,
    request: { id: '', method: 'GET', host: 'canary', path: '/canary', traceparent: '' },
    time: 0,
    durationMicroseconds: microseconds,
  }
}

/** Series with their labels in the order of the alphabet → value. */
async function scrape(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const { text } = await metrics.expose()
  const lines = text.split('\n').filter((line) => /^(meshbind|grpc)_/.test(line))
  return new Map(
    lines.map((line) => {
      const [, name = '', labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      const sorted = (labels.match(/\w+="[^"]*"/g) ?? []).toSorted().join(',')
      return [`${name}{${sorted}}`, Number(value === '+Inf' ? 'Infinity' : value)]
    }),
  )
}

function seriesOf(series: ReadonlyMap<string, number>, name: string): [string, number][] {
  return [...series].filter(([key]) => key.startsWith(`${name}{`))
}

test('contract §7: every metric of the table is exposed with its type, its help and just its labels', async (t) => {
  const metrics = createMetrics(readings)
  metrics.decided(checked({ route: 'pay', method: 'dpop', cache: 'hit' }))
  metrics.keysFetched('corp', 'ok')
  metrics.introspected('partner', 'active')
  const { contentType, text } = await metrics.expose()
  t.is(contentType, 'text/plain; version=0.0.4; charset=utf-8')
  for (const [name, { type, help, labels }] of Object.entries(metricList)) {
    t.true(text.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`), name)
    const line = new RegExp(`^${name}${type === 'histogram' ? '_count' : ''}(\\{.*\\})? \\S+$`, 'm')
    const found = line.exec(text)?.[0]?.matchAll(/(\w+)="/g) ?? []
    t.deepEqual([...found].map(([, label]) => label).toSorted(), Object.keys(labels).toSorted())
    t.regex(text, line)
  }
  t.regex(text, /^process_cpu_seconds_total /m)
  t.regex(text, /^nodejs_eventloop_lag_p99_seconds /m)
})

test('contract §7: checks are counted by decision, enforcement, reason and route', async (t) => {
  const metrics = createMetrics(readings)
  metrics.decided(checked({ route: 'pay' }))
  metrics.decided(checked({ route: 'pay' }))
  metrics.decided(checked({ route: 'pay', reason: 'binding_mismatch' }))
  metrics.decided(checked({ route: 'pay', reason: 'binding_mismatch', enforced: false }))
  metrics.decided(checked({ reason: 'overloaded' }))
  const name = 'meshbind_decisions_total'
  t.deepEqual(seriesOf(await scrape(metrics), name), [
    [`${name}{decision="allow",enforced="true",reason="_none",route="pay"}`, 2],
    [`${name}{decision="deny",enforced="true",reason="binding_mismatch",route="pay"}`, 1],
    [`${name}{decision="deny",enforced="true",reason="overloaded",route="_none"}`, 1],
    [`${name}{decision="deny",enforced="false",reason="binding_mismatch",route="pay"}`, 1],
  ])
})

test('policy.md, Unbound: what was allowed is counted by method, and an unprotected route is not an unbound token', async (t) => {
  const metrics = createMetrics(readings)
  metrics.decided(checked({ route: 'pay', method: 'x5t#S256' }))
  metrics.decided(checked({ route: 'old', method: 'none' }))
  metrics.decided(checked({ route: 'health', method: 'none', token: false }))
  metrics.decided(checked({ route: 'pay', method: 'x5t#S256', reason: 'caller_refused' }))
  const name = 'meshbind_allowed_total'
  t.deepEqual(seriesOf(await scrape(metrics), name), [
    [`${name}{method="x5t#S256",route="pay"}`, 1],
    [`${name}{method="none",route="old"}`, 1],
    [`${name}{method="unprotected",route="health"}`, 1],
  ])
})

test('durations are cumulative buckets with their bound inside, a sum in seconds, and the same for gRPC', async (t) => {
  const metrics = createMetrics(readings)
  for (const microseconds of [25, 26, 2_000_000])
    metrics.decided(checked({ cache: 'miss', microseconds }))
  const series = await scrape(metrics)
  const name = 'meshbind_decision_duration_seconds'
  const labels = 'cache="miss",decision="allow"'
  const bucket = (le: string) => series.get(`${name}_bucket{${labels},le="${le}"}`)
  t.deepEqual([bucket('0.000025'), bucket('0.00005'), bucket('1'), bucket('+Inf')], [1, 2, 2, 3])
  t.is(series.get(`${name}_sum{${labels}}`), 2.000051)
  t.is(series.get(`${name}_count{${labels}}`), 3)
  t.is(series.get('meshbind_cache_requests_total{cache="token",result="miss"}'), 3)
  const check = 'grpc_method="Check",grpc_service="envoy.service.auth.v3.Authorization"'
  t.is(series.get(`grpc_server_handling_seconds_count{${check},grpc_type="unary"}`), 3)
  t.is(series.get(`grpc_server_handled_total{grpc_code="OK",${check},grpc_type="unary"}`), 3)
})

test('what others know is read at each scrape, and absent where there is none', async (t) => {
  let inFlight = 1
  const metrics = createMetrics({
    ...readings,
    inFlight: () => inFlight,
    replayEntries: () => undefined,
    policy: () => undefined,
  })
  t.is((await scrape(metrics)).get('meshbind_in_flight{}'), 1)
  inFlight = 2
  metrics.keysFetched('corp', 'failed')
  metrics.introspected('partner', 'timeout')
  metrics.policyReloaded('invalid')
  const series = await scrape(metrics)
  const expected = {
    'meshbind_in_flight{}': 2,
    'meshbind_replay_entries{}': undefined,
    'meshbind_policy_info{revision="r1"}': undefined,
    'meshbind_shared_state_connected{}': 0,
    'meshbind_keys_age_seconds{issuer="corp"}': Number.POSITIVE_INFINITY,
    'meshbind_keys_fetch_total{issuer="corp",result="failed"}': 1,
    'meshbind_introspection_total{issuer="partner",result="timeout"}': 1,
    'meshbind_policy_reload_total{result="invalid"}': 1,
    'meshbind_policy_reload_total{result="ok"}': 0,
    'meshbind_file_current{kind="policy",name="_none"}': 1,
    'meshbind_cache_requests_total{cache="xfcc",result="hit"}': 17,
  }
  for (const [key, value] of Object.entries(expected)) t.is(series.get(key), value, key)
})

test('contract §7: 100,000 names of routes, reasons and issuers give bounded series, and no check is missing', async (t) => {
  const many = 100_000
  const names = Array.from({ length: many }, (_, at) => `name-${at}`)
  const metrics = createMetrics({
    ...readings,
    keyAges: () => names.map((name) => [name, 1] as const),
  })
  for (const name of names) {
    metrics.decided(checked({ route: name, method: name }))
    metrics.decided(checked({ route: name, reason: name, enforced: false }))
    metrics.keysFetched(name, name as 'ok')
  }
  metrics.decided(checked({ route: 'name-0', method: 'name-0' }))
  const series = await scrape(metrics)
  t.true(series.size < 10 * maxSeries, `${series.size}`)
  for (const [name, total] of [
    ['meshbind_decisions_total', 2 * many + 1],
    ['meshbind_allowed_total', many + 1],
    ['meshbind_keys_fetch_total', many],
  ] as const) {
    const found = seriesOf(series, name)
    t.true(found.length <= maxSeries + 110, `${name}: ${found.length}`)
    t.true(found.length >= maxSeries, `${name}: ${found.length}`)
    t.is(
      found.reduce((sum, [, value]) => sum + value, 0),
      total,
      name,
    )
  }
  const first = 'meshbind_allowed_total{method="name-0",route="name-0"}'
  t.is(series.get(first), 2, 'what came before the limit goes on')
})

test('once the room is taken, refusals on new routes keep their reason', async (t) => {
  const metrics = createMetrics(readings)
  for (let at = 0; at < maxSeries; at++) metrics.decided(checked({ route: `r-${at}` }))
  for (const route of ['new-1', 'new-2'])
    metrics.decided(checked({ route, reason: 'binding_mismatch' }))
  const labels = 'decision="deny",enforced="true",reason="binding_mismatch",route="_other"'
  t.is((await scrape(metrics)).get(`meshbind_decisions_total{${labels}}`), 2)
})

test('contract §7: no identity, path, host or part of a token is in what is exposed', async (t) => {
  const metrics = createMetrics(readings)
  metrics.decided(checked({ route: 'pay', method: 'dpop' }))
  metrics.decided(checked({ route: 'pay', reason: 'binding_mismatch' }))
  t.false((await metrics.expose()).text.includes('canary'))
})
