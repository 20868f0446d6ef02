/** A checked policy with its live parts: key sources that fetch, issuers that remember, bundles and lists that follow their files. */

import { dirname, resolve } from 'node:path'
import type { Policy } from '../check.ts'
import { createTrustStore, type TrustStore } from '../evidence/trust.ts'
import { compilePolicy, type IssuerPlan } from '../policy/compile.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { KeySource } from '../token/key-source.ts'
import { createTokenIssuer, type TokenIssuer } from '../token/verify.ts'
import { watchBundle } from './bundle-watch.ts'
import { startKeySource } from './key-files.ts'
import {
  type EventStreams,
  type LiveRevocationOptions,
  startRevocation,
} from './live-revocation.ts'
import { collectParts, type Part, type Parts } from './parts.ts'

export interface LivePolicy {
  readonly policy: Policy
  readonly document: PolicyDocument
  /** By issuer name. */
  readonly keySources: ReadonlyMap<string, KeySource>
  /** Of revocation events, by the name that they have in the policy. */
  readonly streams: EventStreams
  readonly parts: Parts
}

export interface LivePolicyOptions extends Omit<LiveRevocationOptions, 'directory'> {
  /** The policy's file: names in it are relative to its directory. */
  readonly file: string
  readonly text: string
  /** A trust bundle was taken, or could not be: then the one before stays. Told once per change. */
  readonly onBundle: (trustDomain: string, problem: string | undefined) => void
  /** Proofs from before are refused (Unix seconds). */
  readonly proofsSince?: number | undefined
  /** What is asked for in the same words goes on as it is: keys are not fetched anew, nor facts forgotten. */
  readonly previous?: LivePolicy | undefined
}

export function startPolicy(document: PolicyDocument, options: LivePolicyOptions): LivePolicy {
  const directory = dirname(resolve(options.file))
  const keySources = new Map<string, KeySource>()
  const parts = collectParts(options.previous?.parts)
  let streams: EventStreams = new Map()

  function startIssuer(plan: IssuerPlan): Part<{ issuer: TokenIssuer; keys: KeySource }> {
    const keys = startKeySource(plan.keys, plan.issuer, plan.algorithms, {
      directory,
      clock: options.clock,
      onFetch: (result, error) => options.onFetch(plan.name, result, error),
    })
    const value = { issuer: createTokenIssuer(plan, keys), keys }
    return { value, tried: keys.tried, close: keys.close }
  }

  function startTrust(files: ReadonlyMap<string, string>): Part<TrustStore> {
    const store = createTrustStore()
    const broken = new Set<string>()
    const tell: typeof options.onBundle = (domain, problem) => {
      if (problem === undefined) broken.delete(domain)
      else broken.add(domain)
      options.onBundle(domain, problem)
    }
    const watches = [...files].map(([domain, file]) =>
      watchBundle(store, domain, resolve(directory, file), tell),
    )
    return {
      value: store,
      files: () =>
        [...files.keys()].map((name) => ({
          kind: 'trust_bundle',
          name,
          current: !broken.has(name),
        })),
      tried: Promise.all(watches.map(({ tried }) => tried)),
      close() {
        for (const watch of watches) watch.close()
      },
    }
  }

  const policy = compilePolicy(document, options.text, {
    issuer(plan) {
      const { issuer, keys } = parts.take(['issuer', plan], () => startIssuer(plan))
      keySources.set(plan.name, keys)
      return issuer
    },
    trust: (files) => parts.take(['trust', [...files]], () => startTrust(files)),
    revocation() {
      const live = startRevocation(document, keySources, parts, { ...options, directory })
      streams = live.streams
      return live.revocation
    },
    proofsSince: options.proofsSince,
  })
  return { policy, document, keySources, streams, parts }
}
