import { createHash, X509Certificate } from 'node:crypto'
import test from 'ava'
import { createAuthority, createKeyPair } from '../../src/rehearsal/certificates.ts'
import { writeDer, writeTime } from '../../src/rehearsal/der.ts'

const spiffeId = 'spiffe://mesh.example/ns/shop/sa/orders'
const now = Date.parse('2026-01-01T12:00:00Z') / 1000

test('X509-SVID §4: OpenSSL reads a minted leaf as a workload’s, issued by the minted CA', (t) => {
  const authority = createAuthority('mesh.example', now)
  const keys = createKeyPair()
  const leaf = authority.issue({ spiffeId, notBefore: now - 60, notAfter: now + 60, keys })
  const ca = new X509Certificate(authority.pem)
  const read = new X509Certificate(decodeURIComponent(leaf.envoyText))
  t.true(ca.ca)
  t.true(ca.verify(ca.publicKey))
  t.is(ca.subjectAltName, 'URI:spiffe://mesh.example')
  t.false(read.ca)
  t.true(read.checkIssued(ca))
  t.true(read.verify(ca.publicKey))
  t.true(read.checkPrivateKey(keys.privateKey))
  t.is(read.subjectAltName, `URI:${spiffeId}`)
  t.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  t.is(read.validFromDate.getTime(), (now - 60) * 1000)
  t.is(read.validToDate.getTime(), (now + 60) * 1000)
  t.is(leaf.x5tS256, createHash('sha256').update(read.raw).digest('base64url'))
  t.is(leaf.hash, read.fingerprint256.replaceAll(':', '').toLowerCase())
})

test('two certificates of one plan differ', (t) => {
  const authority = createAuthority('mesh.example', now)
  const plan = { spiffeId, notBefore: now, notAfter: now + 60, keys: createKeyPair() }
  t.not(authority.issue(plan).x5tS256, authority.issue(plan).x5tS256)
})

test('X.690 §8.1.3: lengths in the short and in the long form', (t) => {
  const head = (length: number) =>
    writeDer(0x04, Buffer.alloc(length)).subarray(0, -length || undefined)
  t.is(writeDer(0x04).toString('hex'), '0400')
  t.is(head(127).toString('hex'), '047f')
  t.is(head(128).toString('hex'), '048180')
  t.is(head(256).toString('hex'), '04820100')
})

test('RFC 5280 §4.1.2.5: UTCTime up to 2049, GeneralizedTime from 2050 and before 1950', (t) => {
  const time = (text: string) =>
    writeTime(Date.parse(text) / 1000)
      .subarray(2)
      .toString()
  t.is(time('2049-12-31T23:59:59Z'), '491231235959Z')
  t.is(time('2050-01-01T00:00:00Z'), '20500101000000Z')
  t.is(time('1950-01-01T00:00:00Z'), '500101000000Z')
  t.is(time('1949-12-31T23:59:59Z'), '19491231235959Z')
})
