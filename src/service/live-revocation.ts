/** The live parts of `spec.revocation`: a denylist that follows its file, status lists that are fetched, streams of events. */

import { resolve } from 'node:path'
import type { EventReader } from '../admin/events.ts'
import { durationSeconds } from '../policy/duration.ts'
import type { PolicyDocument, RevocationDocument } from '../policy/schema.ts'
import type { PolicyRevocation } from '../revoked.ts'
import { defaultAlgorithms } from '../token/algorithms.ts'
import { fetchDocument } from '../token/fetch.ts'
import type { KeyFetchResult, KeySource } from '../token/key-source.ts'
import { type EventRevocation, readSecurityEvent } from '../token/security-event.ts'
import { maxStatusListLength, statusListType } from '../token/status-list-token.ts'
import {
  createStatusLists,
  type StatusFetchResult,
  type StatusLists,
} from '../token/status-source.ts'
import { watchDenylist } from './denylist-watch.ts'
import { startKeySource } from './key-files.ts'
import type { Parts } from './parts.ts'

export type EventStreams = ReadonlyMap<string, EventReader<EventRevocation>>

export interface LiveRevocationOptions {
  /** Of the policy. */
  readonly directory: string
  /** Unix seconds. */
  readonly clock: () => number
  /** The denylist was taken, or could not be: then the one before stays. Told once per change. */
  readonly onDenylist: (problem: string | undefined, entries: number) => void
  readonly onStatusList: (host: string, result: StatusFetchResult, error?: string) => void
  /** Keys that the policy names for a use of their own, such as `events corp`. */
  readonly onFetch: (use: string, result: KeyFetchResult, error?: string) => void
}

const defaultMaxStale = '5m'

/** @param keySources By the issuer's name in the policy. */
export function startRevocation(
  { spec }: PolicyDocument,
  keySources: ReadonlyMap<string, KeySource>,
  parts: Parts,
  options: LiveRevocationOptions,
): { readonly revocation: PolicyRevocation; readonly streams: EventStreams } {
  const { denylist, statusList, events = {} } = spec.revocation ?? {}
  const clockSkewSeconds = durationSeconds(spec.clockSkew ?? '30s')

  /** Exact `iss` → who signs for it. */
  const keysByIssuer = new Map(
    Object.entries(spec.issuers).flatMap(([name, { issuer }]) => {
      const keys = keySources.get(name)
      return keys === undefined ? [] : [[issuer, keys] as const]
    }),
  )

  function keysFor(use: string, document: KeysOf, issuer: string): KeySource {
    return parts.take(['keys', use, document, issuer], () => {
      const keys = startKeySource(document, issuer, defaultAlgorithms, {
        directory: options.directory,
        clock: options.clock,
        onFetch: (result, error) => options.onFetch(use, result, error),
      })
      return { value: keys, tried: keys.tried, close: keys.close }
    })
  }

  function followDenylist(file: string) {
    const path = resolve(options.directory, file)
    return parts.take(['denylist', path], () => {
      const watch = watchDenylist(path, options.onDenylist)
      const missing = () => (watch.index === undefined ? watch.problem : undefined)
      const files = () => [{ kind: 'denylist', current: watch.problem === undefined } as const]
      return { value: watch, tried: watch.tried, missing, files, close: watch.close }
    })
  }

  function followStatusLists(document: StatusListsOf): StatusLists {
    const own = document.keys && keysFor('status lists', document.keys, '')
    const maxStaleSeconds = durationSeconds(document.maxStale ?? defaultMaxStale)
    return parts.take(['status lists', document, clockSkewSeconds, spec.issuers], () => {
      const lists = createStatusLists({
        hosts: new Set(document.hosts),
        maxStaleSeconds,
        clockSkewSeconds,
        clock: options.clock,
        keys: (issuer) => own ?? keysByIssuer.get(issuer),
        load: (url) =>
          fetchDocument(url, {
            accept: `application/${statusListType}`,
            maxBytes: maxStatusListLength,
          }),
        onFetch: options.onStatusList,
      })
      return { value: lists, tried: Promise.resolve(), close: lists.close }
    })
  }

  const watch = denylist && followDenylist(denylist.file)
  const lists = statusList && followStatusLists(statusList)
  const streams = Object.entries(events).map(([name, stream]) => {
    const keys = keysFor(`events ${name}`, stream.keys, stream.issuer)
    const { issuer, audience } = stream
    const tokenIssuers = new Set([issuer, spec.issuers[name]?.issuer ?? issuer])
    const settings = { issuer, audience, tokenIssuers, keys, clockSkewSeconds }
    const read = (text: string) => readSecurityEvent(text, settings, options.clock())
    return [name, { read }] as const
  })
  return {
    revocation: {
      get denylist() {
        return watch?.index
      },
      statusLists: lists && { judge: (token) => lists.judge(token.all) },
    },
    streams: new Map(streams),
  }
}

type StatusListsOf = NonNullable<RevocationDocument['statusList']>
type KeysOf = NonNullable<RevocationDocument['events']>[string]['keys']
