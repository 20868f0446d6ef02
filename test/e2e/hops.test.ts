/**
 * The binding across hops, through two real Envoys: `gateway` in front of `sidecar`, each with a certificate of the
 * mesh, and what each XFCC setting of either does to safety. Where a title says "precondition", the outcome is what
 * docs/hops.md warns of.
 */

import { isDeepStrictEqual } from 'node:util'
import anyTest, { type TestFn } from 'ava'
import { addEnvoy, canRunEnvoy, type Rig, startRig } from '../support/e2e.ts'
import type { RunningEnvoy } from '../support/envoy.ts'
import { type Answer, call, secret } from '../support/mesh.ts'
import type { LogLine } from '../support/meshbind.ts'
import type { Leaf } from '../support/pki.ts'
import { ordersId } from '../support/world.ts'
import { hexThumbprint, xfccElement } from '../support/xfcc.ts'

const gatewayId = 'spiffe://mesh.example/ns/istio-system/sa/ingressgateway'
const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer:
    evidence: [certificate, xfcc]
    forwarders: [${gatewayId}]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://payments.mesh.example]
      keys: { file: jwks.json }
      maxLifetime: 15m
      identity: { claim: sub }
  routes:
    - name: bound
      match: { paths: [/v1/payments] }
      require: { issuers: [corp], bindings: ["x5t#S256"] }
      forward: { presenterHeader: true }
    - name: key
      match: { paths: [/key] }
      require: { issuers: [corp], bindings: [jwk, "x5t#S256"] }
    - name: grace
      match: { paths: [/grace] }
      require: { issuers: [corp], bindings: ["x5t#S256"], rotation: { grace: 10m } }
`

interface Context {
  rig: Rig
  gateway: RunningEnvoy
}
const test = anyTest as TestFn<Context>
const e2e = (await canRunEnvoy()) ? test.serial : test.serial.skip

/** What Istio has a sidecar write: no certificate for ext_authz, no raw headers (pilot, proxy_headers.go). */
const istioFilter = {
  include_peer_certificate: false,
  encode_raw_headers: false,
  validate_mutations: false,
}
const istioSidecar = { subject: true, uri: true, dns: true }
const istioGateway = { ...istioSidecar, cert: true }

test.before(async (t) => {
  if (!(await canRunEnvoy())) return
  const rig = await startRig(
    (authz) => ({
      istio: {
        authz,
        filter: istioFilter,
        xfcc: { mode: 'APPEND_FORWARD', details: istioSidecar },
      },
      sidecar: { authz, xfcc: { mode: 'APPEND_FORWARD', details: { uri: true } } },
      json: {
        authz,
        filter: istioFilter,
        xfcc: { mode: 'APPEND_FORWARD', details: { ...istioSidecar, format: 'JSON' } },
      },
      sanitizeSet: {
        authz,
        filter: istioFilter,
        xfcc: { mode: 'SANITIZE_SET', details: { uri: true } },
      },
      forwardOnly: { authz, filter: istioFilter, xfcc: { mode: 'FORWARD_ONLY' } },
      forwardOnlyWithCertificate: { authz, xfcc: { mode: 'FORWARD_ONLY' } },
      alwaysForwardOnly: {
        authz,
        plaintext: true,
        filter: istioFilter,
        xfcc: { mode: 'ALWAYS_FORWARD_ONLY' },
      },
    }),
    { policy },
  )
  const next = rig.envoy.portOf('istio')
  const requireClientCertificate = false
  const gateway = await addEnvoy(rig, gatewayId, {
    sanitizeSet: {
      next,
      requireClientCertificate,
      xfcc: { mode: 'SANITIZE_SET', details: istioGateway },
    },
    sanitizeSetToCertificate: {
      next: rig.envoy.portOf('sidecar'),
      xfcc: { mode: 'SANITIZE_SET', details: istioGateway },
    },
    sanitizeSetToJson: {
      next: rig.envoy.portOf('json'),
      xfcc: { mode: 'SANITIZE_SET', details: { ...istioGateway, format: 'JSON' } },
    },
    appendForward: {
      next,
      requireClientCertificate,
      xfcc: { mode: 'APPEND_FORWARD', details: istioSidecar },
    },
    appendForwardPlain: { next, xfcc: { mode: 'APPEND_FORWARD', details: { uri: true } } },
    sanitize: { next, requireClientCertificate },
    forwardOnly: { next, xfcc: { mode: 'FORWARD_ONLY' } },
    alwaysForwardOnly: { next, plaintext: true, xfcc: { mode: 'ALWAYS_FORWARD_ONLY' } },
  })
  t.context = { rig, gateway }
})

test.after.always(async (t) => {
  await t.context.gateway?.stop()
  await t.context.rig?.close()
})

interface Sent {
  readonly as: Leaf | undefined
  readonly token: string
  readonly xfcc?: string
  readonly path?: string
  readonly plaintext?: boolean
}

function send(
  { rig, gateway }: Context,
  [envoy, listener]: readonly ['sidecar' | 'gateway', string],
  { as, token, xfcc, path = '/v1/payments', plaintext = false }: Sent,
): Promise<Answer> {
  return call({
    port: (envoy === 'gateway' ? gateway : rig.envoy).portOf(listener),
    as,
    authority: rig.authority,
    path,
    plaintext,
    headers: {
      authorization: `Bearer ${token}`,
      ...(xfcc === undefined ? {} : { 'x-forwarded-client-cert': xfcc }),
    },
  })
}

const boundTo = ({ rig }: Context, leaf: Leaf) =>
  rig.issuer.sign({ sub: leaf.spiffeId, cnf: { 'x5t#S256': leaf.x5tS256 } })

/** Waits for a decision about that presenter, through those forwarders: a line may come after its answer. */
function logged({ rig }: Context, presenter: object, forwards: readonly string[] = []) {
  const isWanted = (line: LogLine) =>
    isDeepStrictEqual(line['presenter'], presenter) &&
    isDeepStrictEqual(line['forwards'], forwards) &&
    line['peer'] === (forwards[0] ?? Object(line['presenter']).spiffe_id)
  return rig.meshbind.waitFor(isWanted)
}

/** `200`, or status and reason. */
const said = ({ status, reason, body }: Answer) =>
  status === 200 && body.includes(secret) ? '200' : `${status} ${reason}`

e2e(
  'Istio’s sidecar filter (no certificate): XFCC Hash confirms the owner and refuses the thief',
  async (t) => {
    const { orders, thief } = t.context.rig
    const token = await boundTo(t.context, orders)
    for (const listener of ['istio', 'sanitizeSet', 'json']) {
      t.is(said(await send(t.context, ['sidecar', listener], { as: orders, token })), '200')
      t.is(
        said(await send(t.context, ['sidecar', listener], { as: thief, token })),
        '401 binding_mismatch',
      )
    }
    await t.notThrowsAsync(
      logged(t.context, { evidence: 'xfcc', x5t_s256: thief.x5tS256, spiffe_id: thief.spiffeId }),
    )
  },
)

e2e(
  'two hops: a token bound to the first caller passes a gateway that sanitizes and sets',
  async (t) => {
    const { orders, thief, backend } = t.context.rig
    const token = await boundTo(t.context, orders)
    for (const listener of [
      'sanitizeSet',
      'sanitizeSetToCertificate',
      'sanitizeSetToJson',
      'appendForward',
    ]) {
      t.is(
        said(await send(t.context, ['gateway', listener], { as: orders, token })),
        '200',
        listener,
      )
      t.is(
        said(await send(t.context, ['gateway', listener], { as: thief, token })),
        '401 binding_mismatch',
        listener,
      )
    }
    const presenter = { spiffe_id: ordersId, x5t_s256: orders.x5tS256, evidence: 'xfcc' }
    await t.notThrowsAsync(logged(t.context, presenter, [gatewayId]))
    t.is(backend.seen.at(-1)?.headers['x-meshbind-presenter'], ordersId)
  },
)

e2e('two hops: the gateway’s Cert shows the key as well, for cnf.jwk', async (t) => {
  const { orders, thief, issuer } = t.context.rig
  const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', orders.keys.publicKey)
  const token = await issuer.sign({ sub: ordersId, cnf: { jwk: { kty, crv, x, y } } })
  const through = (as: Leaf) =>
    send(t.context, ['gateway', 'sanitizeSet'], { as, token, path: '/key' })
  t.is(said(await through(orders)), '200')
  t.is(said(await through(thief)), '401 binding_mismatch')
})

e2e(
  'two hops: without a client certificate nobody is vouched for, and the gateway’s own token does not pass',
  async (t) => {
    const { orders, authority, issuer } = t.context.rig
    const gatewayLeaf = await authority.issue({ spiffeId: gatewayId })
    const tokens = [
      await boundTo(t.context, orders),
      await boundTo(t.context, gatewayLeaf),
      await issuer.sign({ sub: gatewayId, cnf: { 'x5t#S256': gatewayLeaf.x5tS256 } }),
    ]
    for (const listener of ['sanitizeSet', 'appendForward', 'sanitize']) {
      for (const token of tokens) {
        const answer = await send(t.context, ['gateway', listener], { as: undefined, token })
        t.is(said(answer), '401 forward_broken', listener)
      }
    }
  },
)

e2e(
  'two hops: a client without certificate that sends its own XFCC vouches for nobody',
  async (t) => {
    const { orders } = t.context.rig
    const token = await boundTo(t.context, orders)
    const xfcc = xfccElement(orders, { by: gatewayId })
    for (const listener of ['sanitizeSet', 'appendForward', 'sanitize']) {
      const answer = await send(t.context, ['gateway', listener], { as: undefined, token, xfcc })
      t.is(said(answer), '401 forward_broken', listener)
    }
  },
)

e2e('a plain workload that forges an XFCC header is judged by its own certificate', async (t) => {
  const { orders, thief } = t.context.rig
  const token = await boundTo(t.context, orders)
  for (const forged of [xfccElement(orders), xfccElement(orders, { by: gatewayId })]) {
    for (const listener of ['istio', 'sidecar', 'sanitizeSet', 'json']) {
      const answer = await send(t.context, ['sidecar', listener], {
        as: thief,
        token,
        xfcc: forged,
      })
      t.regex(said(answer), /^401 (binding_mismatch|evidence_conflict)$/, listener)
    }
  }
})

e2e('a broken XFCC header before Envoy’s own element is refused, never skipped', async (t) => {
  const { orders } = t.context.rig
  const token = await boundTo(t.context, orders)
  for (const xfcc of ['[{"by":', 'Subject="', 'nonsense', ',']) {
    const answer = await send(t.context, ['sidecar', 'istio'], { as: orders, token, xfcc })
    t.is(said(answer), '401 presenter_invalid', xfcc)
  }
})

e2e(
  'behind a gateway that appends, a client’s element in the gateway’s name is refused',
  async (t) => {
    const { orders, thief } = t.context.rig
    const token = await boundTo(t.context, orders)
    const answer = await send(t.context, ['gateway', 'appendForward'], {
      as: thief,
      token,
      xfcc: xfccElement(orders, { by: gatewayId }),
    })
    t.is(said(answer), '401 evidence_conflict')
  },
)

e2e(
  'envoy#32945: a URI SAN that injects elements is refused, directly and behind the gateway',
  async (t) => {
    const { orders, thief, authority } = t.context.rig
    const token = await boundTo(t.context, orders)
    const forged = (by: string) => `By=${by};Hash=${hexThumbprint(orders)};URI=${ordersId}`
    const sidecarId = 'spiffe://mesh.example/ns/shop/sa/payments'
    const injecting = (uri: string) => authority.issue({ names: [{ type: 'url', value: uri }] })
    const direct = await injecting(`https://x.example/a,${forged(sidecarId)}`)
    for (const listener of ['istio', 'sanitizeSet']) {
      const answer = await send(t.context, ['sidecar', listener], { as: direct, token })
      t.is(said(answer), '401 evidence_conflict', listener)
    }
    // The principal is the first URI SAN alone: a second one, or a DNS SAN, can write the last element.
    const written = `x,By=${sidecarId};Hash=${hexThumbprint(orders)};URI=${thief.spiffeId}`
    for (const type of ['dns', 'url'] as const) {
      const honest = { type: 'url', value: thief.spiffeId } as const
      const second = await authority.issue({ names: [honest, { type, value: written }] })
      for (const listener of ['istio', 'sanitizeSet', 'sidecar']) {
        const answer = await send(t.context, ['sidecar', listener], { as: second, token })
        t.regex(said(answer), /^401 (evidence_conflict|presenter_invalid|binding_mismatch)$/)
      }
    }
    // A quote that the client leaves open would hide the gateway's true element.
    const swallowing = await injecting(`x",${forged(gatewayId)}`)
    for (const listener of ['sanitizeSet', 'appendForward', 'appendForwardPlain']) {
      const answer = await send(t.context, ['gateway', listener], {
        as: swallowing,
        token,
        xfcc: 'By=spiffe://mesh.example/ns/a/sa/b;Subject="',
      })
      t.regex(said(answer), /^401 (evidence_conflict|presenter_invalid)$/, listener)
    }
    for (const uri of [
      `https://x.example/a,${forged(gatewayId)}`,
      `https://x.example/a,By=x;URI=y,${forged(gatewayId)}`,
      `${ordersId};DNS=x`,
      `${ordersId};Issuer=x`,
    ]) {
      const hidden = await injecting(uri)
      for (const listener of ['sanitizeSet', 'appendForward']) {
        const answer = await send(t.context, ['gateway', listener], { as: hidden, token })
        t.regex(said(answer), /^401 (evidence_conflict|presenter_invalid)$/, `${listener} ${uri}`)
      }
    }
  },
)

e2e(
  'precondition: FORWARD_ONLY at the sidecar without the certificate lets a client write its Hash',
  async (t) => {
    const { orders, thief } = t.context.rig
    const token = await boundTo(t.context, orders)
    const xfcc = xfccElement(thief, { hash: hexThumbprint(orders) })
    const forged = { as: thief, token, xfcc }
    t.is(said(await send(t.context, ['sidecar', 'forwardOnly'], forged)), '200')
    t.is(
      said(await send(t.context, ['sidecar', 'forwardOnlyWithCertificate'], forged)),
      '401 evidence_conflict',
    )
    const inOthersName = { ...forged, xfcc: xfccElement(orders) }
    t.is(
      said(await send(t.context, ['sidecar', 'forwardOnly'], inOthersName)),
      '401 evidence_conflict',
    )
  },
)

e2e(
  'precondition: FORWARD_ONLY at the gateway lets any of its clients speak in its name',
  async (t) => {
    const { orders, thief } = t.context.rig
    const token = await boundTo(t.context, orders)
    const xfcc = xfccElement(orders, { by: gatewayId })
    t.is(said(await send(t.context, ['gateway', 'forwardOnly'], { as: thief, token, xfcc })), '200')
  },
)

e2e(
  'precondition: ALWAYS_FORWARD_ONLY at the gateway does so without any certificate',
  async (t) => {
    const { orders } = t.context.rig
    const token = await boundTo(t.context, orders)
    const xfcc = xfccElement(orders, { by: gatewayId })
    const sent = { as: undefined, token, xfcc, plaintext: true }
    t.is(said(await send(t.context, ['gateway', 'alwaysForwardOnly'], sent)), '200')
  },
)

e2e(
  'ALWAYS_FORWARD_ONLY on a plaintext listener: XFCC without a principal is refused',
  async (t) => {
    const { orders } = t.context.rig
    const token = await boundTo(t.context, orders)
    const sent = { as: undefined, token, xfcc: xfccElement(orders), plaintext: true }
    t.is(
      said(await send(t.context, ['sidecar', 'alwaysForwardOnly'], sent)),
      '401 evidence_conflict',
    )
  },
)

e2e(
  'policy rotation: a certificate renewed within the grace passes, directly and through the gateway',
  async (t) => {
    const { orders, thief, authority } = t.context.rig
    const token = await boundTo(t.context, orders)
    const renewed = await authority.issue({
      spiffeId: ordersId,
      notBefore: new Date(Date.now() - 30_000),
    })
    const old = await authority.issue({
      spiffeId: ordersId,
      notBefore: new Date(Date.now() - 3_000_000),
    })
    const grace = (as: Leaf) => ({ as, token, path: '/grace' })
    t.is(said(await send(t.context, ['sidecar', 'sidecar'], grace(renewed))), '200')
    t.is(said(await send(t.context, ['gateway', 'sanitizeSet'], grace(renewed))), '200')
    t.is(said(await send(t.context, ['sidecar', 'sidecar'], grace(old))), '401 binding_rotated')
    t.is(said(await send(t.context, ['sidecar', 'sidecar'], grace(thief))), '401 binding_mismatch')
    // A Hash does not tell when the certificate was issued.
    t.is(said(await send(t.context, ['sidecar', 'istio'], grace(renewed))), '401 binding_rotated')
  },
)
