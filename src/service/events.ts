/** The listener for revocation events, joined to the policy's streams and to where revocations are kept. */

import { type EventsServer, startEvents } from '../admin/events.ts'
import type { Log } from '../observe/log.ts'
import { endOf, type RevocationStore } from '../state/revocation-feed.ts'
import type { TlsFiles } from '../tls-files.ts'
import type { EventRevocation } from '../token/security-event.ts'
import type { PolicyKeeper } from './policy-keeper.ts'

export interface EventSettings {
  /** `host:port`. */
  readonly address: string
  readonly tls: TlsFiles | undefined
}

/** @param clock Unix seconds. */
export function listenForEvents(
  { address, tls }: EventSettings,
  keeper: PolicyKeeper,
  revocations: Pick<RevocationStore, 'add'>,
  log: Log,
  clock: () => number,
): Promise<EventsServer> {
  return startEvents<EventRevocation>({
    address,
    tls,
    streams: () => keeper.current.streams,
    persist: (revoked) =>
      revocations.add(revoked.map((each) => ({ revocation: each, until: endOf(each, clock()) }))),
    onEvent: (outcome) => {
      if (outcome.result === 'accepted') log.app.info(outcome, 'security event')
      else log.app.warn(outcome, 'security event not taken')
    },
    onTlsProblem(problem) {
      if (problem !== undefined)
        log.app.warn(
          { problem },
          'the changed --events TLS files cannot be used; the last good ones stay',
        )
    },
  })
}
