/** Mints issuers' keys, tokens and DPoP proofs: sound by default, and broken where a test says so. */

import { createHash, randomUUID } from 'node:crypto'
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  SignJWT,
} from 'jose'
import type { IssuerPlan } from '../policy/compile.ts'
import { durationSeconds } from '../policy/duration.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { Algorithm } from '../token/algorithms.ts'
import { createKeySource, type KeySource } from '../token/key-source.ts'
import type { Leaf } from './certificates.ts'
import type { TokenFixture } from './schema.ts'
import { timeSeconds } from './time.ts'

export interface SigningKey {
  readonly algorithm: Algorithm
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
  /** RFC 7638. */
  readonly thumbprint: string
}

/** An issuer of the policy, with keys that were made for this run. */
export interface Minter {
  readonly issuer: string
  readonly audience: string
  readonly type: string | undefined
  /** What its tokens live if a test does not say: 5 minutes, or what issuer and routes allow if that is less. */
  readonly lifetimeSeconds: number
  readonly key: SigningKey
  /** Somebody who uses the issuer's name and key id. */
  readonly stranger: SigningKey
  /** What its key source answers. */
  readonly jwks: Buffer
}

const keyId = 'policy-test'
const defaultLifetimeSeconds = 300

export async function createSigningKey(algorithm: Algorithm): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  return {
    algorithm,
    privateKey,
    publicJwk,
    thumbprint: await calculateJwkThumbprint(publicJwk),
  }
}

export async function createMinter(plan: IssuerPlan, document: PolicyDocument): Promise<Minter> {
  const algorithm = plan.algorithms[0] ?? 'ES256'
  const key = await createSigningKey(algorithm)
  const type = plan.types[0]
  return {
    issuer: plan.issuer,
    audience: document.spec.issuers[plan.name]?.audiences[0] ?? '',
    type: type === 'absent' ? undefined : type,
    lifetimeSeconds: lifetimeOf(plan.name, document),
    key,
    stranger: await createSigningKey(algorithm),
    jwks: Buffer.from(JSON.stringify({ keys: [{ ...key.publicJwk, kid: keyId, alg: algorithm }] })),
  }
}

function lifetimeOf(name: string, { spec }: PolicyDocument): number {
  const limits = [
    spec.issuers[name]?.maxLifetime,
    ...spec.routes.map(({ require }) =>
      require !== 'none' && require.issuers?.includes(name) ? require.maxLifetime : undefined,
    ),
  ]
  const seconds = limits.filter((limit) => limit !== undefined).map(durationSeconds)
  return Math.min(defaultLifetimeSeconds, ...seconds)
}

/** Keys that were minted here, in the place of a source that is read; to be tried and closed as one. */
export function createRehearsedKeys(
  jwks: Buffer,
  algorithms: readonly Algorithm[],
  now: number,
): KeySource {
  const load = async () => ({ bytes: jwks })
  return createKeySource({ load, algorithms, clock: () => now, refreshSeconds: 300 })
}

/** What tokens and proofs may be bound to. */
export interface Fixtures {
  readonly peers: ReadonlyMap<string, Leaf>
  readonly keys: ReadonlyMap<string, SigningKey>
}

/** @param now Unix seconds. */
export function signToken(
  fixture: TokenFixture,
  minter: Minter,
  fixtures: Fixtures,
  now: number,
): Promise<string> {
  const { header = {}, signedBy } = fixture
  const key = signedBy === 'stranger' ? minter.stranger : minter.key
  const payload = composeClaims(fixture, minter, fixtures, now)
  return signJws(payload, { typ: minter.type, kid: keyId, ...header }, key)
}

/** What the issuer answers of an opaque token (RFC 7662 §2.2); of a stranger's it knows nothing. */
export function composeAnswer(
  fixture: TokenFixture,
  minter: Minter,
  fixtures: Fixtures,
  now: number,
): object | undefined {
  if (fixture.signedBy === 'stranger') return undefined
  const type = fixture.bind?.dpop === undefined ? 'Bearer' : 'DPoP'
  return present({
    active: true,
    token_type: type,
    ...composeClaims(fixture, minter, fixtures, now),
  })
}

function composeClaims(
  fixture: TokenFixture,
  minter: Minter,
  fixtures: Fixtures,
  now: number,
): object {
  const { bind = {}, claims = {} } = fixture
  const issuedAt = timeSeconds(fixture.issuedAt ?? '+0s', now)
  const expiresAt =
    fixture.expiresAt === undefined
      ? issuedAt + minter.lifetimeSeconds
      : timeSeconds(fixture.expiresAt, now)
  const bound = fixtures.peers.get(bind['x5t#S256'] ?? bind.jwk ?? '')
  const cnf = confirmation(bind, fixtures)
  return {
    iss: minter.issuer,
    aud: minter.audience,
    sub: bound?.spiffeId ?? 'policy-test',
    iat: issuedAt,
    exp: expiresAt,
    jti: randomUUID(),
    ...(Object.keys(cnf).length === 0 ? {} : { cnf }),
    ...claims,
  }
}

function confirmation(bind: NonNullable<TokenFixture['bind']>, { peers, keys }: Fixtures): object {
  const { 'x5t#S256': certificate, jwk, dpop } = bind
  return {
    ...(certificate === undefined ? {} : { 'x5t#S256': peers.get(certificate)?.x5tS256 }),
    ...(jwk === undefined ? {} : { jwk: peers.get(jwk)?.publicJwk }),
    ...(dpop === undefined ? {} : { jkt: keys.get(dpop)?.thumbprint }),
  }
}

export interface ProofTarget {
  readonly method: string
  /** Absolute, without query (RFC 9449 §4.2, `htu`). */
  readonly uri: string
  readonly token: string
  readonly nonce: string | undefined
  /** Unix seconds. */
  readonly now: number
}

/** @param claims In place of the sound ones. */
export function signProof(
  key: SigningKey,
  target: ProofTarget,
  claims: { readonly [name: string]: unknown } = {},
): Promise<string> {
  const payload = {
    jti: randomUUID(),
    htm: target.method,
    htu: target.uri,
    iat: target.now,
    ath: createHash('sha256').update(target.token).digest('base64url'),
    nonce: target.nonce,
    ...claims,
  }
  return signJws(payload, { typ: 'dpop+jwt', jwk: key.publicJwk }, key)
}

/** Members that are null or undefined are left out. */
export function signJws(payload: object, header: object, key: SigningKey): Promise<string> {
  return new SignJWT(present(payload))
    .setProtectedHeader({ ...present(header), alg: key.algorithm })
    .sign(key.privateKey)
}

function present(object: object): { [name: string]: unknown } {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== null && value !== undefined),
  )
}
