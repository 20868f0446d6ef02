/** Certification paths by name, and what can be said of them without a look at a signature (RFC 5280 §6.1). */

import { readDer, readDerSequence } from './der.ts'
import { isWithin, type Validity } from './trust-memory.ts'

/** One certificate of a path. Names and the signed part are their bytes in hex, to be compared. */
export interface Link extends Validity {
  readonly signedPart: string
  readonly subject: string
  readonly issuer: string
  readonly uriNames: readonly string[]
  /** The object identifier of the public key's algorithm. */
  readonly keyType: string
  /** The first octet of the bits, where there are any. */
  readonly keyUsage: number | undefined
  /** extendedKeyUsage, where there is one. */
  readonly purposes: readonly string[] | undefined
  /** How many intermediates may follow (RFC 5280 §4.2.1.9): any number at infinity; below 0 where it is no CA. */
  readonly pathLength: number
  readonly nameConstraints: string | undefined
  /** It has a critical extension that is not known, or a known one that is malformed. */
  readonly isUnjudged: boolean
}

const digitalSignature = 0x80
const keyCertSign = 0x04
const clientAuthOrAny = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0']
/** rsaEncryption, RSASSA-PSS, ecPublicKey: what pkijs verifies with. */
const keyTypes = ['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.10', '1.2.840.10045.2.1']

const ecdsa = '1.2.840.10045.4.'
const sequence = 0x30
const integer = 0x02

/** How many intermediates one search may try: a sender may send CAs that certify each other. */
const maxSteps = 16

/**
 * From the leaf to an anchor. Issuer and subject are the same bytes (RFC 5280 §4.1.2.6), and no certificate comes twice
 * (§6.1).
 */
export function* pathsOf<Each extends Link>(
  path: readonly Each[],
  anchors: readonly Each[],
  intermediates: readonly Each[],
  budget = { steps: maxSteps },
): Generator<readonly Each[]> {
  const issuer = path.at(-1)?.issuer
  for (const anchor of anchors) if (anchor.subject === issuer) yield [...path, anchor]
  for (const next of intermediates) {
    const comesTwice = path.some(({ signedPart }) => signedPart === next.signedPart)
    if (next.subject !== issuer || comesTwice) continue
    if (budget.steps-- <= 0) return
    yield* pathsOf([...path, next], anchors, intermediates, budget)
  }
}

/** Why a certificate cannot issue for the trust domain, whatever path it is on. */
export function issuerFlaw(member: Link, trustDomain: string): string | undefined {
  if (member.pathLength < 0 || ((member.keyUsage ?? 0) & keyCertSign) === 0) {
    return 'it is not a CA certificate (basicConstraints cA, keyUsage keyCertSign)'
  }
  const names = member.uriNames.filter((name) => /^spiffe:/i.test(name))
  if (names.some((name) => name !== `spiffe://${trustDomain}`)) {
    return 'its SPIFFE ID is not that of the trust domain (X509-SVID §3)'
  }
  return keyTypes.includes(member.keyType) ? flawOf(member) : 'its key is neither RSA nor EC'
}

export function leafFlaw(leaf: Link): string | undefined {
  const signs = leaf.keyUsage === undefined || (leaf.keyUsage & digitalSignature) !== 0
  return signs ? flawOf(leaf) : 'keyUsage without digitalSignature (X509-SVID §4.3)'
}

function flawOf({ purposes, isUnjudged }: Link): string | undefined {
  if (isUnjudged) return 'a critical extension is unknown, or an extension malformed'
  // Asked of CAs as well where they have the extension, as OpenSSL and Go do.
  if (purposes === undefined || purposes.some((each) => clientAuthOrAny.includes(each))) return
  return 'extendedKeyUsage without clientAuth (X509-SVID §4.4)'
}

/** When every certificate of the path is valid, or why it is no path now; signatures, names and policies apart. */
export function validityOf(path: readonly Link[], now: number): Validity | string {
  const validity = {
    notBefore: Math.max(...path.map(({ notBefore }) => notBefore)),
    notAfter: Math.min(...path.map(({ notAfter }) => notAfter)),
  }
  if (!isWithin(validity, now)) return 'the path is outside its validity (RFC 5280 §6.1.3)'
  if (!keepsPathLengths(path)) return 'the path is longer than a CA allows (RFC 5280 §6.1.4)'
  // Of several constraints pkijs takes what any permits; RFC 5280 §6.1.4 (g) takes what all permit.
  const constraints = new Set(path.flatMap((each) => each.nameConstraints ?? []))
  return constraints.size > 1 ? 'the path has more than one set of name constraints' : validity
}

/** RFC 5280 §4.2.1.9, §6.1.4 (l): self-issued intermediates do not count, and neither does the leaf. */
function keepsPathLengths(path: readonly Link[]): boolean {
  return path.slice(1).every(({ pathLength }, at) => {
    const between = path.slice(1, at + 1)
    return between.filter(({ issuer, subject }) => issuer !== subject).length <= pathLength
  })
}

/** RFC 3279 §2.2.3: two positive integers in DER. pkijs takes other forms, which give one certificate many thumbprints. */
export function hasOneForm(algorithm: string, signature: Uint8Array): boolean {
  if (!algorithm.startsWith(ecdsa)) return true
  const both = readDer(signature)
  const numbers = both?.tag === sequence ? (readDerSequence(both.content) ?? []) : []
  return (
    numbers.length === 2 &&
    numbers.every(({ tag, content: [first = 0x80, second = 0x80] }) => {
      return tag === integer && first < 0x80 && (first > 0 || second >= 0x80)
    })
  )
}
