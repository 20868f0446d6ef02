/** What the application log is told of the policy and of the sources that it names: changes, and never every reading. */

import { resolve } from 'node:path'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { IntrospectionResult } from '../token/introspection-call.ts'
import type { PolicyKeeperOptions } from './policy-keeper.ts'

type Told = Pick<
  PolicyKeeperOptions,
  | 'onFetch'
  | 'onIntrospection'
  | 'onBundle'
  | 'onDenylist'
  | 'onStatusList'
  | 'onWarning'
  | 'onReload'
>

/** @param policy Its file. */
export function tellOfSources(log: Log, metrics: Metrics, policy: string): Told {
  const file = resolve(policy)
  const logFetch = readLogger(log, 'issuer', 'keys read', keysUnread)
  const logIntrospection = introspectionLogger(log)
  const logReload = reloadLogger(log, file)
  return {
    onFetch(issuer, result, error) {
      metrics.keysFetched(issuer, result)
      logFetch(issuer, result, error)
    },
    onIntrospection(issuer, result, error) {
      metrics.introspected(issuer, result)
      logIntrospection(issuer, result, error)
    },
    onBundle: bundleLogger(log),
    onDenylist: denylistLogger(log),
    onStatusList: readLogger(log, 'host', 'status list read', statusListUnread),
    onWarning: ({ message, advice, line }) => log.app.warn({ file, line, advice }, message),
    onReload(result, live, problems) {
      metrics.policyReloaded(result)
      logReload(result, live, problems)
    },
  }
}

/** Every problem with its place, as `policy validate` would show it. */
function reloadLogger(log: Log, file: string): PolicyKeeperOptions['onReload'] {
  return (result, { policy }, problems) => {
    const facts = { policy: policy.name, policy_revision: policy.revision }
    if (result === 'ok')
      return log.app.info({ ...facts, routes: policy.routes.length }, 'policy reloaded')
    for (const { message, ...place } of problems) log.app.error({ file, ...place }, message)
    return log.app.error(
      { ...facts, file, result, problems: problems.length },
      'the changed policy cannot be used: the last good one stays in force',
    )
  }
}

const denylistUnread =
  'denylist could not be read: the last good one stays in force, and without any no policy that names it is taken'

function denylistLogger(log: Log): PolicyKeeperOptions['onDenylist'] {
  let last: string | undefined
  return (problem, entries) => {
    const repeated = problem !== undefined && problem === last
    last = problem
    if (problem === undefined) log.app.info({ entries }, 'denylist read')
    else if (!repeated) log.app.error({ problem, entries }, denylistUnread)
  }
}

/**
 * Tells of a change, not of every read: a source that stays broken is one line.
 *
 * @param what The log's field for the source's name.
 */
function readLogger(log: Log, what: 'issuer' | 'host', good: string, bad: string) {
  const last = new Map<string, string>()
  return (name: string, result: 'ok' | 'unusable' | 'failed', error?: string): void => {
    const state = `${result} ${error ?? ''}`
    if (last.get(name) === state) return
    last.set(name, state)
    if (result === 'ok') log.app.info({ [what]: name }, good)
    else log.app.warn({ [what]: name, result, error }, bad)
  }
}

/** There are calls by the second: beyond a change, a line must not come more often than this. */
const introspectionPauseMs = 10_000

/** Tells of a change, and of a source that comes and goes not each time; what was not asked for that reason is no news. */
function introspectionLogger(log: Log) {
  const last = new Map<string, { readonly state: string; readonly at: number }>()
  return (issuer: string, result: IntrospectionResult, error?: string): void => {
    const good = result === 'active' || result === 'inactive'
    const state = good ? 'ok' : result
    const before = last.get(issuer)
    const idle = before === undefined ? good : result === 'refused' && before.state !== 'ok'
    if (before?.state === state || idle) return
    const now = performance.now()
    if (before !== undefined && now - before.at < introspectionPauseMs) return
    last.set(issuer, { state, at: now })
    if (good) log.app.info({ issuer }, 'introspection answers again')
    else log.app.warn({ issuer, result, error }, notIntrospected)
  }
}

const notIntrospected =
  'tokens could not be introspected: look at `introspection` of the issuer in the policy; answers that are remembered serve for cacheFor, all other tokens are refused as introspection_unavailable'
const keysUnread =
  'keys could not be read: look at `keys` of the issuer in the policy; the last good ones serve for an hour, without any its tokens are refused as keys_unavailable'
const statusListUnread =
  'status list could not be read: the last good one serves until it is stale; then its tokens are refused as revocation_stale'

function bundleLogger(log: Log): PolicyKeeperOptions['onBundle'] {
  return (trustDomain, problem) => {
    if (problem === undefined) log.app.info({ trust_domain: trustDomain }, 'trust bundle read')
    else
      log.app.warn(
        { trust_domain: trustDomain, problem },
        'trust bundle could not be read or used: the last good one serves; without any, its workloads are refused as presenter_invalid',
      )
  }
}
