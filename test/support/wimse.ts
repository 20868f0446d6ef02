/** The kit's WIMSE issuer and workload: WITs and the WPTs that prove their key, sound or broken, made without the code under test. */

import { createHash, randomBytes } from 'node:crypto'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { target } from './dpop.ts'
import type { Claims } from './issuer.ts'

export interface WitIssuer {
  readonly trustDomain: string
  readonly keyId: string
  readonly algorithm: string
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
  readonly jwks: { readonly keys: readonly JWK[] }
  /** A WIT of five minutes without `cnf`, which its workload adds; `undefined` in `claims` or `header` removes a member. */
  sign(claims?: Claims, header?: Claims): Promise<string>
}

export interface WitIssuerOptions {
  readonly trustDomain: string
  readonly algorithm?: string
  readonly keyId?: string
  /** Of the public key: that of a SPIFFE bundle, or `sig` in a plain JWK Set. */
  readonly use?: string
  /** Unix seconds: WITs are issued then. */
  readonly now?: () => number
}

export interface WimseWorkload {
  readonly sub: string
  readonly algorithm: string
  readonly privateKey: CryptoKey
  /** With `alg`, as a WIT carries it in `cnf.jwk`. */
  readonly publicJwk: JWK
  wit(overrides?: WitOverrides): Promise<string>
  proof(parts: ProofParts): Promise<string>
}

export interface WimseWorkloadOptions {
  readonly algorithm?: string
  /** Unix seconds: proofs are made then. */
  readonly now?: () => number
}

/** `undefined` in `claims` or `header` removes a member. */
export interface WitOverrides {
  readonly claims?: Claims
  readonly header?: Claims
  /** In place of the workload's own: a key that has no word in its trust domain. */
  readonly issuer?: WitIssuer
}

/** `undefined` in `claims` or `header` removes a member. */
export interface ProofParts {
  /** What `wth` is made of. */
  readonly wit: string
  /** Default: the kit's target. */
  readonly aud?: unknown
  /** What `ath` is made of; without it there is no `ath`. */
  readonly accessToken?: string
  /** What `tth` is made of; without it there is no `tth`. */
  readonly txnToken?: string
  readonly claims?: Claims
  readonly header?: Claims
  /** In place of the workload's own; `header.alg` must go with it. */
  readonly key?: CryptoKey | Uint8Array
}

const witSeconds = 300
const proofSeconds = 60

export async function createWitIssuer({
  trustDomain,
  algorithm = 'ES256',
  keyId = 'wit-key-1',
  use = 'wit-svid',
  now = unixNow,
}: WitIssuerOptions): Promise<WitIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = { ...(await exportJWK(publicKey)), kid: keyId, alg: algorithm, use }
  return {
    trustDomain,
    keyId,
    algorithm,
    privateKey,
    publicJwk,
    jwks: { keys: [publicJwk] },
    sign(claims = {}, header = {}) {
      const iat = now()
      const payload = {
        sub: `spiffe://${trustDomain}/ns/shop/sa/orders`,
        iat,
        exp: iat + witSeconds,
        jti: randomId(),
        ...claims,
      }
      return sign(payload, { typ: 'wit+jwt', alg: algorithm, kid: keyId, ...header }, privateKey)
    },
  }
}

/** A key of its own, and WITs for it by the issuer. */
export async function createWimseWorkload(
  issuer: WitIssuer,
  sub: string,
  { algorithm = 'ES256', now = unixNow }: WimseWorkloadOptions = {},
): Promise<WimseWorkload> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = { ...(await exportJWK(publicKey)), alg: algorithm }
  return {
    sub,
    algorithm,
    privateKey,
    publicJwk,
    wit: ({ claims = {}, header = {}, issuer: signer = issuer } = {}) =>
      signer.sign({ sub, cnf: { jwk: publicJwk }, ...claims }, header),
    proof({ wit, aud = target, accessToken, txnToken, claims = {}, header = {}, key }) {
      const payload = {
        aud,
        exp: now() + proofSeconds,
        jti: randomId(),
        wth: digest(wit),
        ath: accessToken === undefined ? undefined : digest(accessToken),
        tth: txnToken === undefined ? undefined : digest(txnToken),
        ...claims,
      }
      return sign(payload, { typ: 'wpt+jwt', alg: algorithm, ...header }, key ?? privateKey)
    },
  }
}

/** `crit` is signed whatever it names: to understand it is the reader's affair. */
function sign(claims: Claims, header: Claims, key: CryptoKey | Uint8Array): Promise<string> {
  const { crit } = header
  const named = Array.isArray(crit) ? crit.map((name) => [String(name), true] as const) : []
  return new SignJWT(defined(claims))
    .setProtectedHeader(defined(header) as { alg: string })
    .sign(key, { crit: Object.fromEntries(named) })
}

/** At least 128 bits of chance (draft-ietf-wimse-wpt, `jti`). */
function randomId(): string {
  return randomBytes(16).toString('base64url')
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}

function defined(object: Claims): { [name: string]: unknown } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
