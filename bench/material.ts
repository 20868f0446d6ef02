/** What the bench asks: one policy, a hundred workloads, a thousand tokens, and CheckRequests of every kind. */

import { fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { JWK } from 'jose'
import { encodeCheckRequest } from '../test/support/check-request.ts'
import { createDpopClient } from '../test/support/dpop.ts'
import { createTestIssuer, serveJson } from '../test/support/issuer.ts'
import { createAuthority, type Leaf } from '../test/support/pki.ts'
import { createWimseWorkload, createWitIssuer, type WimseWorkload } from '../test/support/wimse.ts'
import { xfccElement } from '../test/support/xfcc.ts'
import { opaqueToken } from './introspector.ts'
import {
  batchPath,
  gatewayId,
  type IssuerKeys,
  origin,
  type Policies,
  proofPath,
  writePolicies,
} from './policy.ts'

export const certificates = 100
export const tokens = 1000
const warmMessages = 8192

export interface Material extends Policies {
  /** For peers, whose policies do the same check. */
  readonly issuerKeys: IssuerKeys
  /** The presenter's certificate; tokens and certificates seen before, paths and ids varying. */
  readonly warm: readonly Buffer[]
  /** The same tokens behind a gateway: its certificate, and an XFCC header of two elements. */
  readonly hops: readonly Buffer[]
  /** Tokens never seen before, as many as asked for. */
  cold(count: number): Promise<Buffer[]>
  /** Junk, each different: no token at all, and good tokens whose signature was altered. */
  nonsense(count: number): Buffer[]
  altered(count: number): Buffer[]
  /** A fresh DPoP proof each, by one key, under tokens seen before. They must be sent within a minute. */
  proofs(count: number): Promise<Buffer[]>
  /** A WIT seen before and a fresh WPT each, without an access token. They must be sent within a minute. */
  workloads(count: number): Promise<Buffer[]>
  /** Opaque tokens: a thousand that become known, or as many that nobody has seen before. */
  readonly opaque: readonly Buffer[]
  neverIntrospected(count: number): Buffer[]
  /** Proofs alone, to be verified by jose with `proofKey`: the machine's own rate. */
  bareProofs(count: number): Promise<string[]>
  readonly proofKey: JWK
  close(): Promise<void>
}

const soon = () => Math.floor(Date.now() / 1000) + 3000

function claimsOf({ spiffeId, x5tS256 }: Leaf): object {
  const aud = 'https://payments.mesh.example'
  return { sub: spiffeId, aud, scope: 'payments.write', cnf: { 'x5t#S256': x5tS256 } }
}

export async function createMaterial(): Promise<Material> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-bench-'))
  const issuer = await createTestIssuer()
  const wits = await createWitIssuer({ trustDomain: 'mesh.example' })
  const jwks = await serveJson((path) => (path.endsWith('?wit') ? wits.jwks : issuer.jwks))

  const authority = await createAuthority()
  const workload = (n: number) => `spiffe://mesh.example/ns/shop/sa/w${n % certificates}`
  const leaves: Leaf[] = []
  for (let n = 0; n < certificates; n++)
    leaves.push(await authority.issue({ spiffeId: workload(n) }))
  const leafOf = (n: number) => leaves[n % certificates] as Leaf
  const introspector = fork(fileURLToPath(new URL('./introspector.ts', import.meta.url)))
  introspector.send(leaves.map(claimsOf))
  const introspectionPort = await new Promise<number>((resolve) =>
    introspector.once('message', (message) => resolve((message as { port: number }).port)),
  )
  const jwksUrl = `${jwks.url}/jwks`
  const policies = await writePolicies(directory, jwksUrl, introspectionPort)
  const gateway = await authority.issue({ spiffeId: gatewayId })
  const client = await createDpopClient()

  let serial = 0
  const sign = (n: number, cnf: object) =>
    issuer.sign({
      sub: workload(n),
      scope: 'payments.read payments.write',
      client_id: 'orders-service',
      jti: `5f2d1c9e-7b61-4f0e-9a57-${String(serial++).padStart(12, '0')}`,
      exp: Math.floor(Date.now() / 1000) + 3000,
      cnf,
      entitlements: 'a'.repeat(180),
    })
  const bound = (n: number) => sign(n, { 'x5t#S256': leafOf(n).x5tS256 })
  const presented = (n: number, token: string) => {
    const { envoyText: certificate, spiffeId: principal } = leafOf(n)
    const id = String(serial++)
    return encodeCheckRequest({ certificate, principal, token, path: `/v1/payments/${id}?v=1`, id })
  }
  const introspected = (n: number, token: string) => {
    const { envoyText: certificate, spiffeId: principal } = leafOf(n)
    const id = String(serial++)
    return encodeCheckRequest({ certificate, principal, token, path: `/v1/partners/${id}?v=1`, id })
  }
  const forwarded = (n: number, token: string) => {
    const id = String(serial++)
    const xfcc = `${xfccElement(leafOf(n), { by: gatewayId })},${xfccElement(gateway)}`
    return encodeCheckRequest({
      certificate: gateway.envoyText,
      principal: gatewayId,
      headers: { 'x-forwarded-client-cert': xfcc },
      token,
      path: `/v1/payments/${id}?v=1`,
      id,
    })
  }
  const known: string[] = []
  const keyBound: string[] = []
  for (let n = 0; n < tokens; n++) known.push(await bound(n))
  for (let n = 0; n < certificates; n++) keyBound.push(await sign(n, { jkt: client.jkt }))
  const knownAt = (n: number) => known[n % tokens] as string

  const workloads: { readonly workload: WimseWorkload; readonly wit: string }[] = []
  for (let n = 0; n < certificates; n++) {
    const each = await createWimseWorkload(wits, workload(n))
    workloads.push({ workload: each, wit: await each.wit({ claims: { exp: soon() } }) })
  }

  const proofFor = (token: string) =>
    client.proof(token, { htu: `${origin}${proofPath}`, jti: `p-${serial++}` })
  return {
    ...policies,
    issuerKeys: { url: jwksUrl, jwks: issuer.jwks },
    warm: Array.from({ length: warmMessages }, (_, n) => presented(n % tokens, knownAt(n))),
    hops: Array.from({ length: warmMessages }, (_, n) => forwarded(n % tokens, knownAt(n))),
    async cold(count) {
      const messages: Buffer[] = []
      for (let n = 0; n < count; n++) messages.push(presented(n, await bound(n)))
      return messages
    },
    nonsense: (count) =>
      Array.from({ length: count }, (_, n) =>
        presented(n, `nonsense-${serial++}~${'x'.repeat(800)}`),
      ),
    altered: (count) =>
      Array.from({ length: count }, (_, n) => {
        const [head = '', payload = '', signature = ''] = knownAt(n).split('.')
        const other = Buffer.from(signature, 'base64url')
        other.writeUInt32BE(serial++, 4)
        return presented(n, `${head}.${payload}.${other.toString('base64url')}`)
      }),
    async proofs(count) {
      const messages: Buffer[] = []
      for (let n = 0; n < count; n++) {
        const token = keyBound[n % certificates] as string
        const headers = { dpop: await proofFor(token) }
        messages.push(encodeCheckRequest({ token, scheme: 'DPoP', headers, path: proofPath }))
      }
      return messages
    },
    async workloads(count) {
      const messages: Buffer[] = []
      for (let n = 0; n < count; n++) {
        const { workload: each, wit } = workloads[n % certificates] as (typeof workloads)[number]
        const iat = Math.floor(Date.now() / 1000)
        const proof = await each.proof({ wit, aud: `${origin}${batchPath}`, claims: { iat } })
        const headers = { 'workload-identity-token': wit, 'workload-proof-token': proof }
        messages.push(encodeCheckRequest({ headers, path: batchPath }))
      }
      return messages
    },
    opaque: Array.from({ length: warmMessages }, (_, n) =>
      introspected(n % tokens, opaqueToken(n % certificates, n % tokens)),
    ),
    neverIntrospected: (count) =>
      Array.from({ length: count }, (_, n) =>
        introspected(n, opaqueToken(n % certificates, tokens + serial)),
      ),
    bareProofs: (count) =>
      Promise.all(Array.from({ length: count }, () => proofFor(keyBound[0] as string))),
    proofKey: client.publicJwk,
    async close() {
      jwks.close()
      introspector.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
