/** The kit's certificate authority: mesh certificates as a mesh issues them, and broken ones named by their defect. */

import 'reflect-metadata'
import { createHash, X509Certificate as NodeCertificate, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

cryptoProvider.set(webcrypto as typeof globalThis.crypto)

type KeyPair = webcrypto.CryptoKeyPair
type KeyAlgorithm = webcrypto.RsaHashedKeyGenParams | webcrypto.EcKeyGenParams | webcrypto.Algorithm

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

export interface Authority {
  readonly certificatePem: string
  readonly keyPem: string
  issue(options: LeafOptions): Promise<Leaf>
}

export interface LeafOptions {
  readonly spiffeId?: string
  /** In place of the one URI SAN of `spiffeId`. */
  readonly names?: JsonGeneralNames
  readonly subject?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly isAuthority?: boolean
  readonly keyUsage?: KeyUsageFlags
  /** In place of all extensions. */
  readonly extensions?: readonly Extension[]
  /** To renew a certificate for the same key. */
  readonly keys?: KeyPair
  readonly algorithm?: KeyAlgorithm
}

export interface Leaf {
  /** The first URI SAN that was asked for, or '': what Envoy makes the principal. */
  readonly spiffeId: string
  readonly pem: string
  readonly keyPem: string
  readonly keys: KeyPair
  readonly der: Buffer
  /** RFC 8705 §3.1, computed here without the code under test. */
  readonly x5tS256: string
  /** As Envoy writes it into `source.certificate`. */
  readonly envoyText: string
}

const hour = 3_600_000

export async function createAuthority(name = 'mesh.example'): Promise<Authority> {
  const keys = await generate(ecdsa)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - hour),
    notAfter: new Date(Date.now() + 24 * hour),
    signingAlgorithm: ecdsa,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      new SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${name}` }]),
    ],
  })
  return {
    certificatePem: certificate.toString('pem'),
    keyPem: await privatePem(keys),
    issue: (options) => issue(certificate, keys, options),
  }
}

export interface SignerOptions {
  readonly name?: string
  /** Its own URI SAN, if any. */
  readonly uri?: string
  /** Absent: self-signed. */
  readonly issuer?: Signer
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly isAuthority?: boolean
  readonly pathLength?: number
  /** `undefined` for keyCertSign, `null` for no such extension. */
  readonly keyUsage?: KeyUsageFlags | null
  readonly more?: readonly Extension[]
  /** With `hash`: what it signs with. */
  readonly algorithm?: KeyAlgorithm
  /** To certify a key again. */
  readonly keys?: KeyPair
}

/** A CA at any place in a path, sound or not. */
export interface Signer {
  readonly name: string
  readonly keys: KeyPair
  readonly algorithm: KeyAlgorithm
  readonly der: Buffer
  readonly pem: string
  issue(options: LeafOptions): Promise<Leaf>
}

export async function createSigner(options: SignerOptions = {}): Promise<Signer> {
  const { issuer, name = 'mesh.example', algorithm = ecdsa } = options
  const keys = options.keys ?? (await generate(algorithm))
  const usage = options.keyUsage === undefined ? KeyUsageFlags.keyCertSign : options.keyUsage
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: options.notBefore ?? new Date(Date.now() - hour),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * hour),
    signingAlgorithm: issuer?.algorithm ?? algorithm,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: [
      new BasicConstraintsExtension(options.isAuthority ?? true, options.pathLength, true),
      ...(usage === null ? [] : [new KeyUsagesExtension(usage, true)]),
      ...(options.uri === undefined
        ? []
        : [new SubjectAlternativeNameExtension([{ type: 'url', value: options.uri }])]),
      ...(options.more ?? []),
    ],
  })
  const der = Buffer.from(certificate.rawData)
  return {
    name,
    keys,
    algorithm,
    der,
    pem: pemOf(der),
    issue: (leaf) => issue(certificate, keys, leaf, algorithm),
  }
}

async function issue(
  issuer: X509Certificate,
  issuerKeys: KeyPair,
  options: LeafOptions,
  signingAlgorithm: KeyAlgorithm = ecdsa,
): Promise<Leaf> {
  const keys = options.keys ?? (await generate(options.algorithm ?? ecdsa))
  const names = options.names ?? [
    { type: 'url' as const, value: options.spiffeId ?? 'spiffe://mesh.example/ns/test/sa/default' },
  ]
  const certificate = await X509CertificateGenerator.create({
    subject: options.subject ?? '',
    issuer: issuer.subject,
    notBefore: options.notBefore ?? new Date(Date.now() - hour),
    notAfter: options.notAfter ?? new Date(Date.now() + hour),
    signingAlgorithm,
    publicKey: keys.publicKey,
    signingKey: issuerKeys.privateKey,
    extensions: [
      ...(options.extensions ?? [
        new BasicConstraintsExtension(options.isAuthority ?? false, undefined, true),
        new KeyUsagesExtension(options.keyUsage ?? KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth]),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names, true)]),
      ]),
    ],
  })
  const first = names.find(({ type }) => type === 'url')?.value ?? ''
  return describeLeaf(String(first), certificate.toString('pem'), keys, await privatePem(keys))
}

function describeLeaf(spiffeId: string, pem: string, keys: KeyPair, keyPem: string): Leaf {
  const der = new NodeCertificate(pem).raw
  return {
    spiffeId,
    pem: pemOf(der),
    keyPem,
    keys,
    der,
    x5tS256: x5tS256Of(der),
    envoyText: envoyTextOf(pemOf(der)),
  }
}

export function x5tS256Of(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url')
}

/** PEM as BoringSSL writes it: 64 columns, LF, a newline at the end. */
export function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** Envoy percent-encodes newline, space, `+`, `/` and `=` and leaves the rest (envoy: check_request_utils). */
export function envoyTextOf(pem: string): string {
  return pem.replace(
    /[\n +/=]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

async function generate(algorithm: KeyAlgorithm): Promise<KeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as KeyPair
}

async function privatePem(keys: KeyPair): Promise<string> {
  return PemConverter.encode(
    await webcrypto.subtle.exportKey('pkcs8', keys.privateKey),
    'PRIVATE KEY',
  )
}
