/** Who presents: the order of the evidence, what contradicts it, and when it counts (policy peer.evidence). */

import test from 'ava'
import type { EvidenceSource } from '../../src/evidence/sources.ts'
import { createAuthority } from '../support/pki.ts'
import { establish as establishAny, type PeerCase } from '../support/presenter.ts'

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const blogId = 'spiffe://mesh.example/ns/web/sa/blog'
const foreignId = 'spiffe://evil.example/ns/shop/sa/orders'
const notBefore = Date.UTC(2026, 0, 2, 3, 4, 5) / 1000
const notAfter = notBefore + 3600
const now = notBefore + 60
const dates = { notBefore: new Date(notBefore * 1000), notAfter: new Date(notAfter * 1000) }

const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId, ...dates })
const foreign = await authority.issue({ spiffeId: foreignId, ...dates })
const establish = (parts: PeerCase) => establishAny({ at: now, ...parts })

const byCertificate = `certificate ${ordersId} ${orders.x5tS256}`
const byPrincipal = `principal ${ordersId}`
const both = { certificate: orders.envoyText, principal: ordersId }
const evidenceLists: readonly (readonly EvidenceSource[])[] = [
  ['certificate'],
  ['principal'],
  ['certificate', 'principal'],
  ['principal', 'certificate'],
]

test('the first listed evidence that was sent makes the presenter (policy peer.evidence)', (t) => {
  const rows: readonly (readonly [string, readonly EvidenceSource[], PeerCase, string])[] = [
    ['both', ['certificate'], both, byCertificate],
    ['both', ['principal'], both, byPrincipal],
    ['both', ['certificate', 'principal'], both, byCertificate],
    ['both', ['principal', 'certificate'], both, byPrincipal],
    ['certificate', ['certificate'], { certificate: orders.envoyText }, byCertificate],
    ['certificate', ['principal'], { certificate: orders.envoyText }, 'nobody'],
    ['certificate', ['certificate', 'principal'], { certificate: orders.envoyText }, byCertificate],
    ['certificate', ['principal', 'certificate'], { certificate: orders.envoyText }, byCertificate],
    ['principal', ['certificate'], { principal: ordersId }, 'nobody'],
    ['principal', ['principal'], { principal: ordersId }, byPrincipal],
    ['principal', ['certificate', 'principal'], { principal: ordersId }, byPrincipal],
    ['principal', ['principal', 'certificate'], { principal: ordersId }, byPrincipal],
  ]
  for (const [sent, evidence, parts, expected] of rows) {
    t.is(establish({ ...parts, evidence }), expected, `${sent} sent, ${evidence} listed`)
  }
})

test('nobody presents where nothing was sent or nothing is listed (RFC 8705 §3)', (t) => {
  for (const evidence of evidenceLists) t.is(establish({ evidence }), 'nobody')
  t.is(establish({ ...both, evidence: [] }), 'nobody')
})

test('certificate and principal are compared, listed or not (policy peer.evidence)', (t) => {
  for (const evidence of evidenceLists) {
    for (const principal of [
      blogId,
      `${ordersId}/`,
      ordersId.toUpperCase(),
      `${ordersId} `,
      'orders.shop.svc',
      `CN=${ordersId}`,
    ]) {
      const found = establish({ certificate: orders.envoyText, principal, evidence })
      t.is(found, 'evidence_conflict', `${principal} beside the certificate, ${evidence} listed`)
    }
  }
})

test('a bad certificate is never passed over for a good principal (policy peer.evidence)', async (t) => {
  const unnamed = await authority.issue({ names: [], ...dates })
  const two = await authority.issue({
    names: [
      { type: 'url', value: ordersId },
      { type: 'url', value: blogId },
    ],
    ...dates,
  })
  for (const evidence of evidenceLists) {
    for (const certificate of ['x', unnamed.envoyText, two.envoyText]) {
      t.is(establish({ certificate, principal: ordersId, evidence }), 'presenter_invalid')
    }
  }
})

test('a certificate of another trust domain is refused (SPIFFE-ID §2.1)', (t) => {
  for (const evidence of evidenceLists) {
    const shown = { certificate: foreign.envoyText, principal: foreignId, evidence }
    t.is(establish(shown), 'trust_domain_refused')
    if (evidence.includes('certificate'))
      t.is(establish({ ...shown, principal: '' }), 'trust_domain_refused')
  }
})

test('trust domains compare whole (SPIFFE-ID §2.1)', (t) => {
  for (const domain of ['mesh.example.evil', 'x.mesh.example', 'mesh', 'mesh-example']) {
    const principal = `spiffe://${domain}/ns/shop/sa/orders`
    t.is(establish({ principal, evidence: ['principal'] }), 'trust_domain_refused', domain)
  }
})

test('RFC 5280 §4.1.2.5: a certificate is valid from notBefore to notAfter, both inclusive', (t) => {
  const at = (seconds: number) => establish({ ...both, at: seconds })
  t.is(at(notBefore - 1), 'presenter_expired')
  t.is(at(notBefore), byCertificate)
  t.is(at(notAfter), byCertificate)
  t.is(at(notAfter + 1), 'presenter_expired')
})

test('RFC 5280 §4.1.2.5: cached facts do not outlive the certificate, nor does a step back of the clock', (t) => {
  for (const [at, expected] of [
    [now, byCertificate],
    [notAfter + 1, 'presenter_expired'],
    [now, byCertificate],
    [notBefore - 1, 'presenter_expired'],
  ] as const) {
    t.is(establish({ ...both, at }), expected)
  }
})

test('RFC 5280 §4.1.2.5: an expired certificate is refused where only the principal is listed', (t) => {
  t.is(establish({ ...both, evidence: ['principal'], at: notAfter + 1 }), 'presenter_expired')
})

test('a principal is believed only as a whole SPIFFE ID with a path (Envoy ext_authz)', (t) => {
  for (const principal of [
    'orders.shop.svc',
    `CN=${ordersId}`,
    `URI=${ordersId}`,
    ` ${ordersId}`,
    `${ordersId}\n`,
    `${ordersId}\0`,
    `${ordersId},${blogId}`,
    `${ordersId}?x`,
    `${ordersId}/..`,
    ordersId.replace('spiffe', 'SPIFFE'),
    ordersId.replace('mesh', 'MESH'),
    ordersId.replace('orders', '%6frders'),
    ordersId.replace('orders', '\ufffd'),
    'spiffe://mesh.example',
    'spiffe://mesh.example/',
    'spiffe://',
    `${ordersId}/${'a'.repeat(2048)}`,
  ]) {
    t.is(establish({ principal, evidence: ['principal'] }), 'presenter_invalid', principal)
  }
  t.is(establish({ principal: ordersId, evidence: ['principal'] }), byPrincipal)
})

test('a principal that is not listed is not looked at where no certificate was sent', (t) => {
  t.is(establish({ principal: 'CN=anything' }), 'nobody')
})

test('a certificate of another trust domain is refused where it is not listed (policy.md presenter 5)', (t) => {
  const certificate = foreign.envoyText
  t.is(establish({ certificate, evidence: ['principal'] }), 'trust_domain_refused')
  const shown = { certificate, principal: foreignId, evidence: ['xfcc'] } as const
  t.is(establish(shown), 'trust_domain_refused')
})
