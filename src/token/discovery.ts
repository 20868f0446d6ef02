/** Finds an issuer's JWK Set through its metadata (OpenID Connect Discovery 1.0 §4, RFC 8414 §3.3). */

import { member, parseStrictJson } from '../strict-json.ts'
import { type FetchedDocument, type FetchOptions, fetchDocument } from './fetch.ts'

/**
 * Metadata is read anew each time, so that a moved `jwks_uri` needs no restart. Its `issuer` must be the configured
 * one, and `jwks_uri` must be of the issuer's own origin: metadata is not a way to be sent elsewhere.
 */
export async function fetchDiscoveredKeys(
  issuer: string,
  options: FetchOptions = {},
): Promise<FetchedDocument> {
  const metadataUrl = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  const metadata = parseStrictJson((await fetchDocument(metadataUrl, options)).bytes)
  if (metadata === undefined) throw new Error('the discovery document is not strict JSON')
  if (member(metadata, 'issuer') !== issuer)
    throw new Error('the discovery document names another issuer')
  const jwksUri = member(metadata, 'jwks_uri')
  const url = typeof jwksUri === 'string' ? URL.parse(jwksUri) : null
  if (url === null) throw new Error('the discovery document has no jwks_uri')
  if (url.origin !== metadataUrl.origin) {
    throw new Error('jwks_uri is of another origin; write it as keys.url if it is right')
  }
  return fetchDocument(url, options)
}
