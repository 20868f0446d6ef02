/** A checked policy with its live parts: key sources that fetch, issuers that remember, bundles and lists that follow their files. */

import { dirname, resolve } from 'node:path'
import type { Policy } from '../check.ts'
import { createTrustStore, type TrustStore } from '../evidence/trust.ts'
import { compilePolicy, type IssuerPlan } from '../policy/compile.ts'
import type { PolicyDocument, RevocationDocument } from '../policy/schema.ts'
import type { PolicyRevocation } from '../revoked.ts'
import type { KeyFetchResult, KeySource } from '../token/key-source.ts'
import { createTokenIssuer, type TokenIssuer } from '../token/verify.ts'
import { watchBundle } from './bundle-watch.ts'
import { watchDenylist } from './denylist-watch.ts'
import { startKeySource } from './key-files.ts'

/** Something that lives on from policy to policy for as long as each asks for the same. */
interface Part<Value> {
  readonly value: Value
  /** It has been tried, well or not. */
  readonly tried: Promise<unknown>
  /** Why the policy cannot be in force with it. */
  readonly missing?: () => string | undefined
  close(): void
}

export interface LivePolicy {
  readonly policy: Policy
  readonly document: PolicyDocument
  /** By issuer name. */
  readonly keySources: ReadonlyMap<string, KeySource>
  /** Every part has been tried once. */
  readonly tried: Promise<void>
  /** What has to be there and is not, once it has been tried: a denylist that could never be read. */
  missing(): Promise<readonly string[]>
  /** Ends what the next policy does not go on with. */
  close(next?: LivePolicy): void
  readonly parts: ReadonlyMap<string, Part<unknown>>
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
  /** The same of the denylist, with how many entries are in force. */
  readonly onDenylist: (problem: string | undefined, entries: number) => void
  /** Proofs from before are refused (Unix seconds). */
  readonly proofsSince?: number | undefined
  /** What is asked for in the same words goes on as it is: keys are not fetched anew, nor facts forgotten. */
  readonly previous?: LivePolicy | undefined
}

export function startPolicy(document: PolicyDocument, options: LivePolicyOptions): LivePolicy {
  const directory = dirname(resolve(options.file))
  const keySources = new Map<string, KeySource>()
  const parts = new Map<string, Part<unknown>>()

  function part<Value>(asked: readonly unknown[], start: () => Part<Value>): Value {
    const key = JSON.stringify(asked)
    const going = options.previous?.parts.get(key) as Part<Value> | undefined
    const found = going ?? start()
    parts.set(key, found)
    return found.value
  }

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
    const watches = [...files].map(([domain, file]) =>
      watchBundle(store, domain, resolve(directory, file), options.onBundle),
    )
    return {
      value: store,
      tried: Promise.all(watches.map(({ tried }) => tried)),
      close() {
        for (const watch of watches) watch.close()
      },
    }
  }

  function startRevocation({ denylist }: RevocationDocument): PolicyRevocation {
    if (denylist === undefined) return { denylist: undefined, statusLists: undefined }
    const watch = part(['denylist', denylist.file], () => {
      const value = watchDenylist(resolve(directory, denylist.file), options.onDenylist)
      const missing = () => (value.index === undefined ? value.problem : undefined)
      return { value, tried: value.tried, missing, close: value.close }
    })
    return {
      get denylist() {
        return watch.index
      },
      statusLists: undefined,
    }
  }

  const policy = compilePolicy(document, options.text, {
    issuer(plan) {
      const { issuer, keys } = part(['issuer', plan], () => startIssuer(plan))
      keySources.set(plan.name, keys)
      return issuer
    },
    trust: (files) => part(['trust', [...files]], () => startTrust(files)),
    revocation: startRevocation,
    proofsSince: options.proofsSince,
  })
  return {
    policy,
    document,
    keySources,
    parts,
    tried: Promise.all([...parts.values()].map(({ tried }) => tried)).then(() => undefined),
    async missing() {
      const needed = [...parts.values()].filter(({ missing }) => missing !== undefined)
      await Promise.all(needed.map(({ tried }) => tried))
      return needed.flatMap(({ missing }) => missing?.() ?? [])
    },
    close(next) {
      for (const [key, each] of parts) if (next?.parts.get(key) !== each) each.close()
    },
  }
}
