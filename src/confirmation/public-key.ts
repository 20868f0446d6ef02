/** A public key as a JWK names it: the members that identify it, and their thumbprint (RFC 7638, RFC 8037 §2). */

import { hash } from 'node:crypto'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { coordinateBytes, holdsSecret } from '../token/algorithms.ts'
import { decodeBase64url } from '../token/base64url.ts'

/** The required members in the order of RFC 7638 §3.3, and nothing else. */
export type PublicKey = ReadonlyMap<string, string>

const requiredMembers = new Map([
  ['EC', ['crv', 'kty', 'x', 'y']],
  ['RSA', ['e', 'kty', 'n']],
  ['OKP', ['crv', 'kty', 'x']],
])

/** Undefined for what is no public key, a private or a symmetric one included: a secret must never travel. */
export function readPublicKey(value: unknown): PublicKey | undefined {
  if (!isJsonObject(value) || holdsSecret(value)) return undefined
  const keyType = member(value, 'kty')
  const names = typeof keyType === 'string' ? requiredMembers.get(keyType) : undefined
  if (names === undefined) return undefined
  const key = new Map<string, string>()
  for (const name of names) {
    const text = member(value, name)
    if (typeof text !== 'string' || !isWellFormed(name, text, value)) return undefined
    key.set(name, text)
  }
  return key
}

export function isSameKey(one: PublicKey, other: PublicKey): boolean {
  return one.size === other.size && [...one].every(([name, text]) => other.get(name) === text)
}

/** RFC 7638 §3: base64url of SHA-256 over the required members in lexicographic order without white space. */
export function thumbprint(key: PublicKey): string {
  return hash('sha256', JSON.stringify(Object.fromEntries(key)), 'base64url')
}

function isWellFormed(name: string, text: string, jwk: JsonObject): boolean {
  if (name === 'kty') return true
  if (name === 'crv') return coordinateBytes.has(text)
  const bytes = decodeBase64url(text)
  if (bytes === undefined || bytes.length === 0) return false
  return (
    name === 'n' || name === 'e' || bytes.length === coordinateBytes.get(String(member(jwk, 'crv')))
  )
}
