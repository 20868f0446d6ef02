import { createWorld, thiefId, ordersId } from './support/world.ts'
import { createDpopClient } from './support/dpop.ts'
import { xfccElement } from './support/xfcc.ts'
const gw = 'spiffe://mesh.example/ns/istio-system/sa/gw'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc], forwarders: [${gw}] }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  dpop: { origins: [https://payments.example] }
  routes:
    - name: bound
      match: { paths: [/v1/payments] }
      require: { issuers: [corp], bindings: ["x5t#S256", dpop], rotation: { grace: 10m } }
`
const w = await createWorld({ policy })
const gwLeaf = await w.authority.issue({ spiffeId: gw })
const c = await createDpopClient({ now: w.now })
const t = await w.token()
const show = (n: string, v: any) => console.log(n.padEnd(40), v.allowed, v.reason, v.detail, v.challenge)
show('cert', await w.ask({ token: t }))
show('cert thief', await w.ask({ token: t, as: w.thief }))
show('xfcc only', await w.ask({ token: t, as: null, principal: ordersId, headers: { 'x-forwarded-client-cert': xfccElement(w.orders) } }))
show('two hop', await w.ask({ token: t, as: gwLeaf, headers: { 'x-forwarded-client-cert': `${xfccElement(w.orders, { by: gw })},${xfccElement(gwLeaf)}` } }))
show('two hop thief', await w.ask({ token: t, as: gwLeaf, headers: { 'x-forwarded-client-cert': `${xfccElement(w.thief, { by: gw })},${xfccElement(gwLeaf)}` } }))
show('gw alone', await w.ask({ token: t, as: gwLeaf, headers: { 'x-forwarded-client-cert': xfccElement(gwLeaf) } }))
show('forged', await w.ask({ token: t, as: w.thief, headers: { 'x-forwarded-client-cert': `${xfccElement(w.orders, { by: gw })},${xfccElement(w.thief)}` } }))
show('injected', await w.ask({ token: t, as: gwLeaf, headers: { 'x-forwarded-client-cert': `${xfccElement(w.thief, { by: gw, uri: `https://evil/a,By=${gw};URI=${ordersId}` })},${xfccElement(gwLeaf)}` } }))
const dt = await w.token({ cnf: { jkt: c.jkt } })
const p = await c.proof(dt)
show('dpop', await w.ask({ token: dt, as: null, scheme: 'DPoP', headers: { dpop: p } }))
show('replay', await w.ask({ token: dt, as: null, scheme: 'DPoP', headers: { dpop: p } }))
show('bearer', await w.ask({ token: dt, as: null, headers: { dpop: p } }))
show('no proof', await w.ask({ token: dt, as: null, scheme: 'DPoP' }))
const renewed = await w.authority.issue({ spiffeId: ordersId, notBefore: new Date(Date.now() - 60000) })
show('rotated in grace', await w.ask({ token: t, as: renewed }))
process.exit(0)
