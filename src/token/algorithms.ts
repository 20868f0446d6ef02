/** The signature algorithms that a policy may list, and the keys that each of them takes (RFC 7518 §3.1, RFC 8037, RFC 9864). */

import { type JsonObject, member } from '../strict-json.ts'

/** HS* and none are not here, so no policy can list them. */
export const algorithms = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const

export type Algorithm = (typeof algorithms)[number]

export const defaultAlgorithms: readonly Algorithm[] = [
  'ES256',
  'ES384',
  'EdDSA',
  'Ed25519',
  'PS256',
  'RS256',
]

const curveOf: Partial<Record<Algorithm, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
  Ed25519: 'Ed25519',
}

/** Whether a JWK is of the kind that the algorithm takes: RFC 8725 §3.1 wants each key used with its algorithm only. */
export function fitsAlgorithm(jwk: JsonObject, algorithm: Algorithm): boolean {
  const declared = member(jwk, 'alg')
  if (declared !== undefined && declared !== algorithm) return false
  const curve = curveOf[algorithm]
  if (curve === undefined) return member(jwk, 'kty') === 'RSA'
  const keyType = algorithm.startsWith('ES') ? 'EC' : 'OKP'
  return member(jwk, 'kty') === keyType && member(jwk, 'crv') === curve
}

/** RFC 7518 §6.2.2, §6.3.2, §6.4.1: the members that only a private or symmetric key has. */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

export function holdsSecret(jwk: JsonObject): boolean {
  return member(jwk, 'kty') === 'oct' || secretMembers.some((name) => Object.hasOwn(jwk, name))
}

/** Bytes of a coordinate by curve: RFC 7518 §6.2.1.2, RFC 8037 §2. */
export const coordinateBytes: ReadonlyMap<string, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
  ['Ed25519', 32],
])
