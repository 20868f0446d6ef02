/** Reads the peer's leaf certificate as Envoy sends it, and remembers what it says; time and policy are judged elsewhere. */

import { createHash, type JsonWebKey, X509Certificate } from 'node:crypto'
import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { type CacheState, createTextCache, signature } from '../text-cache.ts'
import { readLeaf } from './leaf.ts'
import { hasPath, parseSpiffeId, type SpiffeId, trustDomainOf } from './spiffe-id.ts'

/** What one certificate text says: true until `notAfter`, whatever the policy. */
export interface CertificateFacts {
  readonly spiffeId: SpiffeId
  readonly trustDomain: string
  /** The certificate itself, for whoever verifies its chain. */
  readonly der: Buffer
  /** RFC 8705 §3.1: base64url of SHA-256 over the DER certificate. */
  readonly x5tS256: string
  /** Unix seconds; the validity is inclusive on both ends (RFC 5280 §4.1.2.5). */
  readonly notBefore: number
  readonly notAfter: number
  /** The public key, or undefined where JWK has no form for it. */
  readonly publicJwk: JsonWebKey | undefined
}

export interface CertificateReader {
  /** Facts of a percent-encoded PEM leaf, or `presenter_invalid`. Chain and validity are NOT checked here. */
  read(text: string): CertificateFacts | Refusal
  /** Of good ones. */
  readonly cache: CacheState
}

const maxTextLength = 32 * 1024
const maxChainLength = 64 * 1024
const maxChainBlocks = 8
const maxDerBytes = 16 * 1024
const factOverheadBytes = 2 * 1024
const maxBadBytes = 1024 * 1024

/**
 * A reader that keeps facts by certificate text: within `maxBytes` for good ones and, apart from them so that junk
 * cannot push them out, within 1 MiB for bad ones.
 */
export function createCertificateReader(maxBytes = 64 * 1024 * 1024): CertificateReader {
  // Once for the text, once more (and less) for the DER.
  const bytesOf = (text: string) => 2 * text.length + factOverheadBytes
  const good = createTextCache<CertificateFacts>(maxBytes, bytesOf, signature)
  const bad = createTextCache<Refusal>(maxBadBytes, bytesOf, signature)
  return {
    cache: good,
    read(text) {
      const known = good.get(text) ?? bad.get(text)
      if (known !== undefined) return known
      const facts = parseCertificate(text)
      if (!isRefusal(facts)) good.set(text, facts)
      else if (text.length <= maxTextLength) bad.set(text, facts)
      return facts
    },
  }
}

function parseCertificate(text: string): CertificateFacts | Refusal {
  const der = decodePem(text)
  if (der === undefined) return invalid('not one percent-encoded PEM block')
  try {
    return readFacts(der)
  } catch {
    return invalid('not well-formed DER')
  }
}

/** One block, LF line ends, canonical base64: exactly what Envoy writes (envoy: check_request_utils). */
const pem =
  /^-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/]{1,64}={0,2}\n)+)-----END CERTIFICATE-----\n?$/

function decodePem(text: string): Buffer | undefined {
  const plain = percentDecode(text, maxTextLength)
  return plain === undefined ? undefined : decodeBlock(plain)
}

/** Envoy's XFCC `Chain`: 1 to 8 blocks, each as strict as a leaf's; undefined for anything else. */
export function decodeChain(text: string): readonly Buffer[] | undefined {
  const plain = percentDecode(text, maxChainLength)
  const texts = plain?.split(/(?<=-----END CERTIFICATE-----\n)/, maxChainBlocks + 1) ?? []
  const blocks = texts.map(decodeBlock).filter((der) => der !== undefined)
  const complete = blocks.length === texts.length && blocks.length > 0
  return complete && blocks.length <= maxChainBlocks ? blocks : undefined
}

function percentDecode(text: string, maxLength: number): string | undefined {
  if (text.length > maxLength) return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function decodeBlock(plain: string): Buffer | undefined {
  const base64 = pem.exec(plain)?.[1]?.replaceAll('\n', '')
  if (base64 === undefined) return undefined
  const der = Buffer.from(base64, 'base64')
  if (der.length > maxDerBytes || der.toString('base64') !== base64) return undefined
  return der
}

function readFacts(der: Buffer): CertificateFacts | Refusal {
  const x509 = new X509Certificate(der)
  // OpenSSL stops at the end of the certificate; bytes after it would let one certificate have two texts.
  if (!x509.raw.equals(der)) return invalid('bytes after the certificate')
  const leaf = readLeaf(der)
  if (leaf === undefined) return invalid('not a certificate in DER (RFC 5280 §4.1)')
  if (x509.ca || leaf.mayCertify) {
    return invalid('a signing certificate is not a workload (X509-SVID §4)')
  }
  if (leaf.uriNames.length > 0 && x509.subjectAltName === undefined) {
    return invalid('names that OpenSSL cannot read (RFC 5280 §4.2.1.6)')
  }
  const [uri, ...others] = leaf.uriNames
  if (uri === undefined) return invalid('no URI SAN (X509-SVID §2)')
  if (others.length > 0) return invalid('more than one URI SAN (X509-SVID §2)')
  const spiffeId = parseSpiffeId(uri)
  if (spiffeId === undefined) return invalid('the URI SAN is not a SPIFFE ID')
  if (!hasPath(spiffeId)) return invalid('the SPIFFE ID has no path (X509-SVID §5.2)')
  return Object.freeze({
    spiffeId,
    trustDomain: trustDomainOf(spiffeId),
    // Not `der`, which is a view of a pooled slab and would keep all of it.
    der: x509.raw,
    x5tS256: createHash('sha256').update(der).digest('base64url'),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    publicJwk: publicJwkOf(x509),
  })
}

function publicJwkOf(x509: X509Certificate): JsonWebKey | undefined {
  try {
    return x509.publicKey.export({ format: 'jwk' })
  } catch {
    return undefined
  }
}

function invalid(detail: string): Refusal {
  return refuse('presenter_invalid', detail)
}
