/**
 * Verifies a peer's leaf against the bundle of its own trust domain (RFC 5280 §6, X509-SVID §5), where Envoy was told to
 * let certificates of unknown CAs through. `pkijs` judges signatures, validity, names, policies and name constraints of
 * a path; finding the path, and what pkijs leaves out, is done here.
 */

import {
  BasicConstraints,
  Certificate,
  CertificateChainValidationEngine,
  type Extension,
  ExtKeyUsage,
  getHashAlgorithm,
  NameConstraints,
} from 'pkijs'
import { type Refusal, refuse } from '../decision/decision.ts'
import type { CertificateFacts } from './certificate.ts'
import { readDer } from './der.ts'
import { readLeaf } from './leaf.ts'
import { isSelfSigned, splitBundle } from './trust-bundle.ts'
import { rememberVerified, type Validity } from './trust-memory.ts'
import { hasOneForm, issuerFlaw, type Link, leafFlaw, pathsOf, validityOf } from './trust-paths.ts'

export interface TrustStore {
  /** Takes the PEM text of a trust domain's bundle; returns what is wrong with it (then the one before stays), or undefined. */
  replace(trustDomain: string, pem: string): string | undefined
  /**
   * Undefined where the leaf chains to an anchor of its own trust domain's bundle now; else a refusal `presenter_invalid`
   * (detail: fixed words only, never values from the certificate). A leaf verified before is answered at once (no
   * promise) until the first notAfter of its path or until the bundle is replaced.
   */
  verify(
    leaf: CertificateFacts,
    chain: readonly Uint8Array[],
    now: number,
  ): Refusal | undefined | Promise<Refusal | undefined>
}

/** One certificate, read once. */
interface Member extends Link {
  readonly certificate: Certificate
}

interface Bundle {
  readonly trustDomain: string
  readonly anchors: readonly Member[]
  readonly intermediates: readonly Member[]
}

const maxChain = 8
const maxDerBytes = 16 * 1024

const keyUsage = '2.5.29.15'
const basicConstraints = '2.5.29.19'
const nameConstraints = '2.5.29.30'
const extendedKeyUsage = '2.5.29.37'
/** What is judged here or by pkijs: besides those, subjectAltName and the four about policies. */
const knownExtensions = new Set([
  ...[keyUsage, basicConstraints, nameConstraints, extendedKeyUsage, '2.5.29.17'],
  ...['2.5.29.32', '2.5.29.33', '2.5.29.36', '2.5.29.54'],
])
const strongHashes = new Set(['SHA-256', 'SHA-384', 'SHA-512'])

const invalid = (detail: string): Refusal => refuse('presenter_invalid', detail)

/** One bundle for each trust domain, and none is ever looked at for another's leaf. */
export function createTrustStore(): TrustStore {
  const bundles = new Map<string, { readonly pem: string; readonly verify: TrustStore['verify'] }>()
  return {
    replace(trustDomain, pem) {
      // A file that is polled comes again as it was: what was verified stays known.
      if (bundles.get(trustDomain)?.pem === pem) return undefined
      const bundle = readBundle(trustDomain, pem)
      if (typeof bundle === 'string') return bundle
      const verify = rememberVerified((...question) => search(bundle, ...question))
      bundles.set(trustDomain, { pem, verify })
      return undefined
    },
    verify(leaf, chain, now) {
      const bundle = bundles.get(leaf.trustDomain)
      if (bundle === undefined) return invalid('no trust bundle for the trust domain has been read')
      return bundle.verify(leaf, chain, now)
    },
  }
}

function readBundle(trustDomain: string, pem: string): Bundle | string {
  const ders = splitBundle(pem)
  if (typeof ders === 'string') return ders
  const anchors: Member[] = []
  const intermediates: Member[] = []
  for (const [at, der] of ders.entries()) {
    const member = readMember(der)
    const flaw = member === undefined ? 'it cannot be read' : issuerFlaw(member, trustDomain)
    if (member === undefined || flaw !== undefined) {
      return `block ${at + 1} of the bundle is not taken, ${flaw}: take it out, or have it issued anew`
    }
    const isAnchor = member.subject === member.issuer && isSelfSigned(der)
    if (isAnchor) anchors.push(member)
    else intermediates.push(member)
  }
  if (anchors.length > 0) return { trustDomain, anchors, intermediates }
  return 'the bundle has no self-signed CA certificate: add the trust domain’s root'
}

/** Where the first valid path of the leaf is valid, or why there is none. Never rejects. */
async function search(
  bundle: Bundle,
  { der }: CertificateFacts,
  chain: readonly Uint8Array[],
  now: number,
): Promise<Validity | Refusal> {
  const leaf = readMember(der)
  if (leaf === undefined) return invalid('the certificate cannot be read')
  const flaw = leafFlaw(leaf)
  if (flaw !== undefined) return invalid(flaw)
  const intermediates = [...bundle.intermediates, ...readChain(bundle, chain)]
  let reason = 'no CA of the trust domain’s bundle issued the certificate'
  for (const path of pathsOf([leaf], bundle.anchors, intermediates)) {
    const judged = await judge(path, now)
    if (typeof judged !== 'string') return judged
    reason = judged
  }
  return invalid(reason)
}

/** What came with the leaf may lead to an anchor and is never one. What is of no use is passed over. */
function readChain(bundle: Bundle, chain: readonly Uint8Array[]): readonly Member[] {
  const own = new Set([...bundle.anchors, ...bundle.intermediates].map((each) => each.signedPart))
  return chain
    .slice(0, maxChain)
    .filter(({ length }) => length <= maxDerBytes)
    .map(readMember)
    .filter((member) => member !== undefined)
    .filter((member) => !own.has(member.signedPart))
    .filter((member) => issuerFlaw(member, bundle.trustDomain) === undefined)
}

async function judge(path: readonly Member[], now: number): Promise<Validity | string> {
  const validity = validityOf(path, now)
  if (typeof validity === 'string') return validity
  try {
    const holds = (await isSigned(path)) && (await isValid(path, now))
    return holds ? validity : 'the path does not verify (RFC 5280 §6.1)'
  } catch {
    return 'the path cannot be verified'
  }
}

/** From the anchor down, so that no key is used before the anchor vouches for it. */
async function isSigned(path: readonly Member[]): Promise<boolean> {
  const [anchor, ...below] = path.toReversed().map(({ certificate }) => certificate)
  let signer = anchor
  for (const certificate of below) {
    const { signature, signatureAlgorithm, signatureValue } = certificate
    // RFC 5280 §4.1.1.2: the algorithm that is signed is the one that is used; pkijs does not compare.
    if (!signature.isEqual(signatureAlgorithm)) return false
    const { unusedBits, valueHexView } = signatureValue.valueBlock
    if (unusedBits !== 0 || !hasOneForm(signature.algorithmId, valueHexView)) return false
    if (!strongHashes.has(getHashAlgorithm(signatureAlgorithm))) return false
    if (!(await certificate.verify(signer))) return false
    signer = certificate
  }
  return true
}

/**
 * pkijs is given this one path and no choice: on its own it follows CAs that certify each other for ever, and where the
 * leaf comes twice it judges another certificate in its place.
 */
async function isValid(path: readonly Member[], now: number): Promise<boolean> {
  const certificates = path.map(({ certificate }) => certificate)
  const engine = new CertificateChainValidationEngine({
    trustedCerts: certificates.slice(-1),
    certs: certificates.slice(0, -1).reverse(),
    checkDate: new Date(now * 1000),
    findIssuer: async (child) => certificates.slice(certificates.indexOf(child) + 1).slice(0, 1),
  })
  // RFC 5280 §6.1.1: what the anchor itself constrains is handed in.
  const limits = extensionOf(certificates.at(-1), nameConstraints)?.parsedValue
  const { permittedSubtrees, excludedSubtrees } = limits instanceof NameConstraints ? limits : {}
  const { result } = await engine.verify({
    initialPermittedSubtreesSet: permittedSubtrees ?? [],
    initialExcludedSubtreesSet: excludedSubtrees ?? [],
  })
  const isThisPath = engine.certs.every((each, at) => each === certificates[at])
  return result && isThisPath && engine.certs.length === certificates.length
}

function readMember(der: Uint8Array): Member | undefined {
  try {
    const fields = readLeaf(der)
    // A copy of its own, which pkijs keeps views of.
    const certificate = Certificate.fromBER(new Uint8Array(der))
    if (fields === undefined) return undefined
    const { tbsView, subject, issuer, subjectPublicKeyInfo, extensions = [] } = certificate
    const limits = extensionOf(certificate, nameConstraints)?.extnValue.valueBlock.valueHexView
    return {
      ...fields,
      certificate,
      signedPart: hex(tbsView),
      subject: hex(subject.valueBeforeDecode),
      issuer: hex(issuer.valueBeforeDecode),
      keyType: subjectPublicKeyInfo.algorithm.algorithmId,
      keyUsage: keyUsageOf(certificate),
      purposes: purposesOf(certificate),
      pathLength: pathLengthOf(certificate),
      nameConstraints: limits && hex(limits),
      isUnjudged: extensions.some(isUnjudged),
    }
  } catch {
    return undefined
  }
}

function hex(bytes: ArrayBuffer | Uint8Array): string {
  return Buffer.from(new Uint8Array(bytes)).toString('hex')
}

/** None below 0 where the certificate is no CA, or the number is no number. */
function pathLengthOf(certificate: Certificate): number {
  const value = extensionOf(certificate, basicConstraints)?.parsedValue
  if (!(value instanceof BasicConstraints && value.cA)) return -1
  const { pathLenConstraint = Number.POSITIVE_INFINITY } = value
  return typeof pathLenConstraint === 'number' ? pathLenConstraint : -1
}

/** The first octet of the bits (RFC 5280 §4.2.1.3); that they are DER, readLeaf has seen. */
function keyUsageOf(certificate: Certificate): number | undefined {
  const extension = extensionOf(certificate, keyUsage)
  return extension && readDer(extension.extnValue.valueBlock.valueHexView)?.content[1]
}

function purposesOf(certificate: Certificate): readonly string[] | undefined {
  const value = extensionOf(certificate, extendedKeyUsage)?.parsedValue
  return value instanceof ExtKeyUsage ? value.keyPurposes : undefined
}

/** RFC 5280 §4.2: a critical one that is not known here. pkijs lets it through, and never looks at the leaf's. */
function isUnjudged({ extnID, critical, parsedValue }: Extension): boolean {
  if (!knownExtensions.has(extnID)) return critical
  // pkijs reads a broken extension as if it said nothing.
  return !parsedValue || ('parsingError' in parsedValue && parsedValue.parsingError !== undefined)
}

function extensionOf(certificate: Certificate | undefined, id: string): Extension | undefined {
  return certificate?.extensions?.find(({ extnID }) => extnID === id)
}
