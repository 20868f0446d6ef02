/** Requests without end: 60 % as they should be, over every kind of token, and 40 % from attacks.ts. Seeded. */

import { attacksOn } from './attacks.ts'
import type { Cast } from './cast.ts'
import type { Wire } from './craft.ts'
import type { RequestFacts, RouteName, TokenFacts } from './facts.ts'
import { audience, corpIssuer, origin, partnerIssuer } from './policy.ts'

export const kinds = ['x5t', 'jwk', 'spiffe', 'dpop', 'wimse', 'opaque'] as const
export type Kind = (typeof kinds)[number]

export interface Question {
  readonly facts: RequestFacts
  /** A request that is sent again, byte for byte. */
  readonly again?: Wire
}

export interface TrafficOptions {
  readonly seed: number
  /** Unix seconds, by which tokens and proofs are dated. */
  readonly now: () => number
  readonly kinds?: readonly Kind[]
}

export interface Traffic {
  next(): Question
  /** A sound request of this kind; of this workload, where it matters. */
  sound(kind: Kind, holder?: string): RequestFacts
  /** It was let through: its proof is spent, and is fit to be replayed. */
  spent(facts: RequestFacts, wire: Wire): void
  /** Of the latest, those that were let through with a proof. */
  readonly spentOnes: readonly Question[]
}

const goodShare = 0.6
const maxSpent = 400
/** Tokens are minted anew as often as this, and live five minutes. */
const mintEverySeconds = 20
const tokenSeconds = 300

/** Mulberry32: small, seeded, good enough to mix requests with. */
export function createChance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function createTraffic(cast: Cast, options: TrafficOptions): Traffic {
  const chance = createChance(options.seed)
  const mix = options.kinds ?? kinds
  const spentOnes: Question[] = []
  const run = `${options.seed}-${Date.now().toString(36)}`
  let serial = 0
  const freshId = () => `${run}-${serial++}`
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance() * list.length)] as T

  function token(route: RouteName, of: Partial<TokenFacts>): TokenFacts {
    const issuedAt = Math.floor(options.now() / mintEverySeconds) * mintEverySeconds - 5
    const form = route === 'opaque' ? ('opaque' as const) : ('jwt' as const)
    const issuer = form === 'opaque' ? partnerIssuer : corpIssuer
    const subject = of.subject ?? 'nobody'
    const [keyId = 'key-1'] = [...cast.issuers.keys()].slice(-1)
    return {
      ...{ form, issuer, audience, subject, scope: 'payments.write', known: true, keyId },
      ...{ id: `${route}-${subject.split('/').at(-1)}-${issuedAt}`, signed: 'soundly', issuedAt },
      ...{ expiresAt: issuedAt + tokenSeconds, bound: { to: 'nothing' }, ...of },
    }
  }

  function sound(kind: Kind, by?: string): RequestFacts {
    const base: RequestFacts = {
      ...{ title: kind, route: kind, method: 'POST', path: `/${kind}`, canonicalPath: true },
      ...{ scheme: 'Bearer', credentials: 1, spentBefore: false },
    }
    if (kind === 'dpop') {
      const client = pick(cast.phones)
      const bound = { to: 'proof', client } as const
      const proof = {
        ...{ client, id: freshId(), method: 'POST', target: `${origin}/dpop` },
        ...{ issuedAt: Math.floor(options.now()), ofThisToken: true, altered: false },
      }
      return { ...base, scheme: 'DPoP', token: token(kind, { subject: client, bound }), proof }
    }
    if (kind === 'wimse') {
      const client = pick(cast.signers)
      const subject = cast.wimse.get(client)?.sub ?? ''
      const issuedAt = Math.floor(options.now())
      const proof = { client, id: freshId(), audience: `${origin}/wimse`, ofThisToken: true }
      const times = { issuedAt, expiresAt: issuedAt + tokenSeconds }
      const proven = { ...proof, expiresAt: issuedAt + 60 }
      const workload = { client, subject, trusted: true, ...times, proof: proven }
      return { ...base, credentials: 0, workload }
    }
    const presenter = cast.presenter(by ?? pick(cast.workloads))
    const { thumbprint, spiffeId, holder } = presenter
    const bound =
      kind === 'jwk'
        ? ({ to: 'key', holder, thumbprint } as const)
        : kind === 'spiffe'
          ? ({ to: 'nothing' } as const)
          : ({ to: 'certificate', thumbprint } as const)
    return { ...base, presenter, token: token(kind, { subject: spiffeId, bound }) }
  }

  function hostile(): Question {
    const kind = pick(mix)
    const replay = chance() < 0.15 ? pick(spentOnes) : undefined
    if (replay !== undefined && mix.includes(replay.facts.route as Kind)) return replay
    return { facts: pick(attacksOn(kind))(sound(kind), { cast, freshId, pick }) }
  }

  return {
    sound,
    next: () => (chance() < goodShare ? { facts: sound(pick(mix)) } : hostile()),
    spent(facts, wire) {
      const title = `${facts.route}, sent once more`
      spentOnes.push({ facts: { ...facts, title, spentBefore: true }, again: wire })
      if (spentOnes.length > maxSpent) spentOnes.shift()
    },
    spentOnes,
  }
}
