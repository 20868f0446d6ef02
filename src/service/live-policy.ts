/** A checked policy with its live parts: key sources that fetch, issuers that remember, bundles and lists that follow their files. */

import { dirname, resolve } from 'node:path'
import type { Policy } from '../check.ts'
import { createWorkloadTokens, type TrustAnchor } from '../confirmation/wit.ts'
import { createTrustStore, type TrustStore } from '../evidence/trust.ts'
import { compilePolicy, type IssuerPlan } from '../policy/compile.ts'
import type { IntrospectionPlan } from '../policy/introspection-plan.ts'
import type { KeySourceDocument, PolicyDocument } from '../policy/schema.ts'
import { type Algorithm, algorithms, defaultAlgorithms } from '../token/algorithms.ts'
import type { IntrospectionResult } from '../token/introspection-call.ts'
import type { KeyUse } from '../token/key-set.ts'
import type { KeyFetchResult, KeySource } from '../token/key-source.ts'
import { createTokenIssuer } from '../token/token-issuer.ts'
import type { Introspector } from '../token/verify.ts'
import { watchBundle } from './bundle-watch.ts'
import { startIntrospector } from './introspection-files.ts'
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
  /** Proofs from before may have been spent where this policy would not know it (Unix seconds). */
  readonly proofsSince: number | undefined
}

export interface LivePolicyOptions extends Omit<LiveRevocationOptions, 'directory' | 'takeKeys'> {
  /** The policy's file: names in it are relative to its directory. */
  readonly file: string
  readonly text: string
  /** Keys of an issuer by its name, or those of another use, such as `events corp`. */
  readonly onFetch: (use: string, result: KeyFetchResult, error?: string) => void
  /** Told of each call to an issuer's introspection endpoint. */
  readonly onIntrospection?: (issuer: string, result: IntrospectionResult, error?: string) => void
  /** A trust bundle was taken, or could not be: then the one before stays. Told once per change. */
  readonly onBundle: (trustDomain: string, problem: string | undefined) => void
  /** What is asked for in the same words goes on as it is: keys are not fetched anew, nor facts forgotten. */
  readonly previous?: LivePolicy | undefined
}

export function startPolicy(
  document: PolicyDocument,
  { previous, ...options }: LivePolicyOptions,
): LivePolicy {
  const directory = dirname(resolve(options.file))
  const keySources = new Map<string, KeySource>()
  const parts = collectParts(previous?.parts)
  let streams: EventStreams = new Map()

  /** Keys outlast what else is said of their issuer: nothing is fetched anew because of a claim. */
  function takeKeys(
    use: string,
    keys: KeySourceDocument,
    issuer: string,
    algorithms: readonly Algorithm[],
    keyUse: KeyUse = 'sig',
  ): KeySource {
    return parts.take(['keys', use, keys, issuer, algorithms], () => {
      const source = startKeySource(keys, issuer, algorithms, {
        directory,
        use: keyUse,
        clock: options.clock,
        onFetch: (result, error) => options.onFetch(use, result, error),
      })
      return { value: source, tried: source.tried, close: source.close }
    })
  }

  function takeIntrospector(plan: IssuerPlan, introspection: IntrospectionPlan): Introspector {
    const { name, issuer } = plan
    const { signed } = introspection
    const keys = signed && takeKeys(`introspection ${name}`, signed.keys, issuer, defaultAlgorithms)
    return parts.take(['issuer', plan], () =>
      startIntrospector(plan, introspection, {
        directory,
        keys,
        clock: options.clock,
        onCall: (result, error) => options.onIntrospection?.(name, result, error),
      }),
    )
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
      if (plan.introspection !== undefined) return takeIntrospector(plan, plan.introspection)
      const keys = takeKeys(plan.name, plan.keys, plan.issuer, plan.algorithms)
      keySources.set(plan.name, keys)
      return parts.take(['issuer', plan], () => ({
        value: createTokenIssuer(plan, keys),
        tried: keys.tried,
        close: () => {},
      }))
    },
    trust: (files) => parts.take(['trust', [...files]], () => startTrust(files)),
    workloads(anchors) {
      const sources = new Map<string, TrustAnchor>()
      for (const [domain, { keys, schemes }] of Object.entries(anchors)) {
        const source = takeKeys(`wimse ${domain}`, keys, '', algorithms, 'wit-svid')
        sources.set(domain, { keys: source, schemes: new Set(schemes) })
      }
      return parts.take(['workloads', anchors], () => ({
        value: createWorkloadTokens(sources),
        tried: Promise.resolve(),
        close: () => {},
      }))
    },
    revocation() {
      const settings = { ...options, directory, takeKeys }
      const live = startRevocation(document, keySources, parts, settings)
      streams = live.streams
      return live.revocation
    },
  })
  parts.seal()
  return { policy, document, keySources, streams, parts, proofsSince: undefined }
}
