/** What /evidence tells doctor: what the policy needs of Envoys, and what they have shown, in counters that every check passes. */

import type { Decision } from '../decision/decision.ts'
import type { Reason } from '../decision/reasons.ts'

/** What can show who the peer is, and that nothing did. One check may show several. */
export const evidenceKinds = ['certificate', 'xfcc', 'principal', 'none'] as const
export type EvidenceKind = (typeof evidenceKinds)[number]

/** What else a setting can be told from; each is a number of checks. */
export const evidenceSigns = [
  /** Envoy named its own certificate: its listener has TLS. */
  'destination',
  'principalNotSpiffe',
  'principalWithoutCertificate',
  /** Neither certificate nor XFCC beside the principal. */
  'principalAlone',
  'xfccWithoutPrincipal',
  'xfccWithoutUri',
  /** XFCC has a certificate, and the check itself has none. */
  'xfccWithCertificate',
  'authorization',
  'dpop',
  'workloadToken',
] as const
export type EvidenceSign = (typeof evidenceSigns)[number]

/** The reasons that a setting of Envoy may be behind. */
export const evidenceRefusals = [
  'credential_missing',
  'evidence_conflict',
  'forward_broken',
] as const satisfies readonly Reason[]
export type EvidenceRefusal = (typeof evidenceRefusals)[number]

/** Times are Unix milliseconds, null where there was none. */
export interface KindSeen {
  readonly count: number
  readonly firstAt: number | null
  readonly lastAt: number | null
}

export interface EvidenceSummary {
  /** When counting began, Unix milliseconds. */
  readonly since: number
  /** Checks whose question could be read. */
  readonly checks: number
  readonly kinds: { readonly [kind in EvidenceKind]: KindSeen }
  readonly signs: { readonly [sign in EvidenceSign]: number }
  readonly refusals: { readonly [reason in EvidenceRefusal]: number }
}

/** What a policy asks of Envoy. */
export interface PolicyNeeds {
  readonly name: string
  readonly revision: string
  readonly evidence: readonly string[]
  /** Of all routes whose mode is not `disabled`. */
  readonly bindings: readonly string[]
  readonly forwarders: readonly string[]
  /** Something is decided by who presents. */
  readonly presenter: boolean
  /** A thumbprint will not do: `jwk`, a rotation grace, trust bundles. */
  readonly certificate: boolean
}

/** What the admin listener answers at /evidence. */
export interface EvidenceReport {
  readonly policy: PolicyNeeds
  readonly evidence: EvidenceSummary
}

type Header =
  | { readonly kind: 'absent' | 'ambiguous' }
  | { readonly kind: 'one'; readonly value: string }

/** The part of a decision's record that is looked at; none of its texts is kept. */
export interface SeenCheck {
  readonly decision: Decision
  readonly request:
    | {
        readonly authorization: { readonly kind: string }
        readonly dpop: { readonly kind: string }
        readonly workloadToken: { readonly kind: string }
        readonly peer: {
          readonly certificate: string
          readonly principal: string
          readonly destination: string
          readonly xfcc: Header
        }
      }
    | undefined
  /** Unix milliseconds. */
  readonly time: number
}

export interface EvidenceSeen {
  /** Counts one check: no allocation, and no text is looked at twice. */
  observe(check: SeenCheck): void
  summary(): EvidenceSummary
}

/** @param since Unix milliseconds. */
export function createEvidenceSeen(since: number): EvidenceSeen {
  let checks = 0
  const kinds = {
    certificate: createKind(),
    xfcc: createKind(),
    principal: createKind(),
    none: createKind(),
  }
  const signs = createCounts(evidenceSigns)
  const refusals = createCounts(evidenceRefusals)

  function observePeer(
    { certificate, principal, destination, xfcc }: NonNullable<SeenCheck['request']>['peer'],
    time: number,
  ): void {
    const forwarded = xfcc.kind !== 'absent'
    if (certificate !== '') note(kinds.certificate, time)
    if (forwarded) note(kinds.xfcc, time)
    if (principal !== '') note(kinds.principal, time)
    if (certificate === '' && !forwarded && principal === '') note(kinds.none, time)
    if (destination !== '') signs.destination++
    if (principal !== '') {
      if (!principal.startsWith('spiffe://')) signs.principalNotSpiffe++
      if (certificate === '') signs.principalWithoutCertificate++
      if (certificate === '' && !forwarded) signs.principalAlone++
    }
    if (!forwarded) return
    if (principal === '') signs.xfccWithoutPrincipal++
    if (xfcc.kind !== 'one') return
    if (!namesUri(xfcc.value)) signs.xfccWithoutUri++
    if (certificate === '' && holdsCertificate(xfcc.value)) signs.xfccWithCertificate++
  }

  return {
    observe({ request, decision, time }) {
      if (request === undefined) return
      checks++
      observePeer(request.peer, time)
      if (request.authorization.kind !== 'absent') signs.authorization++
      if (request.dpop.kind !== 'absent') signs.dpop++
      if (request.workloadToken.kind !== 'absent') signs.workloadToken++
      if (decision.verdict === 'deny' && isCounted(decision.reason)) refusals[decision.reason]++
    },
    summary: () => ({
      since,
      checks,
      kinds: {
        certificate: { ...kinds.certificate },
        xfcc: { ...kinds.xfcc },
        principal: { ...kinds.principal },
        none: { ...kinds.none },
      },
      signs: { ...signs },
      refusals: { ...refusals },
    }),
  }
}

/**
 * Envoy's own spelling, in text or JSON form, wherever it stands: the grammar would cost more than all the counting. A
 * client can write the same in front, which makes a count wrong and no decision.
 */
function namesUri(xfcc: string): boolean {
  return xfcc.includes(xfcc.startsWith('[') ? '"uri"' : ';URI=')
}

function holdsCertificate(xfcc: string): boolean {
  return xfcc.includes(xfcc.startsWith('[') ? '"cert"' : ';Cert=')
}

function isCounted(reason: Reason): reason is EvidenceRefusal {
  return (evidenceRefusals as readonly Reason[]).includes(reason)
}

type Kind = { count: number; firstAt: number | null; lastAt: number | null }

function createKind(): Kind {
  return { count: 0, firstAt: null, lastAt: null }
}

function note(kind: Kind, time: number): void {
  kind.count++
  kind.firstAt ??= time
  kind.lastAt = time
}

function createCounts<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
}

/** The part of a compiled policy that is looked at. `require` is a requirement, or the word that there is none. */
interface JudgedPolicy {
  readonly name: string
  readonly revision: string
  readonly peer: {
    readonly evidence: readonly string[]
    readonly forwarders: ReadonlyMap<string, unknown>
    readonly trust: unknown
  }
  readonly routes: readonly {
    readonly mode: string
    readonly require: object
    readonly presenterHeader: boolean
  }[]
}

interface JudgedRequirement {
  readonly bindings: ReadonlySet<string>
  readonly callers: unknown
  readonly bindingRules: { readonly rotation: unknown }
}

export function readNeeds({ name, revision, peer, routes }: JudgedPolicy): PolicyNeeds {
  const live = routes.filter(({ mode }) => mode !== 'disabled')
  const required = live.flatMap(({ require }) => (isRequirement(require) ? [require] : []))
  const bindings = [...new Set(required.flatMap((requirement) => [...requirement.bindings]))]
  return {
    name,
    revision,
    evidence: peer.evidence,
    bindings,
    forwarders: [...peer.forwarders.keys()],
    presenter:
      bindings.some((binding) => ['x5t#S256', 'jwk', 'spiffe'].includes(binding)) ||
      required.some(({ callers }) => callers !== undefined) ||
      live.some(({ presenterHeader }) => presenterHeader),
    certificate:
      bindings.includes('jwk') ||
      required.some(({ bindingRules }) => bindingRules.rotation !== undefined) ||
      peer.trust !== undefined,
  }
}

function isRequirement(require: object): require is JudgedRequirement {
  return 'bindings' in require
}
