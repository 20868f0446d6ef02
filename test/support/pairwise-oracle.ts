/** The oracle of the pairwise tests: what policy.md says of a request, written without a look at the code. Every flaw of a request is named. */

export const dimensions = {
  scheme: ['Bearer', 'DPoP'],
  subject: ['workload', 'person', 'acted for by the owner', 'acted for by another'],
  confirmation: ['none', 'x5t', 'jwk', 'jkt', 'x5t and jkt', 'unknown', 'malformed'],
  proof: ['none', 'sound', 'other key', 'replayed', 'other path', 'wpt', 'wit alone'],
  certificate: ['owner', 'other', 'none', 'expired'],
  hop: ['direct', 'forwarder', 'forged element'],
  route: ['x5t', 'jwk', 'spiffe', 'dpop', 'wimse', 'x5t-dpop', 'all', 'unbound', 'delegation'],
} as const

export type Case = { readonly [name in keyof typeof dimensions]: (typeof dimensions)[name][number] }

/** `bindings` of each route. */
export const routes: { readonly [name in Case['route']]: readonly string[] } = {
  x5t: ['x5t#S256'],
  jwk: ['jwk'],
  spiffe: ['spiffe'],
  dpop: ['dpop'],
  wimse: ['wimse'],
  'x5t-dpop': ['x5t#S256', 'dpop'],
  all: ['x5t#S256', 'jwk', 'spiffe', 'dpop', 'wimse'],
  unbound: ['x5t#S256'],
  delegation: ['x5t#S256', 'spiffe'],
}

type Workload = 'owner' | 'other'
type Reasons = readonly string[]

/** Whether it is `wimse` or nobody who may be shown as the presenter. */
interface Presenter {
  readonly who: Workload | undefined
  readonly byCertificate: boolean
  /** What is said where one is needed. */
  readonly missing: string
}

/** Every reason for which it may be refused; none: it is allowed. */
export function judge(question: Case): Reasons {
  const { certificate, hop, route, proof } = question
  const listed = routes[route]
  const broken = hop === 'forwarder' ? 'forward_broken' : 'presenter_missing'
  if (certificate === 'expired') return ['presenter_expired', ...judgeRest(question, owner(broken))]
  const shown: Presenter =
    certificate === 'none'
      ? { who: undefined, byCertificate: false, missing: broken }
      : { who: certificate, byCertificate: true, missing: broken }
  if (!listed.includes('wimse')) return judgeRest(question, shown)
  if (proof === 'wit alone') return ['workload_proof_missing', ...judgeRest(question, shown)]
  if (proof !== 'wpt') return judgeRest(question, shown)
  // The WIT's `sub` is the presenter where mTLS shows one, else it becomes the presenter.
  if (shown.who === 'other') return ['workload_token_mismatch', ...judgeRest(question, shown)]
  return judgeRest(question, { ...shown, who: 'owner' })
}

const owner = (missing: string): Presenter => ({ who: 'owner', byCertificate: true, missing })

function judgeRest(question: Case, presenter: Presenter): Reasons {
  return [
    ...judgeScheme(question),
    ...judgeActor(question, presenter),
    ...judgeBinding(question, presenter),
  ]
}

/** contract.md §5: a `jkt`-bound token under Bearer, an unbound one under DPoP. */
function judgeScheme({ scheme, confirmation }: Case): Reasons {
  return (scheme === 'DPoP') === hasThumbprint(confirmation) ? [] : ['scheme_mismatch']
}

function hasThumbprint(confirmation: Case['confirmation']): boolean {
  return confirmation === 'jkt' || confirmation === 'x5t and jkt'
}

/** policy.md, Delegation: a route without it refuses `act`; the current actor must be the presenter. */
function judgeActor({ subject, route }: Case, presenter: Presenter): Reasons {
  const actor = actorOf(subject)
  if (actor === undefined) return []
  if (route !== 'delegation') return ['delegation_refused']
  if (presenter.who === undefined) return [presenter.missing]
  return actor === presenter.who ? [] : ['actor_mismatch']
}

function actorOf(subject: Case['subject']): Workload | undefined {
  if (subject === 'acted for by the owner') return 'owner'
  return subject === 'acted for by another' ? 'other' : undefined
}

/** Of a token with `act` its actor, never the top-level claim. */
function identityOf({ subject }: Case): Workload | undefined {
  return subject === 'workload' ? 'owner' : actorOf(subject)
}

/** Every member of `cnf` that is understood must be confirmed; and at least one of the route's bindings. */
function judgeBinding(question: Case, presenter: Presenter): Reasons {
  const { confirmation, route, proof } = question
  const listed = routes[route]
  if (confirmation === 'malformed') return ['binding_malformed', 'binding_unsupported']
  // Bound, and nothing of it can be confirmed here (threats D71): no other binding makes up for that.
  if (confirmation === 'unknown') return ['binding_unsupported']
  const members = membersOf(confirmation)
  const flaws = members.flatMap((member) =>
    member === 'dpop' ? judgeProof(proof) : judgeCertificate(question, presenter),
  )
  if (members.some((member) => listed.includes(member))) return flaws
  const identity = identityOf(question)
  const ways: Reasons[] = []
  if (listed.includes('spiffe')) ways.push(judgeIdentity(identity, presenter))
  if (listed.includes('wimse') && proof === 'wpt')
    ways.push(members.length > 0 || identity === 'owner' ? [] : [unlike(identity)])
  if (ways.some((way) => way.length === 0)) return flaws
  if (confirmation === 'none' && route === 'unbound') return flaws
  const without = listed.includes('wimse') && proof !== 'wpt' ? ['workload_token_missing'] : []
  const missing = confirmation === 'none' ? 'binding_missing' : 'binding_unsupported'
  return [...flaws, ...ways.flat(), ...without, missing]
}

function judgeIdentity(identity: Workload | undefined, { who, missing }: Presenter): Reasons {
  if (identity === undefined) return ['binding_missing']
  if (who === undefined) return [missing]
  return identity === who ? [] : ['binding_mismatch']
}

/** policy.md, Bindings: a WIT never proves an access token that rides along. */
function unlike(identity: Workload | undefined): string {
  return identity === undefined ? 'binding_missing' : 'binding_mismatch'
}

function membersOf(confirmation: Case['confirmation']): Reasons {
  if (confirmation === 'x5t') return ['x5t#S256']
  if (confirmation === 'jwk') return ['jwk']
  if (confirmation === 'jkt') return ['dpop']
  return confirmation === 'x5t and jkt' ? ['x5t#S256', 'dpop'] : []
}

function judgeCertificate(question: Case, { who, byCertificate, missing }: Presenter): Reasons {
  if (!byCertificate) return [missing]
  if (question.certificate === 'expired') return ['presenter_expired']
  if (who === 'owner') return []
  return [identityOf(question) === who ? 'binding_rotated' : 'binding_mismatch']
}

function judgeProof(proof: Case['proof']): Reasons {
  switch (proof) {
    case 'sound':
      return []
    case 'other key':
      return ['binding_mismatch']
    case 'replayed':
      return ['proof_replayed']
    case 'other path':
      return ['proof_invalid']
    default:
      return ['proof_missing']
  }
}
