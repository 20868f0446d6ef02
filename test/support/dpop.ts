/** The kit's DPoP client: a key, its thumbprint computed without the code under test, and proofs, sound or broken. */

import { createHash } from 'node:crypto'
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  SignJWT,
} from 'jose'
import type { Claims } from './issuer.ts'

export interface DpopClient {
  readonly algorithm: string
  readonly privateKey: CryptoKey
  readonly publicKey: CryptoKey
  readonly publicJwk: JWK
  /** RFC 7638 thumbprint, as a token carries it in `cnf.jkt`. */
  readonly jkt: string
  /** A proof with sound defaults; `undefined` in `claims` or `header` removes a member. */
  proof(token: string, claims?: Claims, header?: Claims): Promise<string>
}

export const target = 'https://payments.example/v1/payments'

let serial = 0

/** @param now Unix seconds: proofs are issued then. */
export async function createDpopClient({
  algorithm = 'ES256',
  now = () => Math.floor(Date.now() / 1000),
} = {}): Promise<DpopClient> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  return {
    algorithm,
    privateKey,
    publicKey,
    publicJwk,
    jkt: await calculateJwkThumbprint(publicJwk),
    proof(token, claims = {}, header = {}) {
      const payload = {
        jti: `proof-${serial++}`,
        htm: 'POST',
        htu: target,
        iat: now(),
        ath: createHash('sha256').update(token).digest('base64url'),
        ...claims,
      }
      const protectedHeader = { typ: 'dpop+jwt', alg: algorithm, jwk: publicJwk, ...header }
      return new SignJWT(defined(payload))
        .setProtectedHeader(defined(protectedHeader) as { alg: string })
        .sign(privateKey)
    },
  }
}

function defined(object: Claims): { [name: string]: unknown } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
