/** Mints WITs and WPTs: sound by default, and broken where a test says so. */

import { createHash, randomUUID } from 'node:crypto'
import { createWorkloadTokens, type TrustAnchor, type WorkloadTokens } from '../confirmation/wit.ts'
import type { AnchorPlans } from '../policy/compile.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import { algorithms } from '../token/algorithms.ts'
import type { KeySource } from '../token/key-source.ts'
import type { WitFixture, WptFixture } from './schema.ts'
import { timeSeconds } from './time.ts'
import { createRehearsedKeys, createSigningKey, type SigningKey, signJws } from './tokens.ts'

/** A workload's own token, and the key that its proofs are signed with. */
export interface MintedWit {
  readonly text: string
  readonly key: SigningKey
}

const keyId = 'policy-test'
const witLifetimeSeconds = 300
const wptLifetimeSeconds = 30

/** The keys that sign the WITs of each trust domain of the policy. */
export async function mintAuthorities({
  spec,
}: PolicyDocument): Promise<ReadonlyMap<string, SigningKey>> {
  const domains = Object.keys(spec.wimse?.trustAnchors ?? {})
  return new Map(
    await Promise.all(
      domains.map(async (domain) => [domain, await createSigningKey('ES256')] as const),
    ),
  )
}

/** What takes the place of the policy's trust anchors; `sources` gets what has to be tried and closed. */
export function anchorWorkloads(
  anchors: AnchorPlans,
  authorities: ReadonlyMap<string, SigningKey>,
  now: number,
  sources: KeySource[],
): WorkloadTokens {
  const taken = new Map<string, TrustAnchor>()
  for (const [domain, { schemes }] of Object.entries(anchors)) {
    const jwk = { ...authorities.get(domain)?.publicJwk, kid: keyId }
    const keys = createRehearsedKeys(Buffer.from(JSON.stringify({ keys: [jwk] })), algorithms, now)
    sources.push(keys)
    taken.set(domain, { keys, schemes: new Set(schemes) })
  }
  return createWorkloadTokens(taken)
}

/** @param now Unix seconds. */
export async function mintWits(
  fixtures: { readonly [name: string]: WitFixture },
  authorities: ReadonlyMap<string, SigningKey>,
  keys: ReadonlyMap<string, SigningKey>,
  now: number,
): Promise<ReadonlyMap<string, MintedWit>> {
  const minted = new Map<string, MintedWit>()
  for (const [name, fixture] of Object.entries(fixtures)) {
    const key = keys.get(fixture.key ?? '') ?? (await createSigningKey('ES256'))
    const domain = /^[a-z]+:\/\/([^/]*)/.exec(fixture.sub)?.[1] ?? ''
    const known = fixture.signedBy === 'stranger' ? undefined : authorities.get(domain)
    const text = await signJws(
      {
        sub: fixture.sub,
        iat: now,
        exp:
          fixture.expiresAt === undefined
            ? now + witLifetimeSeconds
            : timeSeconds(fixture.expiresAt, now),
        jti: randomUUID(),
        cnf: { jwk: { ...key.publicJwk, alg: key.algorithm } },
        ...fixture.claims,
      },
      { typ: 'wit+jwt', kid: keyId, ...fixture.header },
      known ?? (await createSigningKey('ES256')),
    )
    minted.set(name, { text, key })
  }
  return minted
}

export interface WptTarget {
  readonly audience: string
  /** The access token beside it, if one is sent. */
  readonly token: string | undefined
  /** Unix seconds. */
  readonly now: number
}

export function signWpt(
  wit: MintedWit,
  { audience, token, now }: WptTarget,
  fixture: WptFixture,
  keys: ReadonlyMap<string, SigningKey>,
): Promise<string> {
  const key = keys.get(fixture.key ?? '') ?? wit.key
  const payload = {
    aud: audience,
    iat: now,
    exp: now + wptLifetimeSeconds,
    jti: randomUUID(),
    wth: digest(wit.text),
    ath: token === undefined ? undefined : digest(token),
    ...fixture.claims,
  }
  return signJws(payload, { typ: 'wpt+jwt' }, key)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
