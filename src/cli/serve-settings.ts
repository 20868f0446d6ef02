/** The flags of `meshbind serve`, read strictly into what the server is started with (contract §3). */

import { CommandError } from '../exit.ts'
import type { ServeSettings } from '../service/serve.ts'
import {
  adminAddress,
  connectionAge,
  decisionLogMode,
  delayMilliseconds,
  listenAddress,
  milliseconds,
  positiveInteger,
  stateAddress,
  workerCount,
} from './settings.ts'

export interface ServeFlags {
  readonly policy: string
  /** Each may hold several, comma-separated: the environment has one text for all. */
  readonly listen: readonly string[]
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsClientCa?: string
  readonly admin: string
  readonly probe: string
  readonly events: string
  readonly eventsTlsCert?: string
  readonly eventsTlsKey?: string
  readonly eventsTlsClientCa?: string
  readonly deadline: string
  readonly maxInFlight: string
  readonly maxConnectionAge: string
  readonly state: string
  readonly replicas: string
  readonly workers: string
  readonly nonceKeyFile?: string
  readonly logLevel: ServeSettings['logLevel']
  readonly decisionLog: string
  readonly shutdownDelay: string
  readonly drain: string
}

export function serveSettings(flags: ServeFlags): ServeSettings {
  const listen = flags.listen.flatMap((addresses) => addresses.split(','))
  return {
    policy: flags.policy,
    listen: listen.map((address) => listenAddress('--listen', address)),
    tls: tlsFiles('--tls', flags.tlsCert, flags.tlsKey, flags.tlsClientCa),
    admin: flags.admin === 'off' ? undefined : adminAddress('--admin', flags.admin),
    probe: flags.probe === 'off' ? undefined : adminAddress('--probe', flags.probe),
    events: eventSettings(flags),
    deadlineMs: milliseconds('--deadline', flags.deadline),
    maxInFlight: positiveInteger('--max-in-flight', flags.maxInFlight),
    maxConnectionAgeMs:
      flags.maxConnectionAge === 'off'
        ? undefined
        : connectionAge('--max-connection-age', flags.maxConnectionAge),
    state: stateAddress('--state', flags.state),
    replicas: positiveInteger('--replicas', flags.replicas),
    workers: workerCount('--workers', flags.workers),
    nonceKeyFile: flags.nonceKeyFile,
    logLevel: flags.logLevel,
    decisionLog: decisionLogMode('--decision-log', flags.decisionLog),
    shutdownDelayMs: delayMilliseconds('--shutdown-delay', flags.shutdownDelay),
    drainMs: milliseconds('--drain', flags.drain),
  }
}

function eventSettings(flags: ServeFlags): ServeSettings['events'] {
  const { eventsTlsCert, eventsTlsKey, eventsTlsClientCa } = flags
  const tls = tlsFiles('--events-tls', eventsTlsCert, eventsTlsKey, eventsTlsClientCa)
  if (flags.events === 'off') return undefined
  return { address: adminAddress('--events', flags.events), tls }
}

/** @param prefix Of the three flags. */
function tlsFiles(
  prefix: string,
  certificate: string | undefined,
  key: string | undefined,
  clientCa: string | undefined,
): ServeSettings['tls'] {
  if (certificate !== undefined && key !== undefined) return { certificate, key, clientCa }
  if (certificate === undefined && key === undefined && clientCa === undefined) return undefined
  throw new CommandError(
    `${prefix}-cert and ${prefix}-key go together; ${prefix}-client-ca needs both`,
  )
}
