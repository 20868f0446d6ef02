/** The metrics of several processes as if they were one's. */

import {
  AggregatorRegistry,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client'
import type { MetricName } from './metric-list.ts'

export interface Exposition {
  readonly contentType: string
  readonly text: string
}

/** What a registry holds, in plain values. */
export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[]

/** Of the workers' values the one that is told, for those that are not added up: what all of them have, or the worst. */
export const toldOfWorkers: { readonly [Name in MetricName]?: 'max' | 'min' } = {
  meshbind_keys_age_seconds: 'max',
  meshbind_policy_reload_total: 'max',
  meshbind_policy_info: 'max',
  meshbind_policy_loaded_timestamp_seconds: 'min',
  meshbind_file_current: 'min',
  meshbind_revocations: 'max',
  meshbind_shared_state_connected: 'min',
  meshbind_build_info: 'max',
}

export async function expose(registry: Registry): Promise<Exposition> {
  return { contentType: registry.contentType, text: await registry.metrics() }
}

/** What several processes have counted, as if one had. */
export function exposeTogether(snapshots: readonly MetricsSnapshot[]): Promise<Exposition> {
  return expose(AggregatorRegistry.aggregate(snapshots.map((each) => each.map(tellAlways))))
}

/** prom-client leaves the start time out, by which Prometheus knows of a restart. */
function tellAlways(metric: MetricsSnapshot[number]): object {
  const { aggregator } = metric as { readonly aggregator?: string }
  return aggregator === 'omit' ? { ...metric, aggregator: 'min' } : metric
}

/** What a process that has ended still stands for: the counts, and none of what was only so for a time. */
export function remainsOf(snapshots: readonly MetricsSnapshot[]): Promise<MetricsSnapshot> {
  const counts = snapshots.map((each) => each.filter(({ type }) => String(type) !== 'gauge'))
  return AggregatorRegistry.aggregate(counts).getMetricsAsJSON()
}
