/** The live parts of `spec.revocation`: a denylist that follows its file, status lists that are fetched, streams of events. */

import { resolve } from 'node:path'
import type { EventReader } from '../admin/events.ts'
import { durationSeconds } from '../policy/duration.ts'
import { clockSkewSecondsOf } from '../policy/requirement.ts'
import type { KeySourceDocument, PolicyDocument, RevocationDocument } from '../policy/schema.ts'
import type { PolicyRevocation } from '../revoked.ts'
import { type Algorithm, defaultAlgorithms } from '../token/algorithms.ts'
import { fetchDocument } from '../token/fetch.ts'
import type { KeySource } from '../token/key-source.ts'
import { type EventRevocation, readSecurityEvent } from '../token/security-event.ts'
import { maxStatusListLength, statusListType } from '../token/status-list-token.ts'
import {
  createStatusLists,
  type StatusFetchResult,
  type StatusLists,
} from '../token/status-source.ts'
import { watchDenylist } from './denylist-watch.ts'
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
  /** The key source for a use of its own, such as `events corp`. */
  readonly takeKeys: (
    use: string,
    keys: KeySourceDocument,
    issuer: string,
    algorithms: readonly Algorithm[],
  ) => KeySource
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
  const { takeKeys } = options
  const clockSkewSeconds = clockSkewSecondsOf(spec)

  /** Exact `iss` → who signs for it. */
  const keysByIssuer = new Map(
    Object.entries(spec.issuers).flatMap(([name, { issuer }]) => {
      const keys = keySources.get(name)
      return keys === undefined ? [] : [[issuer, keys] as const]
    }),
  )

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
    const own = document.keys && takeKeys('status lists', document.keys, '', defaultAlgorithms)
    const maxStaleSeconds = durationSeconds(document.maxStale ?? defaultMaxStale)
    const signers = [...keySources.keys()].map((name) => {
      const { issuer, keys, algorithms } = spec.issuers[name] ?? {}
      return [name, issuer, keys, algorithms]
    })
    return parts.take(['status lists', document, clockSkewSeconds, signers], () => {
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
    const keys = takeKeys(`events ${name}`, stream.keys, stream.issuer, defaultAlgorithms)
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
