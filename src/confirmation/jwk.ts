/** `jwk`: the token names the public key of the presenter's certificate (RFC 7800 §3.2), which mTLS has proved. */

import { refuse } from '../decision/decision.ts'
import { holdsSecret } from '../token/algorithms.ts'
import { decodeBase64url } from '../token/base64url.ts'
import { isJsonObject, type JsonObject, member } from '../token/strict-json.ts'
import { type ConfirmationMethod, mismatch } from './method.ts'

/** The members that make a key what it is: RFC 7638 §3.2, RFC 8037 §2. */
const requiredMembers = new Map([
  ['EC', ['crv', 'x', 'y']],
  ['RSA', ['n', 'e']],
  ['OKP', ['crv', 'x']],
])
/** Bytes of a coordinate: RFC 7518 §6.2.1.2, RFC 8037 §2. */
const coordinateBytes = new Map([
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
  ['Ed25519', 32],
])

/** A symmetric key proves nothing here, and a private one must never travel: both are malformed. */
export const jwk: ConfirmationMethod<'jwk'> = {
  name: 'jwk',
  member: 'jwk',
  confirm(value, token, presenter) {
    const wanted = readPublicKey(value)
    if (wanted === undefined) return refuse('binding_malformed', 'cnf.jwk is not a public key')
    if (presenter?.certificate === undefined)
      return refuse('presenter_missing', 'jwk needs the certificate')
    const actual = readPublicKey(presenter.certificate.publicJwk)
    const same =
      actual?.size === wanted.size && [...wanted].every(([name, text]) => actual.get(name) === text)
    return same ? undefined : mismatch(token, presenter)
  },
}

/** The members that identify the key, each in its canonical form, or undefined. */
function readPublicKey(value: unknown): ReadonlyMap<string, string> | undefined {
  if (!isJsonObject(value) || holdsSecret(value)) return undefined
  const keyType = member(value, 'kty')
  const names = typeof keyType === 'string' ? requiredMembers.get(keyType) : undefined
  if (typeof keyType !== 'string' || names === undefined) return undefined
  const key = new Map([['kty', keyType]])
  for (const name of names) {
    const text = member(value, name)
    if (typeof text !== 'string' || !isWellFormed(name, text, value)) return undefined
    key.set(name, text)
  }
  return key
}

function isWellFormed(name: string, text: string, jwk: JsonObject): boolean {
  if (name === 'crv') return coordinateBytes.has(text)
  const bytes = decodeBase64url(text)
  if (bytes === undefined || bytes.length === 0) return false
  return (
    name === 'n' || name === 'e' || bytes.length === coordinateBytes.get(String(member(jwk, 'crv')))
  )
}
