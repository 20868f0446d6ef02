/** The SPIFFE ID grammar and nothing else: SPIFFE-ID.md §2, in the strict reading that has one spelling per identity. */

declare const parsed: unique symbol

/** A string that `parseSpiffeId` accepted: `spiffe://<trust domain>[/<segment>…]`. */
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
