/** The ext_authz service, from its settings to its last answered check: alone in its process, or the first one of several. */

import cluster from 'node:cluster'
import { startAdmin } from '../admin/server.ts'
import { cannotRun, exitCode } from '../exit.ts'
import { createLog, describeError, type LogLevel } from '../observe/log.ts'
import {
  type Answering,
  type AnsweringSettings,
  nowSeconds,
  prepareAnswering,
} from './answering.ts'
import { exitUnlessOver, waitForSignal, waitUnlessSignalled } from './end.ts'
import { type EventSettings, listenForEvents } from './events.ts'
import { countOf, figuresOf, figuresTogether } from './figures.ts'
import { createFleet } from './fleet.ts'
import { adminPages, probePages } from './pages.ts'
import { type ProofMemorySettings, watchProofMemory } from './proof-memory.ts'
import { createTools, type StateSettings } from './tools.ts'
import { startTracing } from './tracing.ts'
import { versionInfo } from './version.ts'
import { serveAsWorker } from './worker.ts'

export interface ServeSettings extends AnsweringSettings, StateSettings, ProofMemorySettings {
  readonly listen: readonly string[]
  /** `host:port`, or undefined for none. */
  readonly admin: string | undefined
  /** `host:port` for the pages that name no workload, or undefined for none. */
  readonly probe: string | undefined
  readonly events: EventSettings | undefined
  /** Processes that answer checks. */
  readonly workers: number
  readonly logLevel: LogLevel
  /** Between the signal and the drain; 0 for none. */
  readonly shutdownDelayMs: number
  readonly drainMs: number
}

/** Serves until SIGTERM or SIGINT; returns the exit code. */
export async function serve(settings: ServeSettings): Promise<number> {
  if (cluster.isWorker) return serveAsWorker(settings)
  const log = createLog(settings.logLevel)
  const stopped = waitForSignal()
  const startedAt = Date.now()
  const tools = await createTools(settings, log, nowSeconds)
  const fleet =
    settings.workers > 1
      ? createFleet(settings.workers, tools, log, () => answering.keeper.inForce)
      : undefined
  const tracing = fleet === undefined ? await startTracing(log) : undefined
  const answering: Answering = await prepareAnswering(settings, {
    log,
    tools,
    traces: tracing?.traces,
    onPolicy: watchProofMemory(settings, log),
    workers: fleet?.readings,
  })
  const { keeper, observers } = answering
  const { name, revision } = keeper.current.policy
  if (settings.events === undefined && keeper.current.streams.size > 0) log.app.warn(eventsOff)
  /** Who takes the checks. */
  const taking = fleet ?? answering
  let ready = false
  let ending: string | undefined

  const pages = adminPages({
    keeper,
    figures:
      fleet === undefined
        ? figuresOf(observers)
        : figuresTogether(
            async (name) => [await countOf(name, observers), ...(await fleet.count(name))],
            startedAt,
          ),
    waitingFor: () => [
      ...(ready ? taking.waitingFor() : ['the first read of every source that the policy names']),
      ...(ending === undefined ? [] : [ending]),
    ],
    workers: () => fleet?.describe(),
    clock: Date.now,
  })
  const onPageError = (error: unknown) =>
    log.app.error({ error: describeError(error) }, 'an admin page failed')
  const open = (address: string | undefined, shown: typeof pages) =>
    address === undefined ? undefined : startAdmin(address, shown, onPageError).catch(cannotRun)
  const admin = await open(settings.admin, pages)
  const probe = await open(settings.probe, probePages(pages))
  const events =
    settings.events &&
    (await listenForEvents(
      settings.events,
      keeper,
      fleet?.revocations ?? tools.revocations,
      log,
      nowSeconds,
    ).catch(cannotRun))

  const listening = await Promise.race([taking.listen(settings.listen).catch(cannotRun), stopped])
  if (typeof listening !== 'string') {
    log.app.info(
      {
        ...versionInfo(),
        listen: listening,
        admin: admin?.address ?? 'off',
        probe: probe?.address ?? 'off',
        events: events?.address ?? 'off',
        policy: name,
        policy_revision: revision,
      },
      'listening',
    )
    const early = await Promise.race([taking.tried(), stopped])
    if (early === undefined) {
      ready = true
      taking.begin()
      const { revision, routes } = keeper.current.policy
      const workers = fleet && { workers: settings.workers }
      log.app.info({ policy_revision: revision, routes: routes.length, ...workers }, 'ready')
    }
  }

  const signal = await stopped
  // Who was never ready was never sent to: nobody has to learn that it goes.
  if (ready && settings.shutdownDelayMs > 0) {
    ending = 'the end: it was told to stop'
    taking.leave()
    log.app.info({ signal, delay_ms: settings.shutdownDelayMs }, 'leaving')
    await waitUnlessSignalled(settings.shutdownDelayMs)
  }
  ending = 'the end: it is draining'
  log.app.info({ signal, in_flight: taking.inFlight(), limit_ms: settings.drainMs }, 'draining')
  events?.close()
  await taking.drain(settings.drainMs)
  admin?.close()
  probe?.close()
  keeper.close()
  await Promise.all([tools.close(), tracing?.close()])
  log.app.info({ decision_log_dropped: log.dropped() }, 'stopped')
  await log.close()
  exitUnlessOver(exitCode.good)
  return exitCode.good
}

const eventsOff =
  'the policy names revocation events, and nothing listens for them: start with --events host:port'
