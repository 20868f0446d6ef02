/** Who is told of every decision: decision log, metrics, rollout tally, what evidence was seen, traces. */

import type { Policy } from '../check.ts'
import { type DecisionLogMode, decisionLine, isLogged } from '../observe/decision-log.ts'
import { createEvidenceSeen, type EvidenceSeen } from '../observe/evidence-seen.ts'
import type { Log } from '../observe/log.ts'
import type { MetricReadings, WorkerReadings } from '../observe/metric-list.ts'
import { createMetrics, type Metrics } from '../observe/metrics.ts'
import { createRollout, type Rollout } from '../observe/rollout.ts'
import { observationOf } from '../observe/rollout-line.ts'
import type { Traces } from '../observe/traces.ts'
import { revocationKinds } from '../state/revocations.ts'
import type { DecisionRecord } from '../wire/handler.ts'
import type { PolicyKeeper } from './policy-keeper.ts'
import type { LiveTools } from './tools.ts'
import type { VersionInfo } from './version.ts'

export interface Observers {
  readonly metrics: Metrics
  readonly rollout: Rollout
  readonly evidence: EvidenceSeen
  /** On the way of every check: cheap, and never waiting. */
  decided(record: DecisionRecord): void
}

export interface ObserverOptions {
  readonly build: VersionInfo
  readonly log: Log
  readonly decisionLog: DecisionLogMode
  /** Asked for once checks come, not before. */
  readonly keeper: () => PolicyKeeper
  readonly tools: LiveTools
  readonly inFlight: () => number
  /** The TLS files on disk are the ones in force; undefined without TLS. */
  readonly tlsCurrent: () => boolean | undefined
  /** Where they are switched on. */
  readonly traces: Traces | undefined
  /** Unix milliseconds. */
  readonly startedAt: number
  /** Where others answer the checks. */
  readonly workers?: (() => WorkerReadings) | undefined
}

export function createObservers(options: ObserverOptions): Observers {
  const { log, traces } = options
  const evidence = createEvidenceSeen(options.startedAt)
  const metrics = createMetrics(readingsOf(options, evidence))
  const rollout = createRollout({ kind: 'live', since: options.startedAt })
  let allows = 0

  return {
    metrics,
    rollout,
    evidence,
    decided(record) {
      // The log first: an auditor's line must not be lost to a mistake in a chart.
      const logged = isLogged(options.decisionLog, record.decision, allows)
      if (record.decision.verdict === 'allow') allows++
      if (logged) log.writeLine(decisionLine(record))
      metrics.decided(record)
      rollout.observe(observationOf(record))
      evidence.observe(record)
      traces?.decided(record)
    },
  }
}

/** Only where the policy takes WITs. */
function tokensOfWorkloads(tokens: Policy['workloads']) {
  return tokens === undefined ? [] : [{ cache: 'workload_token', state: tokens.cache } as const]
}

/** What is read when somebody scrapes. */
function readingsOf(
  { build, log, keeper, tools, inFlight, tlsCurrent, workers }: ObserverOptions,
  evidence: EvidenceSeen,
): MetricReadings {
  const { evidence: readers, proofs } = tools.tools
  const live = () => keeper().current
  const tokens = () => live().policy.issuers
  return {
    build,
    inFlight,
    workers: () => workers?.(),
    replayEntries: tools.replayEntries,
    sharedStateConnected: tools.sharedConnected,
    decisionLogDropped: log.dropped,
    caches: () => [
      { cache: 'token', entries: tokens().reduce((sum, { cache }) => sum + cache.size, 0) },
      ...[
        { cache: 'certificate', state: readers.certificates.cache } as const,
        { cache: 'xfcc', state: readers.xfcc.cache } as const,
        { cache: 'proof_key', state: proofs.keys.cache } as const,
        ...tokensOfWorkloads(live().policy.workloads),
      ].map(({ cache, state: { size, lookups } }) => ({ cache, entries: size, lookups })),
    ],
    keyAges: () => [...live().keySources].map(([name, keys]) => [name, keys.ageSeconds()] as const),
    evidence: () =>
      Object.entries(evidence.summary().kinds).map(([kind, { count }]) => [kind, count] as const),
    revocations: () => {
      const { denylist } = live().policy.revocation
      const written = tools.revocations.index
      return revocationKinds.map(
        (kind) => [kind, (denylist?.count(kind) ?? 0) + (written?.count(kind) ?? 0)] as const,
      )
    },
    files: () => {
      const tls = tlsCurrent()
      return [
        { kind: 'policy', current: keeper().problem === undefined },
        ...live().parts.files(),
        ...(tls === undefined ? [] : [{ kind: 'tls', current: tls } as const]),
      ]
    },
    policy: () => ({ revision: live().policy.revision, loadedAt: keeper().loadedAt }),
  }
}
