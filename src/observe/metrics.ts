/** Metrics: plain numbers that checks count up; prom-client writes them out when somebody scrapes. */

import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { LoggedDecision } from './decision-log.ts'
import { type MetricName, type MetricReadings, maxSeries, metricList, none } from './metric-list.ts'
import { type Exposition, expose, type MetricsSnapshot, toldOfWorkers } from './metrics-together.ts'
import { createDurations, createDurationsByCache, createTally, type Sample } from './tallies.ts'

export interface Metrics {
  /** On the way of every check: a few map look-ups, and nothing that prom-client does. */
  decided(record: LoggedDecision): void
  keysFetched(issuer: string, result: 'ok' | 'unusable' | 'failed'): void
  introspected(issuer: string, result: string): void
  policyReloaded(result: 'ok' | 'invalid' | 'unreadable'): void
  expose(): Promise<Exposition>
  /** All of it as plain values, for another process. */
  snapshot(): Promise<MetricsSnapshot>
}

type Samples = { readonly [Name in MetricName]: () => Iterable<Sample<Name>> }

const verdicts = ['allow', 'deny'] as const
const cacheResults = ['hit', 'miss', none] as const
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
    meshbind_workers: () => {
      const workers = readings.workers()
      return bare(workers && [...workers.connections].length)
    },
    meshbind_worker_ends_total: () => bare(readings.workers()?.ended),
    meshbind_worker_connections: () =>
      each(readings.workers()?.connections ?? [], ([worker, value]) => ({
        labels: { worker: String(worker) },
        value,
      })),
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
    expose: () => expose(registry),
    snapshot: () => registry.getMetricsAsJSON(),
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
    const aggregator = toldOfWorkers[name as MetricName] ?? 'sum'
    const described = { name, help, type, aggregator }
    const get = async () => ({ ...described, values: [...samples[name as MetricName]()] })
    registry.registerMetric({ ...described, get } as unknown as Metric)
  }
  return registry
}

/** A policy with more issuers than this is read in part: no scrape grows without end. */
function* each<Item, Given>(items: Iterable<Item>, make: (item: Item) => Given): Generator<Given> {
  let left = 2 * maxSeries
  for (const item of items) if (left-- > 0) yield make(item)
}

function bare(value: number | boolean | undefined): Sample<'meshbind_in_flight'>[] {
  return value === undefined ? [] : [{ labels: {}, value: Number(value) }]
}
