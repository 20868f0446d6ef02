/** A checked policy with its live parts: key sources that fetch, issuers that remember. The process edge puts them together. */

import { dirname, resolve } from 'node:path'
import type { Policy } from '../check.ts'
import { compilePolicy, type IssuerPlan } from '../policy/compile.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { fetchDiscoveredKeys } from '../token/discovery.ts'
import { type FetchedDocument, fetchDocument } from '../token/fetch.ts'
import { createKeySource, type KeyFetchResult, type KeySource } from '../token/key-source.ts'
import { createTokenIssuer } from '../token/verify.ts'
import { readBoundedFile } from './read-file.ts'

export interface LivePolicy {
  readonly policy: Policy
  /** By issuer name. */
  readonly keySources: ReadonlyMap<string, KeySource>
  close(): void
}

export interface LivePolicyOptions {
  /** The policy's file: names in it are relative to its directory. */
  readonly file: string
  readonly text: string
  /** Unix seconds. */
  readonly clock: () => number
  readonly onFetch: (issuer: string, result: KeyFetchResult, error?: string) => void
}

const maxKeyFileBytes = 512 * 1024
const urlRefreshSeconds = 300
const fileRefreshSeconds = 3

export function startPolicy(document: PolicyDocument, options: LivePolicyOptions): LivePolicy {
  const keySources = new Map<string, KeySource>()
  const policy = compilePolicy(document, options.text, (plan) => {
    const keys = createKeySource({
      load: loaderOf(plan, dirname(resolve(options.file))),
      algorithms: plan.algorithms,
      clock: options.clock,
      refreshSeconds: plan.keys.file === undefined ? urlRefreshSeconds : fileRefreshSeconds,
      onFetch: (result, error) => options.onFetch(plan.name, result, error),
    })
    keySources.set(plan.name, keys)
    return createTokenIssuer(plan, keys)
  })
  return {
    policy,
    keySources,
    close: () => {
      for (const source of keySources.values()) source.close()
    },
  }
}

function loaderOf({ issuer, keys }: IssuerPlan, directory: string): () => Promise<FetchedDocument> {
  const { file, url, caFile } = keys
  if (file !== undefined) {
    return async () => ({ bytes: await readBoundedFile(resolve(directory, file), maxKeyFileBytes) })
  }
  return async () => {
    const ca =
      caFile === undefined
        ? undefined
        : await readBoundedFile(resolve(directory, caFile), maxKeyFileBytes)
    const options = { ca: ca?.toString('utf8') }
    return url === undefined
      ? fetchDiscoveredKeys(issuer, options)
      : fetchDocument(new URL(url), options)
  }
}
