/** What has been revoked, by identifiers and never by a token's text, which has several spellings: entries and their index. */

/** One entry (policy.md, Revocation entries). `before` is in Unix seconds: it hits what was issued before, or everything where it is absent. */
export type Revocation =
  | { readonly issuer: string; readonly jti: string }
  | { readonly issuer: string; readonly subject: string; readonly before?: number | undefined }
  | { readonly issuer: string; readonly session: string; readonly before?: number | undefined }
  | { readonly issuer: string; readonly key: string }
  | { readonly presenter: string; readonly before?: number | undefined }
  | { readonly certificate: string }

export const revocationKinds = [
  'jti',
  'subject',
  'session',
  'key',
  'presenter',
  'certificate',
] as const
export type RevocationKind = (typeof revocationKinds)[number]

/** Identifiers that an issuer gives, and that mean nothing without it. */
export function isOfIssuer(kind: RevocationKind): boolean {
  return kind !== 'presenter' && kind !== 'certificate'
}

/** What is named has tokens before and after: `before` says which are hit. */
export function takesBefore(kind: RevocationKind): boolean {
  return kind === 'subject' || kind === 'session' || kind === 'presenter'
}

export interface RevocationEntry {
  readonly revocation: Revocation
  /** Unix seconds; it hits nothing from then on. Infinity: for ever. */
  readonly until: number
}

/** What a request shows of itself. */
export interface RevocableFacts {
  /** `iss` of the token. */
  readonly issuer: string
  readonly subject: string
  readonly tokenId: string | undefined
  readonly session: string | undefined
  readonly keyId: string | undefined
  /** Of the token; Unix seconds. */
  readonly issuedAt: number
  /** Of the oldest of what the presenter shows of itself, where that is not the token; Unix seconds. */
  readonly shownSince?: number
  /** SPIFFE IDs of the presenter and of those who vouched for it. */
  readonly workloads: readonly string[]
  /** x5t#S256 of their certificates, as far as they were shown. */
  readonly certificates: readonly string[]
}

export interface RevocationIndex {
  readonly size: number
  count(kind: RevocationKind): number
  /** Whose revocation hits: the token's, the presenter's, or nobody's. */
  find(facts: RevocableFacts, now: number): 'token' | 'presenter' | undefined
}

interface Cut {
  readonly before: number
  readonly until: number
}

export function kindOf(revocation: Revocation): RevocationKind {
  return revocationKinds.find((kind) => kind in revocation) ?? 'certificate'
}

/** A value of one issuer is another value than the same text of another; nothing is joined. */
export function createRevocationIndex(entries: Iterable<RevocationEntry>): RevocationIndex {
  const cuts = new Map<RevocationKind, Map<string, Map<string, Cut[]>>>(
    revocationKinds.map((kind) => [kind, new Map()]),
  )
  const counts = new Map<RevocationKind, number>()
  let size = 0
  for (const { revocation, until } of entries) {
    const kind = kindOf(revocation)
    const { scope, value } = nameOf(revocation, kind)
    const cut = { before: 'before' in revocation ? (revocation.before ?? ever) : ever, until }
    const byValue = inner<Cut[]>(cuts.get(kind) ?? new Map(), scope)
    const known = byValue.get(value)
    if (known === undefined) byValue.set(value, [cut])
    else known.push(cut)
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    size++
  }

  function hits(
    kind: RevocationKind,
    scope: string,
    value: string | undefined,
    issuedAt: number,
    now: number,
  ): boolean {
    if (value === undefined || !counts.has(kind)) return false
    const found = cuts.get(kind)?.get(scope)?.get(value)
    return found?.some(({ before, until }) => issuedAt < before && now < until) ?? false
  }

  return {
    size,
    count: (kind) => counts.get(kind) ?? 0,
    find(facts, now) {
      if (size === 0) return undefined
      const { issuer, issuedAt, shownSince = issuedAt } = facts
      const token =
        hits('jti', issuer, facts.tokenId, issuedAt, now) ||
        hits('subject', issuer, facts.subject, issuedAt, now) ||
        hits('session', issuer, facts.session, issuedAt, now) ||
        hits('key', issuer, facts.keyId, issuedAt, now)
      if (token) return 'token'
      const presenter =
        facts.workloads.some((id) => hits('presenter', anyIssuer, id, shownSince, now)) ||
        facts.certificates.some((each) => hits('certificate', anyIssuer, each, shownSince, now))
      return presenter ? 'presenter' : undefined
    },
  }
}

const ever = Number.POSITIVE_INFINITY
/** Workloads and certificates are revoked for the tokens of every issuer. */
const anyIssuer = ''

function nameOf(revocation: Revocation, kind: RevocationKind): { scope: string; value: string } {
  const named = revocation as { readonly [name in RevocationKind | 'issuer']?: string }
  return { scope: named.issuer ?? anyIssuer, value: named[kind] ?? '' }
}

function inner<Value>(outer: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  const known = outer.get(key)
  if (known !== undefined) return known
  const made = new Map<string, Value>()
  outer.set(key, made)
  return made
}

export const noRevocations = createRevocationIndex([])
