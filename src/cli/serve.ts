/** `meshbind serve`: its flags and environment variables, read strictly (contract §3). */

import { Command, Option } from 'commander'
import { CommandError } from '../exit.ts'
import type { ServeSettings } from '../service/serve.ts'
import { type Exit, examples } from './options.ts'
import {
  adminAddress,
  decisionLogMode,
  listenAddress,
  milliseconds,
  positiveInteger,
  stateAddress,
} from './settings.ts'

export function serveCommand(exit: Exit): Command {
  const option = (flags: string, environment: string, description: string) =>
    new Option(flags, description).env(environment)
  return new Command('serve')
    .exitOverride()
    .description(
      'Answer Envoy’s authorization checks. Policy problems end the start with exit code 2.',
    )
    .addOption(
      option(
        '--policy <file>',
        'MESHBIND_POLICY',
        'the policy, or a ConfigMap manifest that holds it',
      ).makeOptionMandatory(),
    )
    .addOption(
      option(
        '--listen <address...>',
        'MESHBIND_LISTEN',
        'host:port or unix:/path; repeatable',
      ).default(['127.0.0.1:9191'], '127.0.0.1:9191'),
    )
    .addOption(
      option(
        '--tls-cert <file>',
        'MESHBIND_TLS_CERT',
        'serve TLS with this certificate chain (PEM); read again when it changes',
      ),
    )
    .addOption(option('--tls-key <file>', 'MESHBIND_TLS_KEY', 'its private key (PEM)'))
    .addOption(
      option(
        '--tls-client-ca <file>',
        'MESHBIND_TLS_CLIENT_CA',
        'demand client certificates that this bundle (PEM) verifies',
      ),
    )
    .addOption(
      option(
        '--admin <address>',
        'MESHBIND_ADMIN',
        'host:port for health, metrics and the rollout report, or off',
      ).default('127.0.0.1:9464'),
    )
    .addOption(
      option(
        '--events <address>',
        'MESHBIND_EVENTS',
        'host:port where security events are pushed to (RFC 8935), or off',
      ).default('off'),
    )
    .addOption(
      option(
        '--events-tls-cert <file>',
        'MESHBIND_EVENTS_TLS_CERT',
        'serve it over TLS with this certificate chain (PEM); read again when it changes',
      ),
    )
    .addOption(
      option('--events-tls-key <file>', 'MESHBIND_EVENTS_TLS_KEY', 'its private key (PEM)'),
    )
    .addOption(
      option(
        '--events-tls-client-ca <file>',
        'MESHBIND_EVENTS_TLS_CLIENT_CA',
        'demand client certificates that this bundle (PEM) verifies',
      ),
    )
    .addOption(
      option(
        '--deadline <duration>',
        'MESHBIND_DEADLINE',
        'own budget for a check; Envoy’s timeout, less a margin, if shorter',
      ).default('150ms'),
    )
    .addOption(
      option(
        '--max-in-flight <count>',
        'MESHBIND_MAX_IN_FLIGHT',
        'more checks than this at once are refused as overloaded',
      ).default('1024'),
    )
    .addOption(
      option(
        '--state <where>',
        'MESHBIND_STATE',
        'spent proofs, revocations and the nonce key: memory, or redis://… (rediss://…) shared by replicas',
      ).default('memory'),
    )
    .addOption(
      option(
        '--nonce-key-file <file>',
        'MESHBIND_NONCE_KEY_FILE',
        'keys DPoP nonces (32 bytes or more); without it the key is shared through Redis, or random',
      ),
    )
    .addOption(
      option('--log-level <level>', 'MESHBIND_LOG_LEVEL', 'of application messages')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addOption(
      option(
        '--decision-log <mode>',
        'MESHBIND_LOG_DECISIONS',
        'all, deny, sample:N (denies and one allow in N) or off',
      ).default('deny'),
    )
    .addOption(
      option(
        '--drain <duration>',
        'MESHBIND_DRAIN',
        'longest wait for checks in flight after SIGTERM',
      ).default('10s'),
    )
    .addHelpText(
      'after',
      examples(
        'meshbind serve --policy policy.yaml',
        'meshbind serve --policy policy.yaml --listen unix:/run/meshbind/authz.sock --decision-log all',
        'meshbind serve --policy policy.yaml --state redis://redis.meshbind.svc:6379',
        'MESHBIND_POLICY=policy.yaml meshbind serve --admin off',
      ),
    )
    .action(async (flags: ServeFlags) => {
      const settings = serveSettings(flags)
      const { serve } = await import('../service/serve.ts')
      exit(await serve(settings))
    })
}

interface ServeFlags {
  readonly policy: string
  /** Each may hold several, comma-separated: the environment has one text for all. */
  readonly listen: readonly string[]
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsClientCa?: string
  readonly admin: string
  readonly events: string
  readonly eventsTlsCert?: string
  readonly eventsTlsKey?: string
  readonly eventsTlsClientCa?: string
  readonly deadline: string
  readonly maxInFlight: string
  readonly state: string
  readonly nonceKeyFile?: string
  readonly logLevel: ServeSettings['logLevel']
  readonly decisionLog: string
  readonly drain: string
}

function serveSettings(flags: ServeFlags): ServeSettings {
  const listen = flags.listen.flatMap((addresses) => addresses.split(','))
  return {
    policy: flags.policy,
    listen: listen.map((address) => listenAddress('--listen', address)),
    tls: tlsFiles('--tls', flags.tlsCert, flags.tlsKey, flags.tlsClientCa),
    admin: flags.admin === 'off' ? undefined : adminAddress('--admin', flags.admin),
    events: eventSettings(flags),
    deadlineMs: milliseconds('--deadline', flags.deadline),
    maxInFlight: positiveInteger('--max-in-flight', flags.maxInFlight),
    state: stateAddress('--state', flags.state),
    nonceKeyFile: flags.nonceKeyFile,
    logLevel: flags.logLevel,
    decisionLog: decisionLogMode('--decision-log', flags.decisionLog),
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
