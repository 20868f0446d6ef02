/** Metrics: plain numbers that checks count up; prom-client writes them out when somebody scrapes. */

import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { LoggedDecision } from './decision-log.ts'
import {
  type Labels,
  type MetricName,
  type MetricReadings,
  maxSeries,
  metricList,
  none,
  other,
} from './metric-list.ts'

export interface Metrics {
  /** On the way of every check: a few map look-ups, and nothing that prom-client does. */
  decided(record: LoggedDecision): void
  keysFetched(issuer: string, result: 'ok' | 'unusable' | 'failed'): void
  introspected(issuer: string, result: string): void
  policyReloaded(result: 'ok' | 'invalid' | 'unreadable'): void
  expose(): Promise<{ readonly contentType: string; readonly text: string }>
}

interface Sample<Name extends MetricName> {
  readonly labels: Labels<Name>
  readonly value: number
  /** A histogram's series have names of their own, and the label `le`. */
  readonly metricName?: string
}

type Samples = { readonly [Name in MetricName]: () => Iterable<Sample<Name>> }

const verdicts = ['allow', 'deny'] as const
const cacheResults = ['hit', 'miss', none] as const
/** 25 µs to 1 s: a warm check takes tens of microseconds, and the deadline is 150 ms unless set otherwise. */
const boundsMicroseconds = [
  25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
]
/** There are fewer reasons, methods and results. */
const maxOtherColumns = 100
const grpcCheck = {
  grpc_type: 'unary',
  grpc_service: 'envoy.service.auth.v3.Authorization',
  grpc_method: 'Check',
}

export function createMetrics(readings: MetricReadings): Metrics {
  const { caches, evidence, files, keyAges, policy, revocations } = readings
  const room = { left: maxSeries }
  const enforced = { allow: createTally(room), deny: createTally(room) }
  const watched = { allow: createTally(room), deny: createTally(room) }
  const allowed = createTally()
  const fetches = createTally()
  const introspections = createTally()
  const reloads = { ok: 0, invalid: 0, unreadable: 0 }
  const durations = { allow: createDurationsByCache(), deny: createDurationsByCache() }
  const checks = createDurations()

  function* decisions(): Generator<Sample<'meshbind_decisions_total'>> {
    for (const [tallies, isEnforced] of [[enforced, 'true'] as const, [watched, 'false'] as const])
      for (const decision of verdicts)
        for (const [route, reason, value] of tallies[decision].entries())
          yield { labels: { decision, enforced: isEnforced, reason, route }, value }
  }

  function* decisionDurations(): Generator<Sample<'meshbind_decision_duration_seconds'>> {
    for (const decision of verdicts)
      for (const cache of cacheResults)
        yield* durations[decision][cache].samples('meshbind_decision_duration_seconds', {
          decision,
          cache,
        })
  }

  function* cacheRequests(): Generator<Sample<'meshbind_cache_requests_total'>> {
    for (const result of ['hit', 'miss'] as const) {
      const value = durations.allow[result].count() + durations.deny[result].count()
      yield { labels: { cache: 'token', result }, value }
    }
    for (const { cache, lookups } of caches()) {
      if (lookups === undefined) continue
      yield { labels: { cache, result: 'hit' }, value: lookups.hits }
      yield { labels: { cache, result: 'miss' }, value: lookups.misses }
    }
  }

  const samples: Samples = {
    meshbind_decisions_total: decisions,
    meshbind_allowed_total: () =>
      each(allowed.entries(), ([route, method, value]) => ({ labels: { method, route }, value })),
    meshbind_decision_duration_seconds: decisionDurations,
    meshbind_cache_requests_total: cacheRequests,
    meshbind_cache_entries: () =>
      each(caches(), ({ cache, entries }) => ({ labels: { cache }, value: entries })),
    meshbind_keys_fetch_total: () =>
      each(fetches.entries(), ([issuer, result, value]) => ({ labels: { issuer, result }, value })),
    meshbind_keys_age_seconds: () =>
      each(keyAges(), ([issuer, value]) => ({ labels: { issuer }, value })),
    meshbind_introspection_total: () =>
      each(introspections.entries(), ([issuer, result, value]) => ({
        labels: { issuer, result },
        value,
      })),
    meshbind_policy_reload_total: () =>
      each(Object.entries(reloads), ([result, value]) => ({ labels: { result }, value })),
    meshbind_policy_info: () => {
      const inForce = policy()
      return inForce === undefined ? [] : [{ labels: { revision: inForce.revision }, value: 1 }]
    },
    meshbind_policy_loaded_timestamp_seconds: () => bare(policy()?.loadedAt),
    meshbind_file_current: () =>
      each(files(), ({ kind, name = none, current }) => ({
        labels: { kind, name },
        value: Number(current),
      })),
    meshbind_evidence_total: () =>
      each(evidence(), ([source, value]) => ({ labels: { source }, value })),
    meshbind_revocations: () =>
      each(revocations(), ([kind, value]) => ({ labels: { kind }, value })),
    meshbind_replay_entries: () => bare(readings.replayEntries()),
    meshbind_shared_state_connected: () => bare(readings.sharedStateConnected()),
    meshbind_in_flight: () => bare(readings.inFlight()),
    meshbind_decision_log_dropped_total: () => bare(readings.decisionLogDropped()),
    meshbind_build_info: () => [{ labels: readings.build, value: 1 }],
    grpc_server_handled_total: () => [
      { labels: { ...grpcCheck, grpc_code: 'OK' }, value: checks.count() },
    ],
    grpc_server_handling_seconds: () => checks.samples('grpc_server_handling_seconds', grpcCheck),
  }
  const registry = createRegistry(samples)

  return {
    decided({ decision, durationMicroseconds }) {
      const { verdict, findings } = decision
      const { route = none, cache = none, token, method = none } = findings
      const tallies = decision.enforced ? enforced : watched
      tallies[verdict].add(route, verdict === 'deny' ? decision.reason : none)
      if (verdict === 'allow') allowed.add(route, token === undefined ? 'unprotected' : method)
      durations[verdict][cache].add(durationMicroseconds)
      checks.add(durationMicroseconds)
    },
    keysFetched: (issuer, result) => fetches.add(issuer, result),
    introspected: (issuer, result) => introspections.add(issuer, result),
    policyReloaded(result) {
      reloads[result]++
    },
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}

/**
 * The registry asks a metric for its name and for `get`, and for nothing more. A metric of prom-client's own would have
 * to be told each value by its labels, and looks them up anew each time.
 */
function createRegistry(samples: Samples): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const [name, { type, help }] of Object.entries(metricList)) {
    const described = { name, help, type, aggregator: 'sum' }
    const get = async () => ({ ...described, values: [...samples[name as MetricName]()] })
    registry.registerMetric({ ...described, get } as unknown as Metric)
  }
  return registry
}

/** Counts by two names. Once the room is taken, new ones count as `other`, so that no check is missing from a sum. */
function createTally(room = { left: maxSeries }) {
  const rows = new Map<string, Map<string, { value: number }>>()
  const find = (row: string, column: string) => rows.get(row)?.get(column) ?? begin(row, column)

  function begin(row: string, column: string): { value: number } {
    if (room.left <= 0 && row !== other) return find(other, column)
    if (room.left <= -maxOtherColumns && column !== other) return find(other, other)
    room.left--
    const columns = rows.get(row) ?? new Map<string, { value: number }>()
    const count = { value: 0 }
    rows.set(row, columns.set(column, count))
    return count
  }

  return {
    add(row: string, column: string): void {
      find(row, column).value++
    },
    *entries(): Generator<readonly [row: string, column: string, value: number]> {
      for (const [row, columns] of rows)
        for (const [column, { value }] of columns) yield [row, column, value]
    },
  }
}

function createDurationsByCache() {
  return { hit: createDurations(), miss: createDurations(), [none]: createDurations() }
}

/** A histogram: how many took at most each bound, and how long all of them took. */
function createDurations() {
  const counts = new Float64Array(boundsMicroseconds.length + 1)
  let sumMicroseconds = 0
  const count = () => counts.reduce((sum, value) => sum + value, 0)

  return {
    count,
    add(microseconds: number): void {
      let at = 0
      while (microseconds > (boundsMicroseconds[at] ?? Number.POSITIVE_INFINITY)) at++
      counts[at] = (counts[at] ?? 0) + 1
      sumMicroseconds += microseconds
    },
    *samples<Name extends MetricName>(name: Name, labels: Labels<Name>): Generator<Sample<Name>> {
      let atMost = 0
      for (const [at, value] of counts.entries()) {
        atMost += value
        const bound = boundsMicroseconds[at]
        const le = bound === undefined ? '+Inf' : String(bound / 1e6)
        yield { metricName: `${name}_bucket`, labels: { ...labels, le }, value: atMost }
      }
      yield { metricName: `${name}_sum`, labels, value: sumMicroseconds / 1e6 }
      yield { metricName: `${name}_count`, labels, value: atMost }
    },
  }
}

/** A policy with more issuers than this is read in part: no scrape grows without end. */
function* each<Item, Given>(items: Iterable<Item>, make: (item: Item) => Given): Generator<Given> {
  let left = 2 * maxSeries
  for (const item of items) if (left-- > 0) yield make(item)
}

function bare(value: number | boolean | undefined): Sample<'meshbind_in_flight'>[] {
  return value === undefined ? [] : [{ labels: {}, value: Number(value) }]
}
