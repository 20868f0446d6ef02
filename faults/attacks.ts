/** The hostile 40 %: each attack takes a sound request and spoils one thing about it. */

import type { Cast } from './cast.ts'
import type { ProofFacts, RequestFacts, TokenFacts, WorkloadFacts } from './facts.ts'
import { origin } from './policy.ts'
import type { Kind } from './traffic.ts'

export interface Means {
  readonly cast: Cast
  freshId(): string
  pick<T>(list: readonly T[]): T
}

export type Attack = (sound: RequestFacts, means: Means) => RequestFacts

const named = (sound: RequestFacts, what: string, changes: Partial<RequestFacts>) => ({
  ...sound,
  ...changes,
  title: `${sound.title}, ${what}`,
})

const onToken =
  (what: string, change: (token: TokenFacts, means: Means) => Partial<TokenFacts>): Attack =>
  (sound, means) => {
    const { token } = sound
    if (token === undefined) throw new Error('an attack on a token needs one')
    return named(sound, what, { token: { ...token, ...change(token, means) } })
  }

const onProof =
  (what: string, change: (proof: ProofFacts) => Partial<ProofFacts>): Attack =>
  (sound) => {
    const { proof } = sound
    if (proof === undefined) throw new Error('an attack on a proof needs one')
    return named(sound, what, { proof: { ...proof, ...change(proof) } })
  }

const onWorkload =
  (what: string, change: (workload: WorkloadFacts) => Partial<WorkloadFacts>): Attack =>
  (sound) => {
    const { workload } = sound
    if (workload === undefined) throw new Error('an attack on a WIT needs one')
    return named(sound, what, { workload: { ...workload, ...change(workload) } })
  }

const onWorkloadProof = (
  what: string,
  changes: Partial<NonNullable<WorkloadFacts['proof']>>,
): Attack =>
  onWorkload(what, ({ proof }) => (proof === undefined ? {} : { proof: { ...proof, ...changes } }))

const copied: Attack = (sound, { cast }) =>
  named(sound, 'copied by another workload', { presenter: cast.presenter('thief') })

/** Without a `presenter`: exactOptionalPropertyTypes allows no `undefined` in its place. */
const unseen: Attack = ({ presenter: _, ...sound }) => named(sound, 'without a certificate', {})

const rotated: Attack = (sound, { cast }) =>
  named(sound, 'after its certificate was renewed', {
    presenter: cast.presenter(`${sound.presenter?.holder}-renewed`),
  })

const tokenless = ({ token: _, proof: __, workload: ___, ...sound }: RequestFacts) => sound

/** Another spelling of the path, and no token: some hop may read it as a path that is open. */
const tricks = (path: string) => [
  `/healthz/..${path}`,
  `/${path}`,
  `${path}/.`,
  `/.${path}`,
  `${path};a=b`,
  `/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`,
  `/healthz%2f..%2f${path.slice(1)}`,
  `/healthz/%2e%2e${path}`,
]
const disguised: Attack = (sound, { pick }) =>
  named({ ...tokenless(sound), credentials: 0 }, 'another spelling of the path', {
    path: pick(tricks(sound.path)),
    canonicalPath: false,
  })

/** What an upstream or a proxy might believe about the path, and what says nothing here. */
const misleading: Attack = (sound, { pick }) =>
  named({ ...tokenless(sound), credentials: 0 }, 'headers that speak of another path', {
    path: `${sound.path}?x=/healthz`,
    extra: [[pick(['x-original-url', 'x-rewrite-url', 'x-envoy-original-path']), '/healthz']],
  })

const silent: Attack = (sound) =>
  named({ ...tokenless(sound), credentials: 0 }, 'without a token', {})
const elsewhere: Attack = (sound) =>
  named(sound, 'on a path that no route takes', { path: '/nowhere', route: 'none' })
const otherMethod: Attack = (sound) => named(sound, 'with another method', { method: 'DELETE' })
const doubled: Attack = (sound) => named(sound, 'with two credentials', { credentials: 2 })

const onAnyPath: readonly Attack[] = [silent, disguised, misleading, elsewhere, otherMethod]
const onAnyToken: readonly Attack[] = [
  doubled,
  onToken('for another audience', () => ({ audience: 'https://search.mesh.example' })),
  onToken('expired', ({ issuedAt }) => ({ issuedAt: issuedAt - 600, expiresAt: issuedAt - 300 })),
  onToken('without the scope', ({ id }) => ({ scope: 'payments.read', id: `${id}-read` })),
]
const onAnyJwt: readonly Attack[] = [
  ...onAnyToken,
  onToken('altered payload', () => ({ signed: 'payload' })),
  onToken('altered signature', () => ({ signed: 'signature' })),
  onToken('signed by a stranger', () => ({ signed: 'stranger' })),
  onToken('with alg none', () => ({ signed: 'not' })),
  onToken('of another issuer', () => ({ issuer: 'https://idp.example/' })),
  onToken('valid for an hour', ({ issuedAt }) => ({ expiresAt: issuedAt + 3600 })),
  onToken('from the future', ({ issuedAt }) => ({
    issuedAt: issuedAt + 400,
    expiresAt: issuedAt + 700,
  })),
]
const unbound = onToken('bound to nothing', ({ id }) => ({
  bound: { to: 'nothing' },
  id: `${id}-unbound`,
}))

const attacks: { readonly [kind in Kind]: readonly Attack[] } = {
  x5t: [copied, copied, copied, rotated, unseen, unbound, ...onAnyPath, ...onAnyJwt],
  jwk: [copied, copied, copied, rotated, unseen, unbound, ...onAnyPath, ...onAnyJwt],
  spiffe: [copied, copied, copied, unseen, ...onAnyPath, ...onAnyJwt],
  opaque: [
    ...[copied, copied, rotated, unseen, unbound, ...onAnyPath],
    ...onAnyToken.map(
      (attack): Attack =>
        (sound, means) => {
          const facts = attack(sound, means)
          // One text means one thing to its issuer: what says something else has another.
          const own = facts.token && { ...facts.token, id: `${facts.token.id}-${facts.title}` }
          return own === undefined ? facts : { ...facts, token: { ...own, id: slug(own.id) } }
        },
    ),
    onToken('that nobody issued', (_, { freshId }) => ({ known: false, id: `none-${freshId()}` })),
  ],
  dpop: [
    ...[...onAnyPath, ...onAnyJwt, unbound],
    ({ proof: _, ...sound }) => named(sound, 'without a proof', {}),
    onProof('with an altered proof', () => ({ altered: true })),
    onProof('with a proof for another host', () => ({ target: 'https://evil.example/dpop' })),
    onProof('with a proof for another path', () => ({ target: `${origin}/x5t` })),
    onProof('with a proof for another method', () => ({ method: 'GET' })),
    onProof('with an old proof', ({ issuedAt }) => ({ issuedAt: issuedAt - 300 })),
    onProof('with the proof of another token', () => ({ ofThisToken: false })),
    onProof('stolen, with the thief’s own proof', () => ({ client: 'thief' })),
    (sound) => named(sound, 'as Bearer', { scheme: 'Bearer' }),
  ],
  wimse: [
    ...onAnyPath,
    onWorkload('of a stranger', () => ({ trusted: false })),
    onWorkload('expired', ({ issuedAt }) => ({
      issuedAt: issuedAt - 600,
      expiresAt: issuedAt - 300,
    })),
    ({ workload, ...sound }) => {
      if (workload === undefined) throw new Error('an attack on a WIT needs one')
      const { proof: _, ...bare } = workload
      return named(sound, 'without its proof', { workload: bare })
    },
    onWorkloadProof('stolen, with the thief’s own proof', { client: 'thief' }),
    onWorkloadProof('with a proof for another path', { audience: `${origin}/x5t` }),
    onWorkloadProof('with the proof of another WIT', { ofThisToken: false }),
    onWorkload('by a workload that may not call', ({ proof }) => ({
      client: 'thief',
      subject: 'spiffe://mesh.example/ns/web/sa/blog',
      ...(proof === undefined ? {} : { proof: { ...proof, client: 'thief' } }),
    })),
    (sound, { cast }) =>
      named(sound, 'over another workload’s mTLS', { presenter: cast.presenter('thief') }),
  ],
}

const slug = (text: string) => text.replaceAll(/[^A-Za-z0-9]+/g, '-')

export const attacksOn = (kind: Kind): readonly Attack[] => attacks[kind]
