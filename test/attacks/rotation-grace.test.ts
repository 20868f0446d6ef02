/** The grace after a rotation (policy "Rotation"): every condition on both sides of its last second. */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import { encodeCheckRequest } from '../support/check-request.ts'
import type { Leaf } from '../support/pki.ts'
import { createWorld, ordersId, thiefId } from '../support/world.ts'
import { xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  clockSkew: 30s
  peer: { evidence: [certificate, xfcc, principal], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - name: default-backdate
      match: { paths: [/default] }
      require: { issuers: [corp], bindings: ["x5t#S256"], rotation: { grace: 10m } }
    - name: explicit-backdate
      match: { paths: [/explicit] }
      require: { issuers: [corp], bindings: ["x5t#S256"], rotation: { grace: 10m, backdate: 1h } }
    - name: no-grace
      match: { paths: [/none] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
    - name: key
      match: { paths: [/key] }
      require: { issuers: [corp], bindings: ["x5t#S256", jwk], rotation: { grace: 10m } }
`
const world = await createWorld({ policy })
/** One frozen second for every token and every question here. */
const now = world.now()
const [skew, grace] = [30, 600]
const backdates = { '/default': 120, '/explicit': 3600 } as const
type Path = keyof typeof backdates | '/none' | '/key'
const gateway = await world.authority.issue({ spiffeId: gatewayId })

interface Ask {
  readonly path?: Path
  readonly iat?: number
  readonly sub?: string
  /** Default: the certificate that was rotated away. */
  readonly cnf?: object
  readonly certificate?: string
  readonly xfcc?: string
  readonly principal?: string
  readonly at?: number
}

async function ask(leaf: Leaf, parts: Ask = {}): Promise<string> {
  const { iat = now, sub = ordersId, at = now, path = '/default' } = parts
  const { cnf = { 'x5t#S256': world.orders.x5tS256 } } = parts
  const { certificate = leaf.envoyText, principal = leaf.spiffeId } = parts
  const token = await world.token({ iat, exp: iat + 900, sub, cnf })
  const headers = parts.xfcc === undefined ? {} : { 'x-forwarded-client-cert': parts.xfcc }
  const question = encodeCheckRequest({ path, certificate, principal, token, headers })
  const verdict = await world.askBytes(question, at)
  return verdict.allowed ? 'allowed' : verdict.reason
}

/** A certificate dated so that, with the backdate, it counts as issued at that second. */
function renewed(at: number, backdate: number, spiffeId = ordersId): Promise<Leaf> {
  const notBefore = new Date((at - backdate) * 1000)
  return world.authority.issue({ spiffeId, notBefore })
}

for (const [path, backdate] of Object.entries(backdates) as [keyof typeof backdates, number][]) {
  const title = `with ${path.slice(1)} backdate ${backdate}s`

  test(`${title}: a certificate as old as the token is rotated into, less the clock skew (policy rotation)`, async (t) => {
    const iat = now - 300
    const reasonAt = async (at: number) => ask(await renewed(at, backdate), { path, iat })
    t.is(await reasonAt(iat - skew), 'allowed')
    t.is(await reasonAt(iat - skew - 1), 'binding_rotated')
    t.is(await reasonAt(iat), 'allowed')
    t.is(await reasonAt(iat + 1), 'allowed')
  })

  test(`${title}: the grace ends at its last second (policy rotation)`, async (t) => {
    const iat = now - 800
    const reasonAt = async (at: number) => ask(await renewed(at, backdate), { path, iat })
    t.is(await reasonAt(now - grace + 1), 'allowed')
    t.is(await reasonAt(now - grace), 'binding_rotated')
    t.is(await reasonAt(now - grace - 1), 'binding_rotated')
  })

  test(`${title}: the grace runs from the renewal, not from the first use (policy rotation)`, async (t) => {
    const leaf = await renewed(now, backdate)
    const iat = now - 100
    for (const [later, expected] of [
      [0, 'allowed'],
      [grace - 1, 'allowed'],
      [grace, 'binding_rotated'],
      [0, 'allowed'],
    ] as const) {
      t.is(await ask(leaf, { path, iat, at: now + later }), expected, `${later} s later`)
    }
  })

  test(`${title}: a certificate dated back less than the mesh dates back is in its grace (policy rotation)`, async (t) => {
    t.is(await ask(await renewed(now + backdate, backdate), { path, iat: now }), 'allowed')
    const early = await renewed(now + backdate + 1, backdate)
    t.is(await ask(early, { path, iat: now }), 'presenter_expired')
  })

  test(`${title}: only the identity that the token names is excused (policy rotation)`, async (t) => {
    const leaf = await renewed(now, backdate)
    const thief = await renewed(now, backdate, thiefId)
    t.is(await ask(leaf, { path }), 'allowed')
    t.is(await ask(thief, { path }), 'binding_mismatch')
    t.is(await ask(leaf, { path, sub: thiefId }), 'binding_mismatch')
    t.is(await ask(leaf, { path, sub: 'orders' }), 'binding_mismatch')
    t.is(await ask(leaf, { path, sub: `${ordersId}/` }), 'binding_mismatch')
    t.is(await ask(leaf, { path, sub: ordersId.replace('orders', 'Orders') }), 'binding_mismatch')
    t.is(await ask(thief, { path, sub: thiefId }), 'allowed')
  })
}

test('another workload is a mismatch whatever the dates (policy rotation)', async (t) => {
  for (const path of ['/default', '/explicit', '/none', '/key'] as const) {
    for (const at of [now - 2000, now - grace, now - 300, now - skew, now]) {
      for (const iat of [now - 800, now - 301, now]) {
        const thief = await renewed(at, 120, thiefId)
        t.is(await ask(thief, { path, iat }), 'binding_mismatch')
      }
    }
  }
})

test('without rotation a renewed certificate is rotated, never allowed (RFC 8705 §6.3)', async (t) => {
  for (const at of [now - grace, now - 300, now]) {
    t.is(await ask(await renewed(at, 120), { path: '/none', iat: now - 300 }), 'binding_rotated')
  }
})

test('the certificate that the token names needs no grace (RFC 8705 §3)', async (t) => {
  const old = await renewed(now - 3000, 120)
  const cnf = { 'x5t#S256': old.x5tS256 }
  for (const path of ['/default', '/explicit', '/none'] as const) {
    t.is(await ask(old, { path, cnf }), 'allowed')
    t.is(await ask(old, { path, cnf, sub: 'orders' }), 'allowed')
  }
})

test('a malformed thumbprint is not excused (RFC 8705 §3.1)', async (t) => {
  const leaf = await renewed(now, 120)
  for (const value of ['', `${leaf.x5tS256}=`, leaf.x5tS256.slice(1), 7, null]) {
    t.is(await ask(leaf, { cnf: { 'x5t#S256': value } }), 'binding_malformed')
  }
})

test('every other check still holds inside the grace (policy rotation)', async (t) => {
  const leaf = await renewed(now - 100, 120)
  const past = await world.authority.issue({
    spiffeId: ordersId,
    notBefore: new Date((now - 200) * 1000),
    notAfter: new Date((now - 1) * 1000),
  })
  t.is(await ask(leaf, { iat: now - 200 }), 'allowed')
  t.is(await ask(past, { iat: now - 200 }), 'presenter_expired')
  t.is(await ask(leaf, { iat: now - 200, principal: thiefId }), 'evidence_conflict')
  t.is(await ask(leaf, { iat: now - 931 }), 'token_expired')
})

test('a jwk that names another key is not excused, nor beside a thumbprint in its grace (policy rotation)', async (t) => {
  const leaf = await renewed(now, 120)
  const jwkOf = async ({ keys }: Leaf) => {
    const {
      kty = '',
      crv = '',
      x = '',
      y = '',
    } = await webcrypto.subtle.exportKey('jwk', keys.publicKey)
    return { kty, crv, x, y }
  }
  const x5t = { 'x5t#S256': world.orders.x5tS256 }
  const old = await jwkOf(world.orders)
  const fresh = await jwkOf(leaf)
  t.is(await ask(leaf, { path: '/key', cnf: { jwk: old } }), 'binding_rotated')
  t.is(await ask(leaf, { path: '/key', cnf: { ...x5t, jwk: old } }), 'binding_rotated')
  t.is(await ask(leaf, { path: '/key', cnf: { jwk: fresh } }), 'allowed')
  t.is(await ask(leaf, { path: '/key', cnf: { ...x5t, jwk: fresh } }), 'allowed')
  const sameKey = await world.authority.issue({ spiffeId: ordersId, keys: world.orders.keys })
  t.is(await ask(sameKey, { path: '/key', cnf: { jwk: old } }), 'allowed')
})

test('XFCC of the peer: Cert tells the date, a Hash alone does not (policy rotation, XFCC)', async (t) => {
  const leaf = await renewed(now, 120)
  const stale = await renewed(now - grace, 120)
  const shown = (one: Leaf, cert: boolean, path: Path = '/default') =>
    ask(one, { path, certificate: '', xfcc: xfccElement(one, { cert }), iat: now - 800 })
  t.is(await shown(leaf, true), 'allowed')
  t.is(await shown(leaf, false), 'binding_rotated')
  t.is(await shown(stale, true), 'binding_rotated')
  t.is(await shown(leaf, true, '/none'), 'binding_rotated')
  const thief = await renewed(now, 120, thiefId)
  t.is(await shown(thief, true), 'binding_mismatch')
  t.is(await shown(thief, false), 'binding_mismatch')
  t.is(await ask(leaf, { certificate: '' }), 'presenter_missing', 'a principal alone')
})

test('XFCC behind a forwarder: the date is that of the workload, never the forwarder’s (policy rotation, XFCC)', async (t) => {
  const leaf = await renewed(now, 120)
  const stale = await renewed(now - grace, 120)
  const thief = await renewed(now, 120, thiefId)
  const fresh = await renewed(now, 120, gatewayId)
  const behind = (one: Leaf, cert: boolean, relay = gateway) => {
    const xfcc = `${xfccElement(one, { by: gatewayId, cert })},${xfccElement(relay, { cert: true })}`
    return ask(relay, { xfcc, iat: now - 800 })
  }
  t.is(await behind(leaf, true), 'allowed')
  t.is(await behind(leaf, false), 'binding_rotated')
  t.is(await behind(leaf, false, fresh), 'binding_rotated')
  t.is(await behind(stale, true, fresh), 'binding_rotated')
  t.is(await behind(thief, true, fresh), 'binding_mismatch')
  t.is(await behind(thief, false, fresh), 'binding_mismatch')
  t.is(await behind(world.orders, false), 'allowed')
})
