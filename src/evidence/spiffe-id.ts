/** The grammar of workload identifiers and nothing else: SPIFFE-ID.md §2 and its twin, the scheme `wimse`, in the strict reading that has one spelling per identity. */

declare const parsed: unique symbol

/** A string that was accepted here: `spiffe://<trust domain>[/<segment>…]`, or from a WIT the same with `wimse://`. */
export type SpiffeId = string & { readonly [parsed]: true }

const maxLength = 2048

/**
 *     id           = "spiffe://" trust-domain *( "/" segment )      at most 2048 bytes
 *     trust-domain = 1*255( %x61-7A / DIGIT / "." / "-" / "_" )
 *     segment      = 1*( ALPHA / DIGIT / "." / "-" / "_" )          but not "." or ".."
 *
 * SPIFFE-ID §2.4 calls scheme and trust domain case-insensitive; accepting upper case would give one identity two
 * spellings, so it is refused, as in the reference implementations.
 */
export const spiffeIdGrammar = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)*$/
const dotSegment = /\/\.{1,2}(?:\/|$)/
export const trustDomainGrammar = /^[a-z0-9._-]{1,255}$/

const scheme = 'spiffe://'

/** The text as a SPIFFE ID, or undefined. An ID without a path is valid here; X509-SVIDs need one (`hasPath`). */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > maxLength || !spiffeIdGrammar.test(text)) return undefined
  if (dotSegment.test(text.slice(scheme.length))) return undefined
  return text as SpiffeId
}

export function trustDomainOf(id: SpiffeId): string {
  const slash = id.indexOf('/', scheme.length)
  return slash === -1 ? id.slice(scheme.length) : id.slice(scheme.length, slash)
}

/** X509-SVID §5.2: a leaf without a path is a signing certificate's name, not a workload. */
export function hasPath(id: SpiffeId): boolean {
  return id.indexOf('/', scheme.length) !== -1
}

/**
 * A SPIFFE ID with a path. Envoy fills principal and `URI` with whatever the certificate says, so only a text that is
 * one as a whole is believed.
 */
export function workloadId(text: string | undefined): SpiffeId | undefined {
  const spiffeId = text === undefined ? undefined : parseSpiffeId(text)
  return spiffeId !== undefined && hasPath(spiffeId) ? spiffeId : undefined
}

export const workloadIdSchemes = ['spiffe', 'wimse'] as const
export type WorkloadIdScheme = (typeof workloadIdSchemes)[number]

/** Keys that sign for `spiffe://td/…` say nothing of `wimse://td/…` unless the operator says so. */
export const defaultSchemes: readonly WorkloadIdScheme[] = ['spiffe']

export interface WorkloadIdentifier {
  /** The whole URI: only a comparison of all of it is one (draft-ietf-wimse-identifier §4). */
  readonly id: SpiffeId
  readonly scheme: WorkloadIdScheme
  readonly trustDomain: string
}

/**
 * The text as the identifier of a workload, or undefined. draft-ietf-wimse-identifier takes more spellings of a
 * path; those with a second spelling (escapes, dot segments) are refused, as SPIFFE does.
 */
export function parseWorkloadIdentifier(text: string): WorkloadIdentifier | undefined {
  const found = workloadIdSchemes.find((name) => text.startsWith(`${name}://`))
  if (found === undefined) return undefined
  const twin = workloadId(`spiffe${text.slice(found.length)}`)
  return twin && { id: text as SpiffeId, scheme: found, trustDomain: trustDomainOf(twin) }
}
