/** What answers checks: the policy that is kept, who is told of decisions, and the gRPC server. A process has one, be it alone or one of several workers. */

import { performance } from 'node:perf_hooks'
import type { Duplex } from 'node:stream'
import type { Policy } from '../check.ts'
import type { DecisionLogMode } from '../observe/decision-log.ts'
import { describeError, type Log } from '../observe/log.ts'
import type { WorkerReadings } from '../observe/metric-list.ts'
import type { Traces } from '../observe/traces.ts'
import { endsWithin } from '../time-limit.ts'
import type { TlsFiles } from '../tls-files.ts'
import { type AuthorizationServer, startServer } from '../wire/server.ts'
import { createJudge, notReady } from './judge.ts'
import { createObservers, type Observers } from './observers.ts'
import { type InForce, keepPolicy, type PolicyKeeper } from './policy-keeper.ts'
import { tellOfSources } from './source-log.ts'
import type { LiveTools } from './tools.ts'
import { versionInfo } from './version.ts'

export interface AnsweringSettings {
  readonly policy: string
  readonly tls: TlsFiles | undefined
  readonly deadlineMs: number
  readonly maxInFlight: number
  readonly maxConnectionAgeMs: number | undefined
  readonly decisionLog: DecisionLogMode
}

export interface AnsweringOptions {
  readonly log: Log
  readonly tools: LiveTools
  /** Where they are switched on. */
  readonly traces: Traces | undefined
  /** Told of the first policy and of each that replaces it. */
  readonly onPolicy?: (policy: Policy) => void
  /** `PolicyKeeperOptions.inForce`. */
  readonly inForce?: InForce
  /** Where others answer the checks. */
  readonly workers?: (() => WorkerReadings) | undefined
}

/** Who takes the calls: this process, or its workers. */
export interface Taking {
  /** Resolves to the addresses, with the ports that were chosen. */
  listen(addresses: readonly string[]): Promise<readonly string[]>
  /** Resolves when all has been tried once that a check needs, or time is up. */
  tried(): Promise<void>
  /** Until then this process denies every check as `not_ready`, and workers are given none. */
  begin(): void
  /** The health service says NOT_SERVING from now on; checks are answered as ever. */
  leave(): void
  drain(limitMs: number): Promise<void>
  inFlight(): number
  /** What keeps all checks from being answered, in words. */
  waitingFor(): readonly string[]
}

export interface Answering extends Taking {
  /** A connection that the first process has accepted; after `listen`. */
  take(connection: Duplex): void
  readonly keeper: PolicyKeeper
  readonly observers: Observers
}

const sourcesTriedWithinMs = 10_000
/** Unix seconds. */
export const nowSeconds = () => Math.floor(Date.now() / 1000)

/** Rejects with what is wrong where the policy cannot be used. */
export async function prepareAnswering(
  settings: AnsweringSettings,
  { log, tools, traces, onPolicy = () => {}, inForce, workers }: AnsweringOptions,
): Promise<Answering> {
  let judge = notReady
  let ready = false
  let tlsProblem: string | undefined
  let server: AuthorizationServer | undefined
  const observers = createObservers({
    build: versionInfo(),
    log,
    decisionLog: settings.decisionLog,
    keeper: () => keeper,
    tools,
    inFlight: () => server?.inFlight() ?? 0,
    tlsCurrent: () => settings.tls && tlsProblem === undefined,
    traces,
    startedAt: Date.now(),
    workers,
  })
  const keeper = await keepPolicy({
    file: settings.policy,
    clock: nowSeconds,
    inForce,
    ...tellOfSources(log, observers.metrics, settings.policy),
    onSwap(live) {
      if (ready) judge = createJudge(live, tools.tools, nowSeconds)
      onPolicy(live.policy)
    },
  })
  onPolicy(keeper.current.policy)

  return {
    keeper,
    observers,
    async listen(addresses) {
      server = await startServer({
        addresses,
        tls: settings.tls,
        onTlsProblem(problem) {
          tlsProblem = problem
          if (problem !== undefined) log.app.warn({ problem }, tlsKept)
        },
        deadlineMs: settings.deadlineMs,
        maxInFlight: settings.maxInFlight,
        maxConnectionAgeMs: settings.maxConnectionAgeMs,
        clock: { now: Date.now, monotonic: () => performance.now() },
        judge: () => judge,
        onDecision: observers.decided,
        onError: (error, decisionId) =>
          log.app.error({ decision_id: decisionId, error: describeError(error) }, 'a check failed'),
      })
      server.setServing(ready)
      return server.addresses
    },
    async tried() {
      const all = Promise.all([keeper.current.parts.tried(), tools.tried])
      await endsWithin(sourcesTriedWithinMs, all)
    },
    begin() {
      ready = true
      judge = createJudge(keeper.current, tools.tools, nowSeconds)
      server?.setServing(true)
    },
    leave: () => server?.setServing(false),
    take: (connection) => server?.take(connection),
    drain: async (limitMs) => server?.drain(limitMs),
    inFlight: () => server?.inFlight() ?? 0,
    waitingFor: () => [],
  }
}

const tlsKept = 'the changed TLS files cannot be used; the last good ones stay'
