/** The ext_authz server, from its settings to its last answered check. */

import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { type AdminServer, startAdmin } from '../admin/server.ts'
import { check, type Tools } from '../check.ts'
import { denyOutright } from '../decision/decision.ts'
import { CommandError, exitCode } from '../exit.ts'
import { type DecisionLogMode, decisionLine, isLogged } from '../observe/decision-log.ts'
import { createLog, describeError, type Log, type LogLevel } from '../observe/log.ts'
import { isUnprotected } from '../policy/compile.ts'
import { readPolicies } from '../policy/manifest.ts'
import { maxPolicyLength } from '../policy/parse.ts'
import { renderProblem } from '../policy/problem.ts'
import { type AuthorizationServer, startServer } from '../wire/server.ts'
import type { TlsFiles } from '../wire/tls.ts'
import { type LivePolicy, startPolicy } from './live-policy.ts'
import { readBoundedFile } from './read-file.ts'
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

const keySourcesTriedWithinMs = 10_000
const nowSeconds = () => Math.floor(Date.now() / 1000)

/** Serves until SIGTERM or SIGINT; returns the exit code. */
export async function serve(settings: ServeSettings): Promise<number> {
  const log = createLog(settings.logLevel)
  const stopped = waitForSignal()
  const live = await loadPolicy(settings.policy, log)
  const { policy } = live
  const liveTools = await createTools(settings, log, nowSeconds)
  if (settings.state === 'memory' && takesProofs(policy)) log.app.warn(memoryOnly)
  let ready = false
  let draining = false

  const server = await startServer({
    addresses: settings.listen,
    tls: settings.tls,
    onTlsProblem: (problem) =>
      log.app.warn({ problem }, 'the changed TLS files cannot be used; the last good ones stay'),
    deadlineMs: settings.deadlineMs,
    maxInFlight: settings.maxInFlight,
    clock: { now: Date.now, monotonic: () => performance.now() },
    decide: decideWith(live, liveTools.tools, () => ready),
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
    policy: { name: policy.name, revision: policy.revision },
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

  const early = await Promise.race([sourcesTried(live), stopped])
  if (early === undefined) {
    ready = true
    server.setServing(true)
    log.app.info({ policy_revision: policy.revision, routes: policy.routes.length }, 'ready')
  }

  const signal = await stopped
  draining = true
  log.app.info({ signal, in_flight: server.inFlight(), limit_ms: settings.drainMs }, 'draining')
  await stop(server, admin, live, liveTools, settings.drainMs)
  log.app.info({ decision_log_dropped: log.dropped() }, 'stopped')
  await log.close()
  return exitCode.good
}

const memoryOnly =
  'proofs are remembered by this process alone: those that may have been spent before it are refused for the length of clockSkew, and replicas need --state redis://…'

function takesProofs({ routes }: LivePolicy['policy']): boolean {
  return routes.some(({ require }) => !isUnprotected(require) && require.schemes.includes('DPoP'))
}

async function loadPolicy(file: string, log: Log): Promise<LivePolicy> {
  const bytes = await readBoundedFile(file, maxPolicyLength).catch((error: Error) => {
    throw new CommandError(error.message)
  })
  const text = bytes.toString('utf8')
  const [found, ...others] = readPolicies(text)
  if (found === undefined || others.length > 0)
    throw new CommandError(`${file}: holds more than one policy`)
  const { result } = found
  if (!result.ok) {
    const problems = result.problems.map((problem) => renderProblem(problem, file, text))
    throw new CommandError(
      [...problems, `The policy is not valid; nothing was started.`].join('\n'),
    )
  }
  for (const { message, advice, line } of result.warnings)
    log.app.warn({ file: resolve(file), line, advice }, message)
  return startPolicy(result.policy, {
    file,
    text: found.text,
    clock: nowSeconds,
    onFetch: fetchLogger(log),
    onBundle: bundleLogger(log),
  })
}

/** Tells of a change, not of every read: a source that stays broken is one line. */
function fetchLogger(log: Log): Parameters<typeof startPolicy>[1]['onFetch'] {
  const last = new Map<string, string>()
  return (issuer, result, error) => {
    const state = `${result} ${error ?? ''}`
    if (last.get(issuer) === state) return
    last.set(issuer, state)
    if (result === 'ok') log.app.info({ issuer }, 'keys read')
    else
      log.app.warn(
        { issuer, result, error },
        'keys could not be read: the last good ones serve for an hour; without any, tokens are refused as keys_unavailable',
      )
  }
}

function bundleLogger(log: Log): Parameters<typeof startPolicy>[1]['onBundle'] {
  return (trustDomain, problem) => {
    if (problem === undefined) log.app.info({ trust_domain: trustDomain }, 'trust bundle read')
    else
      log.app.warn(
        { trust_domain: trustDomain, problem },
        'trust bundle could not be read or used: the last good one serves; without any, its workloads are refused as presenter_invalid',
      )
  }
}

function decideWith(
  { policy }: LivePolicy,
  tools: Tools,
  isReady: () => boolean,
): Parameters<typeof startServer>[0]['decide'] {
  return (request) =>
    isReady()
      ? check(request, policy, tools, nowSeconds())
      : Promise.resolve(denyOutright('not_ready'))
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

async function sourcesTried({ keySources, bundlesRead }: LivePolicy): Promise<void> {
  const tried = Promise.all([bundlesRead, ...[...keySources.values()].map(({ tried }) => tried)])
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, keySourcesTriedWithinMs)
  })
  await Promise.race([tried, limit])
  clearTimeout(timer)
}

async function stop(
  server: AuthorizationServer,
  admin: AdminServer | undefined,
  live: LivePolicy,
  tools: LiveTools,
  drainMs: number,
): Promise<void> {
  await server.drain(drainMs)
  admin?.close()
  live.close()
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
