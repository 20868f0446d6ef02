/** Takes the PEM file of a trust domain's bundle apart: certificates one after the other, and nothing else; tells roots from the rest. */

import { X509Certificate } from 'node:crypto'

const maxLength = 256 * 1024

const block =
  /\s*-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/]+={0,2}\r?\n)+)-----END CERTIFICATE-----(?:\s+|$)/y

/** The DER of each block, or what is wrong with the text, and what to do. */
export function splitBundle(pem: string): readonly Buffer[] | string {
  if (pem.length > maxLength) return 'the bundle is over 256 KiB: leave only CA certificates in it'
  const ders: Buffer[] = []
  block.lastIndex = 0
  for (let at = 0; at < pem.length; at = block.lastIndex) {
    const base64 = block.exec(pem)?.[1]?.replace(/\s/g, '')
    const der = Buffer.from(base64 ?? '', 'base64')
    if (base64 === undefined || der.toString('base64') !== base64) {
      return `block ${ders.length + 1} of the bundle is not a PEM certificate, or something stands before it: leave only CERTIFICATE blocks in it`
    }
    ders.push(der)
  }
  if (ders.length === 0) return 'the bundle is empty: put the trust domain’s root CA in it'
  return ders
}

/** That the names are the same is not enough: a CA that changes its key signs the new one with the old (RFC 4210 §4.4). */
export function isSelfSigned(der: Buffer): boolean {
  try {
    const x509 = new X509Certificate(der)
    return x509.verify(x509.publicKey)
  } catch {
    return false
  }
}
