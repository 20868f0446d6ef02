/** The policy brought to life for a rehearsal: its issuers, trust bundles and workloads are minted, nothing is fetched or read. */

import type { Policy, Tools } from '../check.ts'
import { minNonceKeyBytes } from '../confirmation/nonce.ts'
import { createTrustStore } from '../evidence/trust.ts'
import { compilePolicy } from '../policy/compile.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { assembleTools } from '../service/tool-set.ts'
import { createMemoryReplay } from '../state/memory.ts'
import { createMemoryRevocations } from '../state/revocation-feed.ts'
import type { KeySource } from '../token/key-source.ts'
import { createTokenIssuer } from '../token/token-issuer.ts'
import { type Authority, createAuthority, createKeyPair, type Leaf } from './certificates.ts'
import { createOpaqueIssuer, type OpaqueIssuer } from './opaque.ts'
import type { PeerFixture, TestDocument } from './schema.ts'
import { timeSeconds } from './time.ts'
import {
  composeAnswer,
  createMinter,
  createRehearsedKeys,
  createSigningKey,
  type Fixtures,
  type Minter,
  signToken,
} from './tokens.ts'
import { anchorWorkloads, type MintedWit, mintAuthorities, mintWits } from './workloads.ts'

export interface MintedToken {
  readonly text: string
  /** Under which its client presents it (RFC 9449 §7.1). */
  readonly scheme: 'Bearer' | 'DPoP'
}

/** All that the tests of one file stand on. */
export interface Stage extends Fixtures {
  readonly policy: Policy
  readonly tokens: ReadonlyMap<string, MintedToken>
  readonly wits: ReadonlyMap<string, MintedWit>
  /** `aud` of a sound WPT. */
  readonly wptAudience: string
  /** Unix seconds. */
  readonly now: number
  close(): void
}

const nothingRevoked = { denylist: undefined, statusLists: undefined }

/**
 * @param text The policy's own text: the revision covers it.
 * @param now Unix seconds, at which the clock stands still.
 */
export async function setStage(
  document: PolicyDocument,
  text: string,
  test: TestDocument,
  now: number,
): Promise<Stage> {
  const authorities = new Map<string, Authority>()
  const authorityOf = (domain: string): Authority => {
    const authority = authorities.get(domain) ?? createAuthority(domain, now)
    authorities.set(domain, authority)
    return authority
  }
  const minters = await mintIssuers(document, text)
  const witAuthorities = await mintAuthorities(document)
  const sources: KeySource[] = []
  const opaques = new Map<string, OpaqueIssuer>()
  const policy = compilePolicy(document, text, {
    issuer(plan) {
      if (plan.introspection !== undefined) {
        const opaque = createOpaqueIssuer(plan, plan.introspection, now)
        opaques.set(plan.name, opaque)
        return opaque.introspector
      }
      const jwks = minters.get(plan.name)?.jwks ?? Buffer.alloc(0)
      const keys = createRehearsedKeys(jwks, plan.algorithms, now)
      sources.push(keys)
      return createTokenIssuer(plan, keys)
    },
    trust(files) {
      const store = createTrustStore()
      for (const domain of files.keys()) {
        const problem = store.replace(domain, authorityOf(domain).pem)
        if (problem !== undefined) throw new Error(`minted trust bundle: ${problem}`)
      }
      return store
    },
    workloads: (anchors) => anchorWorkloads(anchors, witAuthorities, now, sources),
    revocation: () => nothingRevoked,
  })
  await Promise.all(sources.map(({ tried }) => tried))
  const keys = new Map(
    await Promise.all(
      Object.entries(test.keys ?? {}).map(
        async ([name, { algorithm = 'ES256' }]) =>
          [name, await createSigningKey(algorithm)] as const,
      ),
    ),
  )
  const fixtures: Fixtures = { peers: mintPeers(test.peers ?? {}, authorityOf, now), keys }
  return {
    ...fixtures,
    policy,
    wits: await mintWits(test.wits ?? {}, witAuthorities, keys, now),
    wptAudience: document.spec.wimse?.audiences[0] ?? '',
    tokens: await mintTokens(test.tokens ?? {}, minters, opaques, fixtures, now),
    now,
    close: () => {
      for (const source of [...sources, ...opaques.values()]) source.close()
    },
  }
}

/**
 * The live parts of a process that has just spent nothing: every test has its own, so that none depends on another.
 *
 * @param now Unix seconds.
 */
export function createTestTools(now: number): Tools {
  const nonceKey = Buffer.alloc(minNonceKeyBytes)
  const replay = createMemoryReplay(Number.NEGATIVE_INFINITY)
  return assembleTools({ replay, revocations: createMemoryRevocations(() => now) }, () => nonceKey)
}

async function mintIssuers(
  document: PolicyDocument,
  text: string,
): Promise<ReadonlyMap<string, Minter>> {
  const { issuers } = compilePolicy(document, text, {
    issuer: (plan) => plan,
    trust: () => undefined,
    workloads: () => undefined,
    revocation: () => undefined,
  })
  return new Map(
    await Promise.all(
      issuers.map(async (plan) => [plan.name, await createMinter(plan, document)] as const),
    ),
  )
}

function mintPeers(
  peers: { readonly [name: string]: PeerFixture },
  authorityOf: (trustDomain: string) => Authority,
  now: number,
): ReadonlyMap<string, Leaf> {
  const names = Object.keys(peers)
  const keyPairs = new Map(names.map((name) => [name, createKeyPair()]))
  const minted = new Map<string, Leaf>()
  for (const [name, { spiffeId, notBefore, notAfter, keyOf, signedBy }] of Object.entries(peers)) {
    const domain = /^spiffe:\/\/([^/]*)/.exec(spiffeId)?.[1] ?? ''
    const authority = signedBy === 'stranger' ? createAuthority(domain, now) : authorityOf(domain)
    minted.set(
      name,
      authority.issue({
        spiffeId,
        notBefore: timeSeconds(notBefore ?? '-1h', now),
        notAfter: timeSeconds(notAfter ?? '+1h', now),
        keys: keyPairs.get(keyOf ?? name) ?? createKeyPair(),
      }),
    )
  }
  return minted
}

async function mintTokens(
  tokens: NonNullable<TestDocument['tokens']>,
  minters: ReadonlyMap<string, Minter>,
  opaques: ReadonlyMap<string, OpaqueIssuer>,
  fixtures: Fixtures,
  now: number,
): Promise<ReadonlyMap<string, MintedToken>> {
  const minted = new Map<string, MintedToken>()
  for (const [name, fixture] of Object.entries(tokens)) {
    const minter = minters.get(fixture.issuer)
    if (minter === undefined) continue
    const opaque = opaques.get(fixture.issuer)
    const text =
      opaque?.mint(composeAnswer(fixture, minter, fixtures, now)) ??
      (await signToken(fixture, minter, fixtures, now))
    minted.set(name, { text, scheme: fixture.bind?.dpop === undefined ? 'Bearer' : 'DPoP' })
  }
  return minted
}
