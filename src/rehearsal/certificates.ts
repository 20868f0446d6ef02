/**
 * Mints a trust domain's CA and the workloads' certificates (RFC 5280 §4.1, X509-SVID), in memory and for one run. They
 * are written here because a PKI library would have to be given every name and extension in ASN.1 all the same.
 */

import {
  createHash,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { writeBits, writeDer, writeIdentifier, writeSequence, writeTime } from './der.ts'

export interface Authority {
  /** What a trust bundle holds. */
  readonly pem: string
  issue(plan: LeafPlan): Leaf
}

export interface LeafPlan {
  readonly spiffeId: string
  /** Unix seconds. */
  readonly notBefore: number
  readonly notAfter: number
  readonly keys: KeyPair
}

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export interface Leaf {
  readonly spiffeId: string
  /** RFC 8705 §3.1. */
  readonly x5tS256: string
  /** The same digest as XFCC's `Hash` has it. */
  readonly hash: string
  /** As Envoy writes it into `source.certificate` and XFCC's `Cert`. */
  readonly envoyText: string
  readonly publicJwk: JsonWebKey
}

const yearSeconds = 365 * 24 * 3600

const ecdsaWithSha256 = writeSequence(writeIdentifier('2a8648ce3d040302'))
const commonName = writeIdentifier('550403')
const basicConstraints = writeIdentifier('551d13')
const keyUsage = writeIdentifier('551d0f')
const extendedKeyUsage = writeIdentifier('551d25')
const subjectAltName = writeIdentifier('551d11')
const serverAuth = writeIdentifier('2b06010505070301')
const clientAuth = writeIdentifier('2b06010505070302')
const isTrue = Buffer.from([0x01, 0x01, 0xff])
const digitalSignature = writeBits(Buffer.from([0x80]), 7)
const keyCertSign = writeBits(Buffer.from([0x04]), 2)

export function createKeyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** @param now Unix seconds: it is valid for a year before and after. */
export function createAuthority(trustDomain: string, now: number): Authority {
  const keys = createKeyPair()
  const name = nameOf(trustDomain)
  const own = writeCertificate({
    issuer: name,
    subject: name,
    validity: [now - yearSeconds, now + yearSeconds],
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      critical(basicConstraints, writeSequence(isTrue)),
      critical(keyUsage, keyCertSign),
      optional(subjectAltName, uriName(`spiffe://${trustDomain}`)),
    ],
  })
  return {
    pem: pemOf(own),
    issue(plan) {
      const der = writeCertificate({
        issuer: name,
        subject: writeSequence(),
        validity: [plan.notBefore, plan.notAfter],
        publicKey: plan.keys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          critical(basicConstraints, writeSequence()),
          critical(keyUsage, digitalSignature),
          optional(extendedKeyUsage, writeSequence(serverAuth, clientAuth)),
          // RFC 5280 §4.2.1.6: critical, because the subject is empty.
          critical(subjectAltName, uriName(plan.spiffeId)),
        ],
      })
      return {
        spiffeId: plan.spiffeId,
        x5tS256: createHash('sha256').update(der).digest('base64url'),
        hash: createHash('sha256').update(der).digest('hex'),
        envoyText: envoyTextOf(der),
        publicJwk: plan.keys.publicKey.export({ format: 'jwk' }),
      }
    },
  }
}

interface CertificateParts {
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly validity: readonly [notBefore: number, notAfter: number]
  readonly publicKey: KeyObject
  readonly signingKey: KeyObject
  readonly extensions: readonly Buffer[]
}

function writeCertificate(parts: CertificateParts): Buffer {
  const version3 = writeDer(0xa0, Buffer.from([0x02, 0x01, 0x02]))
  // The first octet keeps it positive and without needless zeros (RFC 5280 §4.1.2.2).
  const serial = writeDer(0x02, Buffer.from([0x01]), randomBytes(15))
  const signedPart = writeSequence(
    version3,
    serial,
    ecdsaWithSha256,
    parts.issuer,
    writeSequence(...parts.validity.map(writeTime)),
    parts.subject,
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    writeDer(0xa3, writeSequence(...parts.extensions)),
  )
  const signature = writeBits(sign('sha256', signedPart, parts.signingKey))
  return writeSequence(signedPart, ecdsaWithSha256, signature)
}

function critical(id: Buffer, value: Buffer): Buffer {
  return writeSequence(id, isTrue, writeDer(0x04, value))
}

function optional(id: Buffer, value: Buffer): Buffer {
  return writeSequence(id, writeDer(0x04, value))
}

function nameOf(text: string): Buffer {
  return writeSequence(writeDer(0x31, writeSequence(commonName, writeDer(0x0c, Buffer.from(text)))))
}

function uriName(uri: string): Buffer {
  return writeSequence(writeDer(0x86, Buffer.from(uri, 'latin1')))
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** Envoy percent-encodes newline, space, `+`, `/` and `=` and leaves the rest (envoy: check_request_utils). */
function envoyTextOf(der: Buffer): string {
  return pemOf(der).replace(/[\n +/=]/g, (char) => encodeURIComponent(char))
}
