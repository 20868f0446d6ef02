/** What a certificate says, and what makes it none (X509-SVID §2 to §5, RFC 5280 §4, RFC 8705 §3.1). */

import 'reflect-metadata'
import { type JsonWebKey, webcrypto, X509Certificate } from 'node:crypto'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509'
import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { type CertificateFacts, createCertificateReader } from '../../src/evidence/certificate.ts'
import { createAuthority, envoyTextOf, type LeafOptions, pemOf, x5tS256Of } from '../support/pki.ts'
import vector from '../vectors/rfc8705.json' with { type: 'json' }

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const blogId = 'spiffe://mesh.example/ns/web/sa/blog'
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const { read } = createCertificateReader()

function factsOf(text: string): CertificateFacts {
  const facts = read(text)
  if (isRefusal(facts)) throw new Error(facts.detail)
  return facts
}

function reasonOf(text: string, reader = read): string {
  const facts = reader(text)
  return isRefusal(facts) ? facts.refused : ''
}

function tlv(tag: number, content: Buffer): Buffer {
  const head = content.length < 0x80 ? [tag] : [tag, 0x81]
  return Buffer.concat([Buffer.from([...head, content.length]), content])
}

const basic = (isAuthority: boolean) => new BasicConstraintsExtension(isAuthority, undefined, true)
const usage = (flags: KeyUsageFlags) => new KeyUsagesExtension(flags, true)
const names = (...uris: string[]) =>
  new SubjectAlternativeNameExtension(
    uris.map((value) => ({ type: 'url' as const, value })),
    true,
  )
const leaf = [basic(false), usage(KeyUsageFlags.digitalSignature)]
const uri = tlv(0x86, Buffer.from(ordersId))
const rawNames = (der: Buffer) => new Extension('2.5.29.17', true, der)

test('RFC 8705 App. A: the kit’s thumbprint, by which the reader is judged here, is the RFC’s', (t) => {
  t.is(x5tS256Of(new X509Certificate(vector.certificatePem).raw), vector.x5tS256)
  t.is(Buffer.from(vector.x5tS256, 'base64url').toString('hex'), vector.sha256Hex)
})

test('X509-SVID §2: the certificate of RFC 8705 App. A names no workload and is refused', (t) => {
  t.is(reasonOf(envoyTextOf(vector.certificatePem)), 'presenter_invalid')
})

test('RFC 8705 §3.1: facts are ID, thumbprint of the DER, validity in seconds and public key', async (t) => {
  const notBefore = new Date('2026-01-02T03:04:05Z')
  const notAfter = new Date('2051-06-07T08:09:10Z')
  const made = await authority.issue({ spiffeId: ordersId, notBefore, notAfter })
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', made.keys.publicKey)
  t.deepEqual(factsOf(made.envoyText), {
    spiffeId: ordersId as CertificateFacts['spiffeId'],
    trustDomain: 'mesh.example',
    x5tS256: x5tS256Of(made.der),
    der: made.der,
    notBefore: notBefore.getTime() / 1000,
    notAfter: notAfter.getTime() / 1000,
    publicJwk: { kty, crv, x, y } as JsonWebKey,
  } as CertificateFacts)
})

test('control: a leaf whose extensions were put together by hand is taken', async (t) => {
  for (const san of [names(ordersId), rawNames(tlv(0x30, uri))]) {
    const made = await authority.issue({ extensions: [...leaf, san] })
    t.is(factsOf(made.envoyText).spiffeId, ordersId as CertificateFacts['spiffeId'])
  }
})

const defects: { readonly [title: string]: LeafOptions } = {
  'X509-SVID §2: two URI SANs': { extensions: [...leaf, names(ordersId, blogId)] },
  'X509-SVID §2: two URI SANs, the other way round': {
    extensions: [...leaf, names(blogId, ordersId)],
  },
  'X509-SVID §2: one URI SAN twice': { extensions: [...leaf, names(ordersId, ordersId)] },
  'RFC 5280 §4.2: the SAN extension twice': {
    extensions: [...leaf, names(ordersId), names(ordersId)],
  },
  'RFC 5280 §4.2: two SAN extensions': { extensions: [...leaf, names(ordersId), names(blogId)] },
  'RFC 5280 §4.2: keyUsage twice': {
    extensions: [...leaf, usage(KeyUsageFlags.keyCertSign), names(ordersId)],
  },
  'RFC 5280 §4.2: basicConstraints twice, both cA': {
    extensions: [basic(true), basic(true), names(ordersId)],
  },
  'RFC 5280 §4.2: basicConstraints twice, one cA': {
    extensions: [basic(false), basic(true), names(ordersId)],
  },
  'X509-SVID §2: no SAN': { names: [] },
  'X509-SVID §2: no extension at all': { extensions: [] },
  'X509-SVID §2: DNS SAN only': { names: [{ type: 'dns', value: ordersId }] },
  'X509-SVID §4.1: cA and keyCertSign': {
    spiffeId: ordersId,
    isAuthority: true,
    keyUsage: KeyUsageFlags.keyCertSign,
  },
  'X509-SVID §4.1: cA without keyUsage': { extensions: [basic(true), names(ordersId)] },
  'X509-SVID §4.1: cA beside keyUsage digitalSignature alone': {
    spiffeId: ordersId,
    isAuthority: true,
  },
  'X509-SVID §4.3: keyCertSign': {
    spiffeId: ordersId,
    keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign,
  },
  'X509-SVID §4.3: cRLSign': {
    spiffeId: ordersId,
    keyUsage: KeyUsageFlags.digitalSignature | KeyUsageFlags.cRLSign,
  },
  'X509-SVID §4.3: keyCertSign in a constructed bit string (X.690 §10.2: not DER)': {
    extensions: [
      new Extension('2.5.29.15', true, Buffer.from('230403020204', 'hex')),
      names(ordersId),
    ],
  },
  'RFC 5280 §4.2.1.3: keyUsage that is no bit string': {
    extensions: [new Extension('2.5.29.15', true, Buffer.from('040104', 'hex')), names(ordersId)],
  },
  'RFC 5280 §4.2.1.9: basicConstraints that is no sequence': {
    extensions: [new Extension('2.5.29.19', true, Buffer.from('040104', 'hex')), names(ordersId)],
  },
  'X509-SVID §5.2: no path': { spiffeId: 'spiffe://mesh.example' },
  'SPIFFE-ID §2: no SPIFFE ID': { spiffeId: 'https://mesh.example/ns/shop/sa/orders' },
  'RFC 5280 §4.2.1.6: SAN that is a set': { extensions: [...leaf, rawNames(tlv(0x31, uri))] },
  'RFC 5280 §4.2.1.6: SAN that ends before its name does': {
    extensions: [...leaf, rawNames(Buffer.concat([Buffer.from([0x30, 15]), uri]))],
  },
  'RFC 5280 §4.2.1.6: SAN with bytes after it': {
    extensions: [...leaf, rawNames(Buffer.concat([tlv(0x30, uri), Buffer.from([5, 0])]))],
  },
  'RFC 5280 §4.2.1.6: URI name that is constructed': {
    extensions: [...leaf, rawNames(tlv(0x30, tlv(0xa6, tlv(0x16, Buffer.from(ordersId)))))],
  },
}
for (const [title, options] of Object.entries(defects)) {
  test(`${title} is refused`, async (t) => {
    const made = await authority.issue(options)
    t.is(reasonOf(made.envoyText), 'presenter_invalid')
  })
}

const tooBig = pemOf(Buffer.concat([orders.der, Buffer.alloc(16 * 1024)]))
const texts: { readonly [title: string]: string } = {
  'bytes after the DER': envoyTextOf(pemOf(Buffer.concat([orders.der, Buffer.from([0])]))),
  'bytes before the DER': envoyTextOf(pemOf(Buffer.concat([Buffer.from([0]), orders.der]))),
  'DER cut short': envoyTextOf(pemOf(orders.der.subarray(0, -1))),
  'CRLF PEM': encodeURIComponent(orders.pem.replaceAll('\n', '\r\n')),
  'two PEM blocks': envoyTextOf(orders.pem + orders.pem),
  'a certificate chain': envoyTextOf(orders.pem + authority.certificatePem),
  'a key beside it': envoyTextOf(orders.pem + orders.keyPem),
  'bad percent-encoding': orders.envoyText.replace('%0A', '%0G'),
  'cut percent-encoding': `${orders.envoyText}%0`,
  'an overlong encoding': orders.envoyText.replace('%0A', '%C0%8A'),
  'text over the limit': orders.envoyText + '%0A'.repeat(11_000),
  'DER over the limit': envoyTextOf(tooBig),
  'padding that is not canonical': envoyTextOf(
    pemOf(orders.der).replace('\n-----END', '=\n-----END'),
  ),
  'the DER itself': orders.der.toString('latin1'),
  'an empty PEM block': envoyTextOf('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'),
  nothing: '',
}
for (const [title, text] of Object.entries(texts)) {
  test(`RFC 7468 §5.1: ${title} is refused`, (t) => {
    t.is(reasonOf(text), 'presenter_invalid')
  })
}

const times = [...orders.der.toString('latin1').matchAll(/\d{12}Z/g)]
for (const [i, name] of ['notBefore', 'notAfter'].entries()) {
  test(`RFC 5280 §4.1.2.5: ${name} that is no date is refused, not read as never`, (t) => {
    t.is(times.length, 2)
    for (const time of ['269922000000Z', '261122250000Z', 'xxxxxxxxxxxxx', '2611220000000']) {
      const der = Buffer.from(orders.der)
      der.write(time, times[i]?.index ?? 0, 'latin1')
      t.is(reasonOf(envoyTextOf(pemOf(der))), 'presenter_invalid', time)
    }
  })
}

test('facts are cached: one text gives one object', (t) => {
  const reader = createCertificateReader()
  t.is(reader.read(orders.envoyText), reader.read(orders.envoyText))
  t.is(reader.read('bad'), reader.read('bad'))
})

test('bad certificates cannot push good ones out of the cache', async (t) => {
  const reader = createCertificateReader(64 * 1024)
  const good = reader.read(orders.envoyText)
  t.false(isRefusal(good))
  for (let i = 0; i < 2000; i++)
    t.is(reasonOf(`${orders.envoyText}${i}`, reader.read), 'presenter_invalid')
  t.is(reader.read(orders.envoyText), good)
})

test('a text that was refused stays refused, and what is evicted is read again', async (t) => {
  const other = await authority.issue({ spiffeId: blogId })
  const reader = createCertificateReader(4 * 1024)
  const first = reader.read(orders.envoyText)
  reader.read(other.envoyText)
  const second = reader.read(orders.envoyText)
  t.not(second, first)
  t.deepEqual(second, first)
  t.is(reasonOf('bad', reader.read), 'presenter_invalid')
  t.is(reasonOf('bad', reader.read), 'presenter_invalid')
})

test('facts cannot be changed by whoever reads them', (t) => {
  t.true(Object.isFrozen(factsOf(orders.envoyText)))
})
