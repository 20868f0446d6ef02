/** Injections into XFCC that reach the peer's own element, or hide the true one: what a SAN and a client's header can do together. */

import test from 'ava'
import { paymentsId } from '../support/check-request.ts'
import { createWorld, ordersId, thiefId } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/edge/sa/gateway'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gatewayId}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      identity: { claim: sub }
  routes:
    - name: identity
      match: { paths: [/identity] }
      require: { issuers: [corp], bindings: [spiffe] }
    - name: bound
      require: { issuers: [corp], bindings: ["x5t#S256", jwk] }
`
const world = await createWorld({ policy })
const { orders, thief } = world
const gateway = await world.authority.issue({ spiffeId: gatewayId })
const hash = hexThumbprint(orders)

/** As Istio's sidecar asks: no certificate. */
async function reasons(xfcc: string, principal: string, certificate = ''): Promise<string[]> {
  const headers = { 'x-forwarded-client-cert': xfcc }
  const token = await world.token()
  const unbound = await world.token({ cnf: undefined })
  const questions = [
    { token, path: '/v1/payments' },
    { token: unbound, path: '/identity' },
  ]
  const verdicts = await Promise.all(
    questions.map((one) => world.ask({ ...one, as: null, principal, certificate, headers })),
  )
  return verdicts.map(({ allowed, reason }) => (allowed ? 'allowed' : reason))
}
const conflict = ['evidence_conflict', 'evidence_conflict']
const malformed = ['presenter_invalid', 'presenter_invalid']

test('control: the thief’s honest element is judged by its own Hash and URI', async (t) => {
  t.deepEqual(await reasons(xfccElement(thief), thiefId), ['binding_mismatch', 'binding_mismatch'])
  t.deepEqual(await reasons(xfccElement(orders), ordersId), ['allowed', 'allowed'])
})

test('decision 0005: an element that a second SAN of the peer wrote is not the last word on its Hash or Cert', async (t) => {
  const written = `By=${paymentsId};Hash=${hash};URI=${thiefId}`
  for (const san of [
    `URI=${thiefId};DNS=x`,
    `URI=${thiefId};URI=x`,
    `URI=${thiefId};DNS=a;DNS=x`,
  ]) {
    const own = `By=${paymentsId};Hash=${hexThumbprint(thief)};Subject="";${san}`
    t.deepEqual(await reasons(`${own},${written}`, thiefId), conflict, san)
    const withCert = `${own},By=${paymentsId};Cert="${orders.envoyText}";URI=${thiefId}`
    t.deepEqual(await reasons(withCert, thiefId), conflict, san)
  }
  // Envoy's own certificate has no SPIFFE ID, so the true element has no By, or another.
  for (const by of ['', 'By=https://payments.example;', 'By=;']) {
    const own = `${by}Hash=${hexThumbprint(thief)};Subject="";URI=${thiefId};DNS=x`
    t.deepEqual(await reasons(`${own},${written}`, thiefId), conflict, by)
  }
})

test('a DNS SAN that is one does not matter: Hash and URI stand before it', async (t) => {
  const own = `${xfccElement(orders)};DNS=orders.shop.svc;DNS=orders`
  t.deepEqual(await reasons(own, ordersId), ['allowed', 'allowed'])
})

test('elements that a workload hands on from others are no conflict at the peer', async (t) => {
  const handedOn = xfccElement(thief, { by: ordersId })
  t.deepEqual(await reasons(`${handedOn},${xfccElement(orders)}`, ordersId), ['allowed', 'allowed'])
})

test('decision 0005: a quote that the client leaves open hides no element of Envoy’s', async (t) => {
  const opened = ['Subject="', 'Subject="\\', 'Subject="x', 'Issuer="', 'Cert="', 'DNS="', 'URI="']
  const imitation = `By=${gatewayId};Hash=${hash};URI=${ordersId}`
  for (const start of opened) {
    for (const by of [`By=${gatewayId};`, '', `bY=${gatewayId};`]) {
      const seen = `${by}Hash=${hexThumbprint(thief)};URI=x",${imitation}`
      const client = `By=spiffe://mesh.example/ns/a/sa/b;${start}`
      const header = `${client},${seen},${xfccElement(gateway)}`
      t.deepEqual(await reasons(header, gatewayId), malformed, header)
      t.deepEqual(await reasons(header, gatewayId, gateway.envoyText), malformed, header)
    }
  }
})
