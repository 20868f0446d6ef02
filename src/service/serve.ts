/** The ext_authz server, from its settings to its last answered check. */

import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AdminServer, type Readiness, startAdmin } from '../admin/server.ts'
import { giveUp } from '../answer.ts'
import { check, type Tools } from '../check.ts'
import { denyOutright } from '../decision/decision.ts'
import { CommandError, exitCode } from '../exit.ts'
import { type DecisionLogMode, decisionLine, isLogged } from '../observe/decision-log.ts'
import { createLog, describeError, type Log, type LogLevel } from '../observe/log.ts'
import { isUnprotected } from '../policy/compile.ts'
import type { Judge } from '../wire/handler.ts'
import { type AuthorizationServer, startServer } from '../wire/server.ts'
import type { TlsFiles } from '../wire/tls.ts'
import type { LivePolicy } from './live-policy.ts'
import { keepPolicy, type PolicyKeeper, type PolicyKeeperOptions } from './policy-keeper.ts'
import { tellOfSources } from './source-log.ts'
import { createTools, type LiveTools, type StateSettings } from './tools.ts'
import { versionInfo } from './version.ts'

export interface ServeSettings extends StateSettings {
  readonly policy: string
  readonly listen: readonly string[]
  readonly tls: TlsFiles | undefined
  /** `host:port`, or undefined for none. */
  readonly admin: string | undefined
  readonly deadlineMs: number
  readonly maxInFlight: number
  readonly logLevel: LogLevel
  readonly decisionLog: DecisionLogMode
  readonly drainMs: number
}

const sourcesTriedWithinMs = 10_000
const nowSeconds = () => Math.floor(Date.now() / 1000)

/** Serves until SIGTERM or SIGINT; returns the exit code. */
export async function serve(settings: ServeSettings): Promise<number> {
  const log = createLog(settings.logLevel)
  const stopped = waitForSignal()
  const liveTools = await createTools(settings, log, nowSeconds)
  const { tools } = liveTools
  let judge = notReady
  let ready = false
  let draining = false
  const keeper = await keepPolicyOf(settings, log, (live) => {
    if (ready) judge = judgeOf(live, tools)
  })
  const { policy } = keeper.current
  if (settings.state === 'memory' && takesProofs(policy)) log.app.warn(memoryOnly)

  const server = await startServer({
    addresses: settings.listen,
    tls: settings.tls,
    onTlsProblem: (problem) =>
      log.app.warn({ problem }, 'the changed TLS files cannot be used; the last good ones stay'),
    deadlineMs: settings.deadlineMs,
    maxInFlight: settings.maxInFlight,
    clock: { now: Date.now, monotonic: () => performance.now() },
    judge: () => judge,
    onDecision: decisionWriter(log, settings.decisionLog),
    onError: (error, decisionId) =>
      log.app.error({ decision_id: decisionId, error: describeError(error) }, 'a check failed'),
  }).catch(cannotRun)
  const admin = await startAdminIfWanted(settings.admin, () => ({
    ready: ready && !draining,
    waitingFor: [
      ...(ready ? [] : ['the first read of every key source']),
      ...(draining ? ['the end: it is draining'] : []),
    ],
    policy: describePolicy(keeper),
  }))
  log.app.info(
    {
      ...versionInfo(),
      listen: server.addresses,
      admin: admin?.address ?? 'off',
      policy: policy.name,
      policy_revision: policy.revision,
    },
    'listening',
  )

  const early = await Promise.race([sourcesTried(keeper, liveTools), stopped])
  if (early === undefined) {
    ready = true
    judge = judgeOf(keeper.current, tools)
    server.setServing(true)
    const { revision, routes } = keeper.current.policy
    log.app.info({ policy_revision: revision, routes: routes.length }, 'ready')
  }

  const signal = await stopped
  draining = true
  log.app.info({ signal, in_flight: server.inFlight(), limit_ms: settings.drainMs }, 'draining')
  await stop(server, admin, keeper, liveTools, settings.drainMs)
  log.app.info({ decision_log_dropped: log.dropped() }, 'stopped')
  await log.close()
  return exitCode.good
}

const memoryOnly =
  'proofs are remembered by this process alone: those that may have been spent before it are refused for the length of clockSkew, and replicas need --state redis://…'

function takesProofs({ routes }: LivePolicy['policy']): boolean {
  return routes.some(({ require }) => !isUnprotected(require) && require.schemes.includes('DPoP'))
}

function keepPolicyOf(
  settings: ServeSettings,
  log: Log,
  onSwap: PolicyKeeperOptions['onSwap'],
): Promise<PolicyKeeper> {
  const file = resolve(settings.policy)
  return keepPolicy({ file, clock: nowSeconds, ...tellOfSources(log, file), onSwap })
}

/** A check keeps the policy that it began with. */
function judgeOf({ policy }: LivePolicy, tools: Tools): Judge {
  return {
    decide: (request) => check(request, policy, tools, nowSeconds()),
    refuse: (refusal, request) =>
      giveUp(policy, tools.proofs.nonces, refusal, request, nowSeconds()),
  }
}

/** No mode softens it: nothing has been looked at yet. */
const notReady: Judge = {
  decide: async () => denyOutright('not_ready'),
  refuse: ({ refused, detail }) => denyOutright(refused, detail),
}

function decisionWriter(
  log: Log,
  mode: DecisionLogMode,
): Parameters<typeof startServer>[0]['onDecision'] {
  let allows = 0
  return (record) => {
    const logged = isLogged(mode, record.decision, allows)
    if (record.decision.verdict === 'allow') allows++
    if (logged) log.writeLine(decisionLine(record))
  }
}

async function startAdminIfWanted(
  address: string | undefined,
  readiness: Parameters<typeof startAdmin>[1],
): Promise<AdminServer | undefined> {
  return address === undefined ? undefined : startAdmin(address, readiness).catch(cannotRun)
}

/** Resolves when all has been tried once that a check needs, or time is up. */
async function sourcesTried({ current }: PolicyKeeper, { tried }: LiveTools): Promise<void> {
  const limit = new AbortController()
  const timeout = sleep(sourcesTriedWithinMs, undefined, { signal: limit.signal }).catch(() => {})
  await Promise.race([Promise.all([current.tried, tried]), timeout])
  limit.abort()
}

function describePolicy({ current, loadedAt, problem }: PolicyKeeper): Readiness['policy'] {
  const { name, revision } = current.policy
  const loaded = new Date(loadedAt * 1000).toISOString()
  return { name, revision, loaded_at: loaded, problem: problem ?? null }
}

async function stop(
  server: AuthorizationServer,
  admin: AdminServer | undefined,
  keeper: PolicyKeeper,
  tools: LiveTools,
  drainMs: number,
): Promise<void> {
  await server.drain(drainMs)
  admin?.close()
  keeper.close()
  await tools.close()
}

function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal))
  })
}

function cannotRun(error: unknown): never {
  throw new CommandError(
    error instanceof Error ? error.message : 'could not start',
    exitCode.couldNotRun,
  )
}
