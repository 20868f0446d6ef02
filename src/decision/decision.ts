/** A decision is one value: everything that Envoy, the log and the metrics are told is derived from it. */

import type { Reason } from './reasons.ts'

/**
 * A stage that does not hand a proven value on returns a refusal. `detail` is for the decision log alone: fixed
 * words and names from specifications, never a value that came with the request.
 */
export interface Refusal {
  readonly refused: Reason
  readonly detail: string
}

export function refuse(refused: Reason, detail = ''): Refusal {
  return { refused, detail }
}

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'refused' in value
}

declare const grounds: unique symbol

/**
 * Why an allow is an allow. There are three kinds: a `Confirmed` (minted by confirmation/confirm.ts alone), an
 * `Unprotected` (minted by policy/compile.ts alone, where the operator wrote `require: none` or `unmatched: allow`)
 * and a `Waiver` (minted there too, where the operator wrote `mode: audit` or `mode: disabled`). A check that was
 * forgotten therefore does not compile.
 */
export interface Grounds {
  readonly [grounds]: 'confirmed' | 'unprotected' | 'waiver'
}

/** What comes of a decision: it is the answer, it is only recorded, or none is made (policy.md, Modes). */
export const modes = ['enforce', 'audit', 'disabled'] as const
export type Mode = (typeof modes)[number]

/** What was found on the way, for the log and the metadata. Every field is undefined until it has been established. */
export interface Findings {
  readonly route?: string | undefined
  readonly presenter?:
    | {
        readonly spiffeId: string
        readonly x5tS256: string | undefined
        readonly evidence: string
      }
    | undefined
  /** SPIFFE ID of the workload at the other end of the connection; the presenter, unless it forwards. */
  readonly peer?: string | undefined
  /** SPIFFE IDs of the forwarders that relayed the request, the nearest first. */
  readonly forwarders?: readonly string[] | undefined
  readonly token?:
    | {
        /** The issuer's name in the policy. */
        readonly issuer: string
        readonly subject: string
        readonly tokenId: string | undefined
        readonly keyId: string | undefined
        /** `cnf` as it came; the log shows the names of its members and nothing more. */
        readonly confirmation: unknown
        /** `sub` of each actor (RFC 8693 §4.1), the current one first. */
        readonly actors?: readonly string[] | undefined
        /** Unix seconds. */
        readonly issuedAt: number
        readonly expiresAt: number
      }
    | undefined
  /** The confirmation method that was satisfied; `none` on an unprotected route. */
  readonly method?: string | undefined
  /** Whether the token's signature had been verified before. */
  readonly cache?: 'hit' | 'miss' | undefined
}

export type AuthorizationScheme = 'Bearer' | 'DPoP'

/** How a refused client may authenticate: set by the route, used by the challenge. */
export interface ChallengeContext {
  readonly realm: string
  readonly scopes: readonly string[]
  /** The schemes that the route takes, Bearer first. */
  readonly schemes: readonly AuthorizationScheme[]
  /** The one that the request used, where that much could be read. */
  readonly used: AuthorizationScheme | undefined
  /** JOSE algorithms of DPoP proofs (RFC 9449 §7.1, `algs`). */
  readonly proofAlgorithms: readonly string[]
}

/** The challenge of a service about which nothing more is known. */
export const bearerOnly: Omit<ChallengeContext, 'realm'> = {
  scopes: [],
  schemes: ['Bearer'],
  used: undefined,
  proofAlgorithms: [],
}

interface DecisionBase {
  readonly mode: Mode
  /** Whether the answer to Envoy is this decision: in mode enforce alone. */
  readonly enforced: boolean
  readonly policyRevision: string
  readonly findings: Findings
  /** Headers for the client on either answer: a fresh DPoP-Nonce (RFC 9449 §8.2, §9). */
  readonly responseHeaders: readonly (readonly [name: string, value: string])[]
}

export interface Allow extends DecisionBase {
  readonly verdict: 'allow'
  readonly grounds: Grounds
  /** Headers to set on the request to the upstream, overwriting what the client sent. */
  readonly setHeaders: readonly (readonly [name: string, value: string])[]
  /** Headers to take off the request to the upstream. */
  readonly removeHeaders: readonly string[]
  /** In mode audit: names of the headers that enforce would have set and removed besides. */
  readonly withheld: HeaderChanges | undefined
}

export interface HeaderChanges {
  readonly set: readonly string[]
  readonly remove: readonly string[]
}

export interface Deny extends DecisionBase {
  readonly verdict: 'deny'
  readonly reason: Reason
  readonly detail: string
  readonly challenge: ChallengeContext
  /** Set where the operator asked to watch only: the refusal is recorded, and Envoy is told to allow. */
  readonly waived:
    | { readonly grounds: Grounds; readonly removeHeaders: readonly string[] }
    | undefined
}

export type Decision = Allow | Deny

/** A refusal that no policy softens: there is none to ask yet, or it could not be asked. */
export function denyOutright(reason: Reason, detail = ''): Deny {
  return {
    verdict: 'deny',
    reason,
    detail,
    challenge: { realm: 'meshbind', ...bearerOnly },
    mode: 'enforce',
    enforced: true,
    policyRevision: '',
    findings: {},
    responseHeaders: [],
    waived: undefined,
  }
}
