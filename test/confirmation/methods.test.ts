/** Every confirmation method there is must pass its owner and refuse everybody and everything else. */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import { type MethodName, methodNames, methods } from '../../src/confirmation/methods.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { createCertificateReader } from '../../src/evidence/certificate.ts'
import { establishPresenter, type Presenter } from '../../src/evidence/presenter.ts'
import type { VerifiedToken } from '../../src/token/verify.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import rfc8705 from '../vectors/rfc8705.json' with { type: 'json' }

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const authority = await createAuthority()
const reader = createCertificateReader()
const rsa = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
}
const algorithms = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384' },
  'P-521': { name: 'ECDSA', namedCurve: 'P-521' },
  RSA: rsa,
  Ed25519: { name: 'Ed25519' },
}
const keyKinds = new Map<string, readonly [Leaf, Leaf]>()
for (const [name, algorithm] of Object.entries(algorithms)) {
  keyKinds.set(name, [
    await authority.issue({ spiffeId: ordersId, algorithm }),
    await authority.issue({ spiffeId: ordersId, algorithm }),
  ])
}
const orders = await authority.issue({ spiffeId: ordersId })
const renewed = await authority.issue({ spiffeId: ordersId, keys: orders.keys })
const rekeyed = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: 'spiffe://mesh.example/ns/web/sa/blog' })

async function jwkOf({ keys }: Leaf): Promise<Record<string, unknown>> {
  const { kty, crv, x, y, n, e } = await webcrypto.subtle.exportKey('jwk', keys.publicKey)
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e }))
}
const ordersKey = await jwkOf(orders)

function present(leaf: Leaf | undefined, evidence: 'certificate' | 'principal' = 'certificate') {
  if (leaf === undefined) return undefined
  const claims = {
    certificate: evidence === 'certificate' ? leaf.envoyText : '',
    principal: leaf.spiffeId,
  }
  const rules = { evidence: [evidence], trustDomains: new Set(['mesh.example']) }
  const presenter = establishPresenter(claims, rules, reader, Math.floor(Date.now() / 1000))
  if (isRefusal(presenter)) throw new Error(presenter.detail)
  return presenter
}

/** '' is confirmed. */
function confirm(
  name: MethodName,
  value: unknown,
  presenter: Presenter | undefined,
  identity: unknown = ordersId,
): string {
  const method = methods.find((candidate) => candidate.name === name)
  if (method === undefined) throw new Error(name)
  return method.confirm(value, { identity } as VerifiedToken, presenter)?.refused ?? ''
}

interface Vectors {
  /** What a token of `orders` carries. */
  readonly value: unknown
  readonly identity?: string
  readonly malformed: readonly unknown[]
  readonly malformedReason: string
  /** Whether a renewed certificate of the same key satisfies it, and a principal without a certificate. */
  readonly survivesRenewal: boolean
  readonly needsCertificate: boolean
}

const text = orders.x5tS256
const vectors: { readonly [name in MethodName]: Vectors } = {
  'x5t#S256': {
    value: text,
    malformed: [
      ...['', `${text}=`, `${text}A`, text.slice(1), ` ${text}`, `${text}\n`, `${text}.`],
      ...[undefined, null, 1, true, [], [text], {}, { 'x5t#S256': text }],
      rfc8705.sha256Hex,
      rfc8705.nonCanonicalThumbprint,
    ],
    malformedReason: 'binding_malformed',
    survivesRenewal: false,
    needsCertificate: true,
  },
  jwk: {
    value: ordersKey,
    malformed: [
      ...[undefined, null, 1, true, '', [], [ordersKey], {}, JSON.stringify(ordersKey)],
      ...['kty', 'crv', 'x', 'y'].map((name) => ({ ...ordersKey, [name]: undefined })),
      ...['kty', 'crv', 'x', 'y'].flatMap((name) =>
        ['', 1, null, [ordersKey[name]]].map((value) => ({ ...ordersKey, [name]: value })),
      ),
      ...['ec', 'oct', 'AKP', '__proto__', 'constructor'].map((kty) => ({ ...ordersKey, kty })),
      ...['x', 'y'].map((name) => ({ ...ordersKey, [name]: `${ordersKey[name]}=` })),
      { ...ordersKey, d: 'AA' },
      { ...ordersKey, k: 'AA' },
      { kty: 'oct', k: 'AA' },
      { kty: 'RSA', n: 'AQAB' },
      { kty: 'OKP', crv: 'Ed25519' },
    ],
    malformedReason: 'binding_malformed',
    survivesRenewal: true,
    needsCertificate: true,
  },
  spiffe: {
    value: undefined,
    malformed: [undefined],
    malformedReason: 'binding_missing',
    survivesRenewal: true,
    needsCertificate: false,
  },
}

/** Where a malformed value goes: into the member, or for an identity method into the token's identity. */
function confirmMalformed(name: MethodName, bad: unknown, presenter: Presenter | undefined) {
  const method = methods.find((candidate) => candidate.name === name)
  if (method?.member !== undefined) return confirm(name, bad, presenter)
  return method?.confirm(undefined, { identity: bad } as VerifiedToken, presenter)?.refused ?? ''
}

for (const name of methodNames) {
  const { value, malformed, malformedReason, survivesRenewal, needsCertificate } = vectors[name]

  test(`${name}: the workload that the token is bound to is confirmed (RFC 7800 §3)`, (t) => {
    t.is(confirm(name, value, present(orders)), '')
  })
  test(`${name}: another workload is a mismatch, not a rotation (RFC 8705 §3, RFC 7800 §3)`, (t) => {
    t.is(confirm(name, value, present(thief)), 'binding_mismatch')
    t.is(confirm(name, value, present(thief), 'somebody'), 'binding_mismatch')
  })
  test(`${name}: a malformed value is told from a wrong one (RFC 7800 §3.1)`, (t) => {
    t.true(malformed.length > 0)
    for (const bad of malformed) {
      for (const presenter of [present(orders), present(thief), undefined]) {
        t.is(confirmMalformed(name, bad, presenter), malformedReason, JSON.stringify(bad))
      }
    }
  })
  test(`${name}: without a presenter it is refused (RFC 8705 §3)`, (t) => {
    t.is(confirm(name, value, undefined), 'presenter_missing')
  })
  test(`${name}: a principal counts only where no certificate is needed (RFC 8705 §3)`, (t) => {
    const expected = needsCertificate ? 'presenter_missing' : ''
    t.is(confirm(name, value, present(orders, 'principal')), expected)
  })
  test(`${name}: a renewed certificate of the same key is told apart (RFC 8705 §6.3)`, (t) => {
    const expected = survivesRenewal ? '' : 'binding_rotated'
    t.is(confirm(name, value, present(renewed)), expected)
  })
}

test('x5t#S256 and jwk: a new key of the same workload is a rotation (RFC 8705 §6.3)', (t) => {
  t.is(confirm('x5t#S256', text, present(rekeyed)), 'binding_rotated')
  t.is(confirm('jwk', ordersKey, present(rekeyed)), 'binding_rotated')
  t.is(confirm('spiffe', undefined, present(rekeyed)), '')
})

test('x5t#S256 and jwk: a token that does not say whose it is cannot be a rotation', (t) => {
  const method = methods.filter(({ member }) => member !== undefined)
  t.is(method.length, 2)
  for (const { name, confirm: ask } of method) {
    const token = { identity: undefined } as VerifiedToken
    t.is(ask(vectors[name].value, token, present(rekeyed))?.refused, 'binding_mismatch')
  }
})

for (const [kind, [owner, other]] of keyKinds) {
  test(`jwk: a certificate with a ${kind} key is confirmed by that key alone (RFC 7800 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    t.is(confirm('jwk', key, present(owner)), '')
    t.is(confirm('jwk', key, present(other)), 'binding_rotated')
    t.is(confirm('jwk', key, present(thief)), 'binding_mismatch')
    t.is(confirm('jwk', key, present(other), 'somebody'), 'binding_mismatch')
    t.is(confirm('jwk', await jwkOf(other), present(owner)), 'binding_rotated')
  })
  test(`jwk: what a ${kind} key does not need does not change which key it is (RFC 7638 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    const labelled = { ...key, kid: 'a', use: 'sig', alg: 'x', key_ops: ['verify'] }
    t.is(confirm('jwk', labelled, present(owner)), '')
    t.is(confirm('jwk', { ...key, d: 'AA' }, present(owner)), 'binding_malformed')
  })
  test(`jwk: every member of a ${kind} key counts (RFC 7638 §3.2)`, async (t) => {
    const key = await jwkOf(owner)
    const names = Object.keys(key)
    t.true(names.length >= 3)
    for (const name of names) {
      const changed = { ...key, [name]: (await jwkOf(other))[name] }
      const { [name]: _gone, ...without } = key
      t.is(confirm('jwk', without, present(owner)), 'binding_malformed', `without ${name}`)
      if (changed[name] !== key[name]) {
        t.is(confirm('jwk', changed, present(owner)), 'binding_rotated', name)
      }
    }
  })
}

test('jwk: the key of RFC 8705 App. A is well-formed and nobody’s here (RFC 7800 §3.2)', (t) => {
  t.is(confirm('jwk', rfc8705.jwk, present(thief)), 'binding_mismatch')
})
