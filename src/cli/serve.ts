/** `meshbind serve`: its flags and environment variables (contract §3). */

import { Command, Option } from 'commander'
import { type Exit, examples } from './options.ts'
import { type ServeFlags, serveSettings } from './serve-settings.ts'

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
        '--probe <address>',
        'MESHBIND_PROBE',
        'host:port for /livez, /readyz and /metrics alone, which name no workload, or off',
      ).default('off'),
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
        '--max-connection-age <duration>',
        'MESHBIND_MAX_CONNECTION_AGE',
        'ask Envoy for a new connection after this long, give or take a tenth, so that new replicas get their share; or off',
      ).default('off'),
    )
    .addOption(
      option(
        '--workers <count>',
        'MESHBIND_WORKERS',
        'processes that share the addresses and their connections, and one admin listener; each has caches and --max-in-flight of its own',
      ).default('1'),
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
        '--replicas <count>',
        'MESHBIND_REPLICAS',
        'how many replicas share the work; more than one, each of which remembers proofs alone, are warned of',
      ).default('1'),
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
        '--shutdown-delay <duration>',
        'MESHBIND_SHUTDOWN_DELAY',
        'after SIGTERM, say not ready and answer as ever for this long before the drain',
      ).default('0s'),
    )
    .addOption(
      option(
        '--drain <duration>',
        'MESHBIND_DRAIN',
        'longest wait for checks in flight after SIGTERM, once the delay is over',
      ).default('10s'),
    )
    .addHelpText(
      'after',
      examples(
        'meshbind serve --policy policy.yaml',
        'meshbind serve --policy policy.yaml --listen unix:/run/meshbind/authz.sock --decision-log all',
        'meshbind serve --policy policy.yaml --state redis://redis.meshbind.svc:6379',
        'meshbind serve --policy policy.yaml --workers 4',
        'MESHBIND_POLICY=policy.yaml meshbind serve --admin off',
        'meshbind serve --policy policy.yaml --listen 0.0.0.0:9191 --probe 0.0.0.0:9465 --shutdown-delay 10s',
      ),
    )
    .action(async (flags: ServeFlags) => {
      const settings = serveSettings(flags)
      const { serve } = await import('../service/serve.ts')
      exit(await serve(settings))
    })
}
