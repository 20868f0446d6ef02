/** What shows who a workload is: its certificate as Envoy sends it, and the bundles that operators give for the trust domains. */

import { X509Certificate } from 'node:crypto'
import { BasicConstraints, Certificate } from 'pkijs'
import { isRefusal } from '../../../src/decision/decision.ts'
import {
  type CertificateFacts,
  createCertificateReader,
  decodeChain,
} from '../../../src/evidence/certificate.ts'
import { type DerElement, readDer, readDerSequence } from '../../../src/evidence/der.ts'
import { envoyTextOf, pemOf, x5tS256Of } from '../../support/pki.ts'
import { certificateDer } from '../certificate-bytes.ts'
import certificates from '../certificates.json' with { type: 'json' }
import { reshapeDer } from '../der-bytes.ts'
import {
  percentDecodeSlowly,
  readCertificateSlowly,
  readPemSlowly,
  type SlowCertificate,
} from '../slow/certificate.ts'
import { readRowSlowly } from '../slow/der.ts'
import { agree, demand, type Target } from '../target.ts'
import { isWorkload } from './texts.ts'

const leaves = Object.values(certificates.leaves).map((text) => Buffer.from(text, 'base64'))
const authorities = Object.values(certificates.authorities).map((text) =>
  Buffer.from(text, 'base64'),
)
/** As long as the target lives: a text must not get another's facts from it. */
const reader = createCertificateReader(256 * 1024)
const begin = '-----BEGIN'

/** An input that begins as PEM does is a text as Envoy sends it; any other is DER, which is written as Envoy does. */
export const certificate: Target = {
  name: 'certificate',
  source: 'RFC 5280 §4.1, X509-SVID §2, §4, §5; X.690; RFC 7468 §3',
  dictionary: [
    'spiffe://mesh.example/ns/a/sa/b',
    ', URI:spiffe://mesh.example/ns/evil/sa/e',
    '%0A',
    '-----BEGIN%20CERTIFICATE-----%0A',
    '-----END%20CERTIFICATE-----%0A',
    'U\x1d\x11',
    'U\x1d\x13',
    'U\x1d\x0f',
    '0\x03\x01\x01',
    '\x03\x02\x02\x04',
    '491231235959Z',
    '20500101000000Z',
  ],
  generate(random) {
    const made = () => (random.chance(4) ? random.pick(leaves) : certificateDer(random))
    if (!random.chance(4)) return random.chance(40) ? random.pick(authorities) : made()
    const pem = Array.from({ length: random.chance(3) ? 1 + random.int(9) : 1 }, () =>
      pemOf(made()),
    )
    const text = random.chance(4) ? encodeURIComponent(pem.join('')) : envoyTextOf(pem.join(''))
    return Buffer.from(random.chance(5) ? text.replace(/%0A$/, '') : text)
  },
  reshape: reshapeDer,
  judge(input) {
    const text = input.toString('utf8')
    if (text.startsWith(begin)) return `text, ${judgeText(text)}`
    judgeDer(input.subarray(0, 16 * 1024))
    return judgeText(envoyTextOf(pemOf(input)))
  },
}

/** Row by row, as far down as there is DER: one spelling, and nothing left over. */
function judgeDer(bytes: Buffer, depth = 0): void {
  const row = readRowSlowly(bytes)
  agree('DER', readDerSequence(bytes)?.map(inBytes), row?.map(inBytes))
  for (const { content } of row ?? []) if (depth < 8) judgeDer(content, depth + 1)
}

const inBytes = ({ tag, content }: DerElement) => [tag, Buffer.from(content)]

function judgeText(text: string): string {
  const plain = percentDecodeSlowly(text)
  const blocks = plain === undefined ? undefined : readPemSlowly(plain)
  const small = blocks?.every(({ length }) => length <= 16 * 1024) === true ? blocks : undefined
  const chain = text.length <= 64 * 1024 && (small?.length ?? 9) <= 8 ? small : undefined
  agree('chain', decodeChain(text), chain)
  const [der, ...others] = text.length <= 32 * 1024 ? (small ?? []) : []
  const facts = reader.read(text)
  agree('what is read twice', createCertificateReader().read(text), facts)
  const isOne = der !== undefined && others.length === 0
  if (!isRefusal(facts)) {
    demand('one block of PEM', isOne)
    return judgeFacts(facts, der ?? Buffer.alloc(0))
  }
  agree('reason', facts.refused, 'presenter_invalid')
  agree('not PEM', facts.detail === details.pem, !isOne)
  if (der !== undefined && isOne) agree('detail', facts.detail, refusalOf(der) ?? facts.detail)
  demand('a detail that is known', Object.values(details).includes(facts.detail))
  return facts.detail
}

const details = {
  pem: 'not one percent-encoded PEM block',
  openssl: 'not well-formed DER',
  more: 'bytes after the certificate',
  der: 'not a certificate in DER (RFC 5280 §4.1)',
  authority: 'a signing certificate is not a workload (X509-SVID §4)',
  names: 'names that OpenSSL cannot read (RFC 5280 §4.2.1.6)',
  none: 'no URI SAN (X509-SVID §2)',
  several: 'more than one URI SAN (X509-SVID §2)',
  other: 'the URI SAN is not a SPIFFE ID',
  path: 'the SPIFFE ID has no path (X509-SVID §5.2)',
}

function parse(der: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(der)
  } catch {
    return undefined
  }
}

/** What a refusal has to say, or undefined where the certificate is none by RFC 5280: then any reason will do. */
function refusalOf(der: Buffer): string | undefined {
  const x509 = parse(der)
  if (x509 === undefined) return details.openssl
  const slow = readCertificateSlowly(der)
  if (slow === undefined) return undefined
  demand('DER that the slow reading knows', readDer(der) !== undefined)
  if (!x509.raw.equals(der)) return details.more
  if (slow.mayCertify || x509.ca) return details.authority
  if (slow.uris.length > 0 && x509.subjectAltName === undefined) return details.names
  const [uri, ...others] = slow.uris
  if (uri === undefined) return details.none
  if (others.length > 0) return details.several
  const id = isWorkload(uri, 'spiffe')
  if (id === undefined) return details.other
  return id.path ? 'nothing: it is to be taken' : details.path
}

function judgeFacts(facts: CertificateFacts, der: Buffer): string {
  const slow = readCertificateSlowly(der)
  agree('SPIFFE ID with a path', isWorkload(facts.spiffeId, 'spiffe')?.path, true)
  agree('trust domain', facts.trustDomain, facts.spiffeId.split('/')[2])
  agree('x5t#S256', facts.x5tS256, x5tS256Of(der))
  agree('DER', facts.der, der)
  if (slow !== undefined) agree('facts', told(facts), slow)
  const x509 = new X509Certificate(der)
  const { validFromDate, validToDate, subjectAltName } = x509
  const thumbprint = x509.fingerprint256.replaceAll(':', '')
  agree(
    'OpenSSL, SHA-256',
    Buffer.from(facts.x5tS256, 'base64url').toString('hex').toUpperCase(),
    thumbprint,
  )
  agree(
    'OpenSSL, validity',
    [facts.notBefore, facts.notAfter],
    [+validFromDate / 1000, +validToDate / 1000],
  )
  demand('OpenSSL, no CA', !x509.ca)
  if (facts.publicJwk !== undefined)
    agree('key', facts.publicJwk, x509.publicKey.export({ format: 'jwk' }))
  const other = readWithPkijs(der)
  demand('pkijs, no other URI name', other?.uris.every((uri) => uri === facts.spiffeId) ?? true)
  demand('pkijs, no CA', other?.mayCertify !== true)
  agree('OpenSSL, URI names', uriNamesOf(subjectAltName), [facts.spiffeId])
  const sound = slow === undefined ? 'loosely' : 'strictly'
  return `taken, ${facts.publicJwk?.kty ?? 'no JWK'}, ${sound}${other === undefined ? ', not by pkijs' : ''}`
}

/** As Node joins them: what has a comma in it stands in quotes. */
function uriNamesOf(subjectAltName: string | undefined): readonly string[] | undefined {
  const names = subjectAltName?.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(', ')
  return names?.filter((name) => name.startsWith('URI:')).map((name) => name.slice(4))
}

const told = ({ spiffeId, notBefore, notAfter }: CertificateFacts): SlowCertificate => ({
  uris: [spiffeId],
  notBefore,
  notAfter,
  mayCertify: false,
})

/**
 * BER as well as DER: what it takes and the reader does not is no fault; another value is. Not the times: the years
 * before 100 are of another century there.
 */
function readWithPkijs(der: Buffer): Pick<SlowCertificate, 'uris' | 'mayCertify'> | undefined {
  try {
    const { extensions = [] } = Certificate.fromBER(new Uint8Array(der))
    const valuesOf = (id: string) =>
      extensions.filter(({ extnID }) => extnID === id).map(({ parsedValue }) => parsedValue)
    const usages = valuesOf('2.5.29.15').map((value) => value?.valueBlock?.valueHexView)
    const names = valuesOf('2.5.29.17').flatMap((value) => value?.altNames ?? [])
    return {
      uris: names.filter(({ type }) => type === 6).map(({ value }) => String(value)),
      mayCertify:
        usages.some(([octet = 0] = []) => (octet & 6) !== 0) ||
        valuesOf('2.5.29.19').some((value) => value instanceof BasicConstraints && value.cA),
    }
  } catch {
    return undefined // also an extension: it is read when it is asked for
  }
}
