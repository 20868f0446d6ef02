/** Published certificates as evidence: RFC 9440's chain, which belongs to no workload. */

import { createHash } from 'node:crypto'
import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { createCertificateReader, decodeChain } from '../../src/evidence/certificate.ts'
import { createXfccReader } from '../../src/evidence/hop.ts'
import { createWorld, ordersId } from '../support/world.ts'
import rfc9440 from '../vectors/rfc9440.json' with { type: 'json' }

const envoyText = (pem: string) => encodeURIComponent(`${pem.trim()}\n`)
const chain = rfc9440.chain_pem.map(envoyText).join('')
const reader = createCertificateReader()

test('RFC 9440 App. A: the chain is read whole and in order, the leaf first, as its headers have it', (t) => {
  const ders = decodeChain(chain)
  t.is(ders?.length, rfc9440.chain_pem.length)
  const [leaf, ...issuers] = (ders ?? []).map((der) => `:${der.toString('base64')}:`)
  t.is(leaf, rfc9440.client_cert_header)
  t.is(issuers.join(', '), rfc9440.client_cert_chain_header)
  const thumbprint = createHash('sha256')
    .update(ders?.[0] ?? '')
    .digest('base64url')
  t.is(thumbprint, rfc9440.leaf_x5t_S256_computed)
})

test('RFC 9440 App. A: its leaf has no SPIFFE ID, so it is nobody’s, by itself and in XFCC (X509-SVID §2)', (t) => {
  const leaf = envoyText(rfc9440.chain_pem[0] ?? '')
  const found = reader.read(leaf)
  t.is(isRefusal(found) ? found.refused : '', 'presenter_invalid')
  const hops = createXfccReader(reader).read(`Cert="${leaf}";Chain="${chain}";URI=${ordersId}`)
  if (isRefusal(hops)) return t.fail(hops.detail)
  const hop = hops.at(-1)
  t.is(isRefusal(hop) ? hop.refused : '', 'presenter_invalid')
})

test('RFC 9440 §2.4: Client-Cert and Client-Cert-Chain from a client say nothing', async (t) => {
  const world = await createWorld()
  const headers = {
    'client-cert': rfc9440.client_cert_header,
    'client-cert-chain': rfc9440.client_cert_chain_header,
  }
  const cnf = { 'x5t#S256': rfc9440.leaf_x5t_S256_computed }
  const token = await world.token({ cnf })
  t.is((await world.ask({ token, headers, as: null })).reason, 'presenter_missing')
  t.is((await world.ask({ token, headers, as: world.thief })).reason, 'binding_mismatch')
})
