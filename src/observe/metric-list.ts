/** THE TABLE of metrics: each that meshbind counts itself, with its labels; and what is read for them at a scrape. */

export interface MetricEntry {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly unit: 'seconds' | 'count'
  readonly help: string
  /** Label → its values, in words: from the policy or a fixed list, never from a request. */
  readonly labels: Readonly<Record<string, string>>
}

/** Where there is no value. No name in a policy begins with an underscore. */
export const none = '_none'
/** All names beyond the limit of series. */
export const other = '_other'
/** One counter's series from names that a reload may change; what comes later counts as `other`. */
export const maxSeries = 2000

const issuer = 'the issuer’s name in the policy, or `_other`'
const route =
  'the route’s name in the policy, `_none` where none matched or none was reached, or `_other`'
const decision = '`allow`, `deny`'
const grpcCheck = {
  grpc_type: '`unary`',
  grpc_service: '`envoy.service.auth.v3.Authorization`',
  grpc_method: '`Check`',
}

export const metricList = {
  meshbind_decisions_total: {
    type: 'counter',
    unit: 'count',
    help: 'Checks by what was decided. A deny with enforced="false" was let through: a route in audit.',
    labels: {
      decision,
      enforced: '`true`; `false` in the modes audit and disabled',
      reason: 'a name from [the reasons](reasons.md); `_none` on an allow',
      route,
    },
  },
  meshbind_allowed_total: {
    type: 'counter',
    unit: 'count',
    help: 'Allowed checks by the confirmation method that was satisfied.',
    labels: {
      method:
        'a binding’s name; `none` for a token without one (`unbound: allow`); `unprotected` where no token was looked at',
      route,
    },
  },
  meshbind_decision_duration_seconds: {
    type: 'histogram',
    unit: 'seconds',
    help: 'Time from the question to the answer, inside meshbind.',
    labels: {
      decision,
      cache:
        'whether what the token says had been verified before: `hit`, `miss`; `_none` where no token was verified',
    },
  },
  meshbind_cache_requests_total: {
    type: 'counter',
    unit: 'count',
    help: 'Questions to the caches of verified facts. For cache="token" only tokens that turned out good.',
    labels: {
      cache: '`token`, `certificate`, `xfcc`, `proof_key`, `workload_token`',
      result: '`hit`, `miss`',
    },
  },
  meshbind_cache_entries: {
    type: 'gauge',
    unit: 'count',
    help: 'Facts that are remembered.',
    labels: { cache: '`token`, `certificate`, `xfcc`, `proof_key`, `workload_token`' },
  },
  meshbind_keys_fetch_total: {
    type: 'counter',
    unit: 'count',
    help: 'Reads of key sources.',
    labels: {
      issuer,
      result:
        '`ok`; `unusable` (no JWK Set with a usable key), `failed` (could not be had): the last good keys stay',
    },
  },
  meshbind_keys_age_seconds: {
    type: 'gauge',
    unit: 'seconds',
    help: 'Time since the issuer’s keys were last read well; +Inf before that. Keys serve for an hour.',
    labels: { issuer },
  },
  meshbind_introspection_total: {
    type: 'counter',
    unit: 'count',
    help: 'Calls to introspection endpoints; a token that is remembered needs none.',
    labels: {
      issuer,
      result:
        '`active`, `inactive`; without an answer to go by: `unusable` (not in the form of RFC 7662), `unauthorized` (our client is not taken), `failed`, `timeout`; `refused`: not made, because too many were under way or the last ones had failed',
    },
  },
  meshbind_policy_reload_total: {
    type: 'counter',
    unit: 'count',
    help: 'Changes of the policy file that were judged after the start.',
    labels: {
      result: '`ok`; `invalid`, `unreadable`: the policy before stays in force',
    },
  },
  meshbind_policy_info: {
    type: 'gauge',
    unit: 'count',
    help: 'Always 1; names the policy in force.',
    labels: { revision: 'the hash of the policy’s text, as in the decision log' },
  },
  meshbind_policy_loaded_timestamp_seconds: {
    type: 'gauge',
    unit: 'seconds',
    help: 'Unix time at which the policy in force was loaded.',
    labels: {},
  },
  meshbind_file_current: {
    type: 'gauge',
    unit: 'count',
    help: '1 while the file on disk is what is in force; 0 while it cannot be read or used, and the last good one serves.',
    labels: {
      kind: '`policy`, `trust_bundle`, `denylist`, `tls`',
      name: 'the trust domain of a bundle; otherwise `_none`',
    },
  },
  meshbind_evidence_total: {
    type: 'counter',
    unit: 'count',
    help: 'Checks by the evidence of the peer that Envoy sent, believed or not. A check with two kinds counts under both.',
    labels: { source: '`certificate`, `xfcc`, `principal`; `none` where Envoy sent none of them' },
  },
  meshbind_revocations: {
    type: 'gauge',
    unit: 'count',
    help: 'Revocation entries in force.',
    labels: {
      kind: 'what an entry names: `jti`, `subject`, `session`, `key`, `presenter`, `certificate`',
    },
  },
  meshbind_replay_entries: {
    type: 'gauge',
    unit: 'count',
    help: 'Spent proofs in this process’s memory, of 500,000 at most. Absent with shared state.',
    labels: {},
  },
  meshbind_shared_state_connected: {
    type: 'gauge',
    unit: 'count',
    help: '1 while the server of --state can be used, else 0. Absent with memory state.',
    labels: {},
  },
  meshbind_workers: {
    type: 'gauge',
    unit: 'count',
    help: 'Workers that serve. Absent without --workers.',
    labels: {},
  },
  meshbind_worker_ends_total: {
    type: 'counter',
    unit: 'count',
    help: 'Workers that ended without having been told to; each is replaced. Absent without --workers.',
    labels: {},
  },
  meshbind_worker_connections: {
    type: 'gauge',
    unit: 'count',
    help: 'Connections of each worker. Absent without --workers.',
    labels: { worker: 'its number, from 1' },
  },
  meshbind_in_flight: {
    type: 'gauge',
    unit: 'count',
    help: 'Checks under way.',
    labels: {},
  },
  meshbind_decision_log_dropped_total: {
    type: 'counter',
    unit: 'count',
    help: 'Log lines dropped because standard output was read too slowly.',
    labels: {},
  },
  meshbind_build_info: {
    type: 'gauge',
    unit: 'count',
    help: 'Always 1; names what is running.',
    labels: { version: 'of meshbind', commit: 'of the build, or `unknown`', node: 'of Node' },
  },
  grpc_server_handled_total: {
    type: 'counter',
    unit: 'count',
    help: 'Checks answered. Always OK, because a gRPC error is no denial; decisions are in meshbind_decisions_total.',
    labels: { ...grpcCheck, grpc_code: '`OK`' },
  },
  grpc_server_handling_seconds: {
    type: 'histogram',
    unit: 'seconds',
    help: 'Time to answer a check.',
    labels: grpcCheck,
  },
} as const satisfies Readonly<Record<string, MetricEntry>>

export type MetricName = keyof typeof metricList

export type LabelOf<Name extends MetricName> = keyof (typeof metricList)[Name]['labels'] & string
export type Labels<Name extends MetricName> = Readonly<Record<LabelOf<Name>, string>>

export interface WorkerReadings {
  /** Since the start, without having been told to. */
  readonly ended: number
  /** Of those that serve. */
  readonly connections: Iterable<readonly [worker: number, connections: number]>
}

/** What others know, read at each scrape; all but `build`. */
export interface MetricReadings {
  readonly build: Labels<'meshbind_build_info'>
  readonly inFlight: () => number
  /** Spent proofs in memory; undefined where Redis keeps them. */
  readonly replayEntries: () => number | undefined
  /** Undefined where there is no shared state. */
  readonly sharedStateConnected: () => boolean | undefined
  readonly decisionLogDropped: () => number
  /** Undefined where there are none. */
  readonly workers: () => WorkerReadings | undefined
  /** `lookups` since the start; undefined for `token`, where the decisions tell. */
  readonly caches: () => Iterable<{
    readonly cache: 'token' | 'certificate' | 'xfcc' | 'proof_key' | 'workload_token'
    readonly entries: number
    readonly lookups?: { readonly hits: number; readonly misses: number }
  }>
  /** Seconds since each issuer's keys were read well; `Infinity` before that. */
  readonly keyAges: () => Iterable<readonly [issuer: string, seconds: number]>
  /** Checks by what Envoy sent, since the start. */
  readonly evidence: () => Iterable<readonly [source: string, count: number]>
  readonly revocations: () => Iterable<readonly [kind: string, count: number]>
  /** `name`: the trust domain of a bundle. */
  readonly files: () => Iterable<{
    readonly kind: 'policy' | 'trust_bundle' | 'denylist' | 'tls'
    readonly name?: string
    readonly current: boolean
  }>
  /** `loadedAt` in Unix seconds; undefined while no policy is in force. */
  readonly policy: () => { readonly revision: string; readonly loadedAt: number } | undefined
}
