/** The ext_authz server, from its settings to its last answered check. */

import { performance } from 'node:perf_hooks'
import { startAdmin } from '../admin/server.ts'
import { CommandError, exitCode } from '../exit.ts'
import type { DecisionLogMode } from '../observe/decision-log.ts'
import { createLog, describeError, type LogLevel } from '../observe/log.ts'
import { startTraceExporter } from '../observe/trace-exporter.ts'
import { createTraces } from '../observe/traces.ts'
import { endsWithin } from '../time-limit.ts'
import type { TlsFiles } from '../tls-files.ts'
import { startServer } from '../wire/server.ts'
import { exitUnlessOver, waitForSignal, waitUnlessSignalled } from './end.ts'
import { type EventSettings, listenForEvents } from './events.ts'
import { createJudge, notReady } from './judge.ts'
import { createObservers } from './observers.ts'
import { adminPages, probePages } from './pages.ts'
import { keepPolicy, type PolicyKeeper } from './policy-keeper.ts'
import { type ProofMemorySettings, watchProofMemory } from './proof-memory.ts'
import { tellOfSources } from './source-log.ts'
import { createTools, type LiveTools, type StateSettings } from './tools.ts'
import { versionInfo } from './version.ts'

export interface ServeSettings extends StateSettings, ProofMemorySettings {
  readonly policy: string
  readonly listen: readonly string[]
  readonly tls: TlsFiles | undefined
  /** `host:port`, or undefined for none. */
  readonly admin: string | undefined
  /** `host:port` for the pages that name no workload, or undefined for none. */
  readonly probe: string | undefined
  readonly events: EventSettings | undefined
  readonly deadlineMs: number
  readonly maxInFlight: number
  readonly maxConnectionAgeMs: number | undefined
  readonly logLevel: LogLevel
  readonly decisionLog: DecisionLogMode
  /** Between the signal and the drain; 0 for none. */
  readonly shutdownDelayMs: number
  readonly drainMs: number
}

const sourcesTriedWithinMs = 10_000
const nowSeconds = () => Math.floor(Date.now() / 1000)

/** Serves until SIGTERM or SIGINT; returns the exit code. */
export async function serve(settings: ServeSettings): Promise<number> {
  const log = createLog(settings.logLevel)
  const stopped = waitForSignal()
  const tools = await createTools(settings, log, nowSeconds)
  let judge = notReady
  let ready = false
  let ending: string | undefined
  let tlsProblem: string | undefined
  const build = versionInfo()
  const exporter = await startTraceExporter(process.env, build.version, log.app)
  const observers = createObservers({
    build,
    log,
    decisionLog: settings.decisionLog,
    keeper: () => keeper,
    tools,
    inFlight: () => server.inFlight(),
    tlsCurrent: () => settings.tls && tlsProblem === undefined,
    traces: exporter && createTraces(exporter.provider, build.version),
    startedAt: Date.now(),
  })
  const judgeProofMemory = watchProofMemory(settings, log)
  const keeper = await keepPolicy({
    file: settings.policy,
    clock: nowSeconds,
    ...tellOfSources(log, observers.metrics, settings.policy),
    onSwap(live) {
      if (ready) judge = createJudge(live, tools.tools, nowSeconds)
      judgeProofMemory(live.policy)
    },
  })
  const { policy } = keeper.current
  judgeProofMemory(policy)
  if (settings.events === undefined && keeper.current.streams.size > 0) log.app.warn(eventsOff)

  const server = await startServer({
    addresses: settings.listen,
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
  }).catch(cannotRun)
  const waitingFor = () => [
    ...(ready ? [] : ['the first read of every source that the policy names']),
    ...(ending === undefined ? [] : [ending]),
  ]
  const pages = adminPages({ keeper, observers, waitingFor, clock: Date.now })
  const onPageError = (error: unknown) =>
    log.app.error({ error: describeError(error) }, 'an admin page failed')
  const open = (address: string | undefined, shown: typeof pages) =>
    address === undefined ? undefined : startAdmin(address, shown, onPageError).catch(cannotRun)
  const admin = await open(settings.admin, pages)
  const probe = await open(settings.probe, probePages(pages))
  const events =
    settings.events &&
    (await listenForEvents(settings.events, keeper, tools, log, nowSeconds).catch(cannotRun))
  const { name, revision } = policy
  log.app.info(
    {
      ...build,
      listen: server.addresses,
      admin: admin?.address ?? 'off',
      probe: probe?.address ?? 'off',
      events: events?.address ?? 'off',
      policy: name,
      policy_revision: revision,
    },
    'listening',
  )

  const early = await Promise.race([sourcesTried(keeper, tools), stopped])
  if (early === undefined) {
    ready = true
    const { current } = keeper
    judge = createJudge(current, tools.tools, nowSeconds)
    server.setServing(true)
    const { revision, routes } = current.policy
    log.app.info({ policy_revision: revision, routes: routes.length }, 'ready')
  }

  const signal = await stopped
  // Who was never ready was never sent to: nobody has to learn that it goes.
  if (ready && settings.shutdownDelayMs > 0) {
    ending = 'the end: it was told to stop'
    server.setServing(false)
    log.app.info({ signal, delay_ms: settings.shutdownDelayMs }, 'leaving')
    await waitUnlessSignalled(settings.shutdownDelayMs)
  }
  ending = 'the end: it is draining'
  log.app.info({ signal, in_flight: server.inFlight(), limit_ms: settings.drainMs }, 'draining')
  events?.close()
  await server.drain(settings.drainMs)
  admin?.close()
  probe?.close()
  keeper.close()
  await Promise.all([tools.close(), exporter?.close()])
  log.app.info({ decision_log_dropped: log.dropped() }, 'stopped')
  await log.close()
  exitUnlessOver(exitCode.good)
  return exitCode.good
}

const tlsKept = 'the changed TLS files cannot be used; the last good ones stay'
const eventsOff =
  'the policy names revocation events, and nothing listens for them: start with --events host:port'

/** Resolves when all has been tried once that a check needs, or time is up. */
async function sourcesTried({ current }: PolicyKeeper, { tried }: LiveTools): Promise<void> {
  await endsWithin(sourcesTriedWithinMs, Promise.all([current.parts.tried(), tried]))
}

function cannotRun(error: unknown): never {
  throw new CommandError(
    error instanceof Error ? error.message : 'could not start',
    exitCode.couldNotRun,
  )
}
