/** The demo's story: who calls, what is sent, and what must come of it. */

import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Leaf } from '../test/support/pki.ts'
import { xfccElement } from '../test/support/xfcc.ts'
import { bearingRows, delegatedRows, opaqueRows, workloadRows } from './estate.ts'
import { boundTo, type Chapter, post, type Row, row, type Sent } from './row.ts'
import { gatewayId, reports, type Stage } from './stage.ts'

export async function tellStory(stage: Stage): Promise<readonly Chapter[]> {
  return [
    { title: 'A token bound to a certificate (RFC 8705)', rows: await certificateRows(stage) },
    { title: 'Through a gateway (XFCC, forwarders)', rows: await gatewayRows(stage) },
    { title: 'Without a certificate (DPoP, RFC 9449)', rows: await proofRows(stage) },
    {
      title: 'A token bound to a key (RFC 7800), and to an identity (SPIFFE)',
      rows: await bearingRows(stage),
    },
    { title: 'Workloads that prove themselves (WIMSE)', rows: await workloadRows(stage) },
    { title: 'A partner’s opaque tokens (RFC 7662)', rows: await opaqueRows(stage) },
    {
      title: 'For others (RFC 8693), and what cannot be bound yet',
      rows: await delegatedRows(stage),
    },
    {
      title: 'While it runs: watch, enforce, revoke (in brackets: recorded only)',
      rows: await liveRows(stage),
    },
    { title: 'When meshbind is gone', rows: await lastRows(stage) },
  ]
}

async function certificateRows(stage: Stage): Promise<Row[]> {
  const { orders: owner, ordersRenewed, ordersRenewedNow, blog, reports: nightly } = stage
  const now = Math.floor(Date.now() / 1000)
  const token = await boundTo(stage, owner)
  const unbound = await boundTo(stage, owner, { cnf: undefined })
  const expired = await boundTo(stage, owner, { iat: now - 900, exp: now - 600 })
  const elsewhere = await boundTo(stage, owner, { aud: 'https://search.mesh.example' })
  const reading = await boundTo(stage, owner, { scope: 'payments.read' })
  const others = await boundTo(stage, nightly, { sub: reports })
  const send = (as: Leaf, sent: Sent) => () => post(stage, as, sent)
  const owned = (bearer: string) => send(owner, { token: bearer })
  const hidden = '/healthz/../v1/payments'
  return [
    row('orders', 'calls with its own token', 200, '', owned(token)),
    row(
      'blog',
      'calls with the token it stole from orders',
      401,
      'binding_mismatch',
      send(blog, { token }),
    ),
    row('orders', 'sends no token', 401, 'credential_missing', send(owner, {})),
    row(
      'orders',
      'sends a plain bearer token, bound to nothing',
      401,
      'binding_missing',
      owned(unbound),
    ),
    row('orders', 'sends an expired token', 401, 'token_expired', owned(expired)),
    row('orders', 'sends a token for another service', 401, 'audience_mismatch', owned(elsewhere)),
    row(
      'orders',
      'sends a token that somebody altered',
      401,
      'token_signature_invalid',
      owned(alter(token)),
    ),
    row('blog', 'asks for the public health page', 200, '', send(blog, { path: '/healthz' })),
    row('orders', 'lacks the scope payments.write', 403, 'scope_insufficient', owned(reading)),
    row(
      'reports',
      'calls with its own token, and is no listed caller',
      403,
      'caller_refused',
      send(nightly, { token: others }),
    ),
    row(
      'orders',
      'has a new certificate and the old token',
      401,
      'binding_rotated',
      send(ordersRenewed, { token }),
    ),
    row(
      'orders',
      'the same, just renewed, where a grace is granted',
      200,
      '',
      send(ordersRenewedNow, { token, path: '/v1/refunds' }),
    ),
    row(
      'blog',
      `hides the path: ${hidden}`,
      403,
      'path_not_canonical',
      send(blog, { token, path: hidden }),
    ),
  ]
}

async function gatewayRows(stage: Stage): Promise<Row[]> {
  const { orders: owner, blog, gatewayLeaf } = stage
  const token = await boundTo(stage, owner)
  const gatewaysOwn = await boundTo(stage, gatewayLeaf, { sub: gatewayId })
  const forged = { 'x-forwarded-client-cert': xfccElement(owner, { by: gatewayId }) }
  const edge = (as: Leaf | undefined, bearer: string) => () =>
    post(stage, as, { token: bearer, through: 'gateway' })
  return [
    row('orders', 'calls through the gateway with its own token', 200, '', edge(owner, token)),
    row(
      'blog',
      'the same, with the token it stole from orders',
      401,
      'binding_mismatch',
      edge(blog, token),
    ),
    row('blog', 'forges the gateway’s XFCC header itself', 401, 'binding_mismatch', () =>
      post(stage, blog, { token, headers: forged }),
    ),
    row(
      'nobody',
      'has no certificate and a token of the gateway’s',
      401,
      'forward_broken',
      edge(undefined, gatewaysOwn),
    ),
  ]
}

async function proofRows(stage: Stage): Promise<Row[]> {
  const { phone, issuer } = stage
  const token = await issuer.sign({ sub: 'phone-4711', cnf: { jkt: phone.jkt } })
  const path = '/v1/receipts'
  const target = `https://payments.example${path}`
  // Proofs that may have been spent before meshbind started are refused: those of that second, with one clock for all.
  await sleep(1000)
  const used = await phone.proof(token, { htu: target })
  const misdirected = await phone.proof(token, { htu: 'https://evil.example/v1/receipts' })
  const send =
    (proof: string, sent: Sent = {}) =>
    () =>
      post(stage, undefined, { token, scheme: 'DPoP', path, headers: { dpop: proof }, ...sent })
  return [
    row('phone', 'calls with a proof of its key', 200, '', send(used)),
    row('thief', 'sends token and proof once more', 401, 'proof_replayed', send(used)),
    row(
      'thief',
      'sends the token as Bearer',
      401,
      'scheme_mismatch',
      send(used, { scheme: 'Bearer' }),
    ),
    row(
      'thief',
      'sends the token without a proof',
      401,
      'proof_missing',
      send(used, { headers: {} }),
    ),
    row(
      'thief',
      'sends a proof that was made for another host',
      401,
      'proof_invalid',
      send(misdirected),
    ),
    row('phone', 'calls through the gateway with a new proof', 200, '', async () =>
      send(await phone.proof(token, { htu: target }), { through: 'gateway' })(),
    ),
  ]
}

/** Each row does what an operator does, and waits until it is in force; nothing is restarted. */
async function liveRows(stage: Stage): Promise<Row[]> {
  const { meshbind, policyFile, denylistFile, admin, issuer } = stage
  const token = await boundTo(stage, stage.orders, { jti: 'demo-revoked' })
  const path = '/v1/ledger'
  const stolen = () => post(stage, stage.blog, { token, path })
  const own = () => post(stage, stage.orders, { token })
  const decisionsOn = (route: string) =>
    meshbind.decisions().filter((decision) => decision['route'] === route)

  return [
    row(
      'blog',
      'steals it for a route in mode audit: passes',
      200,
      '(binding_mismatch)',
      async () => {
        const answer = await stolen()
        const { reason } = await meshbind.waitFor((line) => line['route'] === 'ledger')
        return { ...answer, reason: `(${reason})` }
      },
    ),
    row(
      'blog',
      'the same, once the policy file says enforce',
      401,
      'binding_mismatch',
      async () => {
        const text = await readFile(policyFile, 'utf8')
        await writeFile(policyFile, text.replace('mode: audit', 'mode: enforce'))
        await meshbind.waitFor(({ message }) => message === 'policy reloaded')
        return stolen()
      },
    ),
    row('orders', 'calls with its own token, which meshbind now knows', 200, '', own),
    row('orders', 'the same, once the denylist names the token', 401, 'token_revoked', async () => {
      await writeFile(denylistFile, `- { issuer: "${issuer.issuer}", jti: demo-revoked }\n`)
      await meshbind.waitFor(({ message, entries }) => message === 'denylist read' && entries === 1)
      return own()
    }),
    row('operator', 'opens the rollout report: all of it is there', 200, '', async () => {
      const startedAt = performance.now()
      const response = await fetch(`http://${admin}/`)
      const page = await response.text()
      const told = ['ledger', 'binding_mismatch', 'token_revoked'].every((text) =>
        page.includes(text),
      )
      const milliseconds = performance.now() - startedAt
      const reason = told && decisionsOn('ledger').length === 2 ? '' : 'not told'
      return { status: response.status, reason, body: '', headers: {}, milliseconds }
    }),
  ]
}

async function lastRows(stage: Stage): Promise<Row[]> {
  const token = await boundTo(stage, stage.orders)
  return [
    row('orders', 'calls while meshbind is stopped: Envoy refuses', 403, '', async () => {
      await stage.meshbind.stop()
      return post(stage, stage.orders, { token })
    }),
  ]
}

/** Another payload under the old signature. */
function alter(token: string): string {
  const [header, payload, signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString('utf8'))
  const altered = Buffer.from(
    JSON.stringify({ ...claims, scope: 'payments.write payments.admin' }),
  ).toString('base64url')
  return `${header}.${altered}.${signature}`
}
