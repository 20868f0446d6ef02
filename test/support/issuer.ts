/** The kit's token issuer: signs what it is told to, bound or not, well-formed or broken. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

export interface TestIssuer {
  readonly issuer: string
  readonly keyId: string
  readonly algorithm: string
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
  readonly jwks: { readonly keys: readonly JWK[] }
  /** A token with sound defaults; `undefined` in `claims` or `header` removes a member. */
  sign(claims?: Claims, header?: Claims): Promise<string>
}

export type Claims = { readonly [name: string]: unknown }

export const audience = 'https://payments.mesh.example'

/** @param now Unix seconds: tokens are issued then and live five minutes. */
export async function createTestIssuer(
  issuer = 'https://idp.example',
  { algorithm = 'ES256', now = () => Math.floor(Date.now() / 1000), keyId = 'key-1' } = {},
): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = { ...(await exportJWK(publicKey)), kid: keyId, alg: algorithm, use: 'sig' }
  return {
    issuer,
    keyId,
    algorithm,
    privateKey,
    publicJwk,
    jwks: { keys: [publicJwk] },
    sign(claims = {}, header = {}) {
      const iat = now()
      const payload = {
        iss: issuer,
        aud: audience,
        sub: 'spiffe://mesh.example/ns/shop/sa/orders',
        iat,
        exp: iat + 300,
        jti: `id-${iat}`,
        ...claims,
      }
      const protectedHeader = { alg: algorithm, kid: keyId, typ: 'at+jwt', ...header }
      return new SignJWT(defined(payload))
        .setProtectedHeader(defined(protectedHeader) as { alg: string })
        .sign(privateKey)
    },
  }
}

function defined(object: Claims): { [name: string]: unknown } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}

/** Serves a JWK Set (or whatever `answer` gives) on a loopback port and counts the requests. */
export async function serveJson(answer: (path: string) => unknown): Promise<JsonServer> {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    const body = answer(request.url ?? '')
    if (body === undefined) {
      response.writeHead(404).end()
      return
    }
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, paths, server, close: () => closeServer(server) }
}

export interface JsonServer {
  readonly url: string
  readonly paths: string[]
  readonly server: Server
  close(): void
}

function closeServer(server: Server): void {
  server.close()
  server.closeAllConnections()
}
