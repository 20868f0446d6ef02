/** The second half of the demo's story: the other kinds of tokens that a mesh has, each with its thief. */

import { webcrypto } from 'node:crypto'
import type { Leaf } from '../test/support/pki.ts'
import { boundTo, post, type Row, row, type Sent } from './row.ts'
import { orders, type Stage, target } from './stage.ts'

/** The token names the key of the certificate, or only the workload. */
export async function bearingRows(stage: Stage): Promise<Row[]> {
  const { orders: owner, reports: nightly, blog, issuer } = stage
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', owner.keys.publicKey)
  const keyBound = await boundTo(stage, owner, { cnf: { jwk: { kty, crv, x, y } } })
  const account = await issuer.sign(
    {
      iss: 'https://kubernetes.default.svc',
      sub: 'system:serviceaccount:reports:nightly',
      'kubernetes.io': { namespace: 'reports', serviceaccount: { name: 'nightly', uid: 'demo' } },
    },
    { typ: undefined },
  )
  const send = (as: Leaf, token: string, path: string) => () => post(stage, as, { token, path })
  return [
    row(
      'orders',
      'calls with a token that names its key',
      200,
      '',
      send(owner, keyBound, '/v1/keys'),
    ),
    row(
      'blog',
      'calls with a copy of it',
      401,
      'binding_mismatch',
      send(blog, keyBound, '/v1/keys'),
    ),
    row(
      'reports',
      'calls with its ServiceAccount token',
      200,
      '',
      send(nightly, account, '/v1/jobs'),
    ),
    row(
      'blog',
      'calls with a copy of it',
      401,
      'binding_mismatch',
      send(blog, account, '/v1/jobs'),
    ),
  ]
}

export async function workloadRows(stage: Stage): Promise<Row[]> {
  const { batch: job, thief, blog, issuer } = stage
  const stolen = await issuer.sign({ sub: orders, scope: 'payments.write' })
  const path = '/v1/batches'
  const headersOf = async (from: typeof job, on: string, accessToken?: string) => {
    const wit = await from.wit()
    const aud = `${target}${on}`
    const proof = await from.proof({
      wit,
      aud,
      claims: { iat: Math.floor(Date.now() / 1000) },
      ...(accessToken && { accessToken }),
    })
    return { 'workload-identity-token': wit, 'workload-proof-token': proof }
  }
  const used = await headersOf(job, path)
  const copied = await headersOf(job, path)
  const beside = await headersOf(thief, '/v1/imports', stolen)
  const send = (as: Leaf | undefined, sent: Sent) => () => post(stage, as, { path, ...sent })
  return [
    row(
      'batch',
      'signs with its own key; no token, no certificate',
      200,
      '',
      send(undefined, { headers: used }),
    ),
    row(
      'thief',
      'sends the same once more',
      400,
      'workload_proof_replayed',
      send(undefined, { headers: used }),
    ),
    row(
      'blog',
      'sends batch’s tokens over its own mTLS',
      400,
      'workload_token_mismatch',
      send(blog, { headers: copied }),
    ),
    row(
      'thief',
      'carries orders’ token beside its own identity',
      401,
      'binding_mismatch',
      send(undefined, { headers: beside, token: stolen, path: '/v1/imports' }),
    ),
  ]
}

export async function opaqueRows(stage: Stage): Promise<Row[]> {
  const { orders: owner, blog, partner } = stage
  const cnf = { 'x5t#S256': owner.x5tS256 }
  partner.know('k7Qm-known-to-the-partner', { sub: orders, cnf })
  partner.know('9fZx-asked-too-late', { sub: orders, cnf })
  const path = '/v1/partners'
  const send = (as: Leaf, token: string) => () => post(stage, as, { token, path })
  const known = 'k7Qm-known-to-the-partner'
  return [
    row('orders', 'calls with an opaque token of the partner’s', 200, '', send(owner, known)),
    row('blog', 'calls with a copy of it', 401, 'binding_mismatch', send(blog, known)),
    row(
      'orders',
      'sends a string that nobody issued',
      401,
      'token_inactive',
      send(owner, 'nobody-issued-this'),
    ),
    row(
      'orders',
      'calls while the partner’s server is down',
      503,
      'introspection_unavailable',
      async () => {
        partner.close()
        return post(stage, owner, { token: '9fZx-asked-too-late', path })
      },
    ),
    row('orders', 'calls elsewhere: nothing there is touched', 200, '', async () =>
      post(stage, owner, { token: await boundTo(stage, owner) }),
    ),
  ]
}

export async function delegatedRows(stage: Stage): Promise<Row[]> {
  const { orders: owner, blog, issuer, admin } = stage
  const act = { sub: orders }
  const exchanged = await boundTo(stage, owner, { sub: 'alice', act })
  const others = await boundTo(stage, blog, { sub: 'alice', act })
  const now = Math.floor(Date.now() / 1000)
  const unbound = await issuer.sign({ sub: 'old-batch', scope: 'orders.read' })
  const unscoped = await issuer.sign({ sub: 'old-batch', scope: 'orders.write' })
  const lasting = await issuer.sign({ sub: 'old-batch', scope: 'orders.read', exp: now + 600 })
  const send = (as: Leaf, token: string, path: string) => () => post(stage, as, { token, path })
  const legacy = (token: string) => send(owner, token, '/v1/legacy')
  return [
    row(
      'orders',
      'acts for alice: it is the current actor',
      200,
      '',
      send(owner, exchanged, '/v1/carts'),
    ),
    row(
      'blog',
      'has a token whose actor is orders',
      401,
      'actor_mismatch',
      send(blog, others, '/v1/carts'),
    ),
    row('orders', 'sends an unbound token inside its limits: counted', 200, '(none)', async () => {
      const answer = await legacy(unbound)()
      return { ...answer, reason: `(${await allowedMethod(admin, 'legacy')})` }
    }),
    row('orders', 'the same with another scope', 403, 'scope_insufficient', legacy(unscoped)),
    row(
      'orders',
      'the same, good for ten minutes',
      401,
      'token_lifetime_exceeded',
      legacy(lasting),
    ),
  ]
}

/** What the metrics say that the route's requests were let through by. */
async function allowedMethod(admin: string, route: string): Promise<string> {
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  const line = new RegExp(
    `^meshbind_allowed_total\\{(?=[^}]*route="${route}")[^}]*method="([^"]*)"`,
    'm',
  )
  return line.exec(metrics)?.[1] ?? 'not counted'
}
