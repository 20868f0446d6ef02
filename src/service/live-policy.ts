/** A checked policy with its live parts: key sources that fetch, issuers that remember. The process edge puts them together. */

import { dirname, resolve } from 'node:path'
import type { Policy } from '../check.ts'
import { createTrustStore } from '../evidence/trust.ts'
import { compilePolicy, type IssuerPlan } from '../policy/compile.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { fetchDiscoveredKeys } from '../token/discovery.ts'
import { type FetchedDocument, fetchDocument } from '../token/fetch.ts'
import { createKeySource, type KeyFetchResult, type KeySource } from '../token/key-source.ts'
import { createTokenIssuer } from '../token/verify.ts'
import { type BundleWatch, watchBundle } from './bundle-watch.ts'
import { readBoundedFile } from './read-file.ts'

export interface LivePolicy {
  readonly policy: Policy
  /** By issuer name. */
  readonly keySources: ReadonlyMap<string, KeySource>
  /** Resolves once every trust bundle has been tried. */
  readonly bundlesRead: Promise<void>
  close(): void
}

export interface LivePolicyOptions {
  /** The policy's file: names in it are relative to its directory. */
  readonly file: string
  readonly text: string
  /** Unix seconds. */
  readonly clock: () => number
  readonly onFetch: (issuer: string, result: KeyFetchResult, error?: string) => void
  /** A trust bundle was taken, or could not be: then the one before stays. Told once per change. */
  readonly onBundle: (trustDomain: string, problem: string | undefined) => void
}

const maxKeyFileBytes = 512 * 1024
const urlRefreshSeconds = 300
const fileRefreshSeconds = 3

export function startPolicy(document: PolicyDocument, options: LivePolicyOptions): LivePolicy {
  const directory = dirname(resolve(options.file))
  const keySources = new Map<string, KeySource>()
  const watches: BundleWatch[] = []
  const policy = compilePolicy(document, options.text, {
    issuer(plan) {
      const keys = createKeySource({
        load: loaderOf(plan, directory),
        algorithms: plan.algorithms,
        clock: options.clock,
        refreshSeconds: plan.keys.file === undefined ? urlRefreshSeconds : fileRefreshSeconds,
        onFetch: (result, error) => options.onFetch(plan.name, result, error),
      })
      keySources.set(plan.name, keys)
      return createTokenIssuer(plan, keys)
    },
    trust(files) {
      const store = createTrustStore()
      for (const [domain, file] of files)
        watches.push(watchBundle(store, domain, resolve(directory, file), options.onBundle))
      return store
    },
  })
  return {
    policy,
    keySources,
    bundlesRead: Promise.all(watches.map((watch) => watch.tried)).then(() => undefined),
    close: () => {
      for (const source of keySources.values()) source.close()
      for (const watch of watches) watch.close()
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
