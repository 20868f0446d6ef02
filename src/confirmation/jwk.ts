/** `jwk`: the token names the public key of the presenter's certificate (RFC 7800 §3.2), which mTLS has proved. */

import { refuse } from '../decision/decision.ts'
import { decodeBase64url } from '../token/base64url.ts'
import { isJsonObject, type JsonObject, member } from '../token/strict-json.ts'
import { type ConfirmationMethod, mismatch } from './method.ts'

/** The members that make a key what it is: RFC 7638 §3.2, RFC 8037 §2. */
const requiredMembers = new Map([
  ['EC', ['crv', 'x', 'y']],
  ['RSA', ['n', 'e']],
  ['OKP', ['crv', 'x']],
])
const base64urlMembers = new Set(['x', 'y', 'n', 'e'])

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

function readPublicKey(value: unknown): ReadonlyMap<string, string> | undefined {
  if (!isJsonObject(value) || Object.hasOwn(value, 'd') || Object.hasOwn(value, 'k'))
    return undefined
  const keyType = member(value, 'kty')
  const names = typeof keyType === 'string' ? requiredMembers.get(keyType) : undefined
  if (typeof keyType !== 'string' || names === undefined) return undefined
  const key = new Map([['kty', keyType]])
  for (const name of names) {
    const text = readMember(value, name)
    if (text === undefined) return undefined
    key.set(name, text)
  }
  return key
}

function readMember(value: JsonObject, name: string): string | undefined {
  const text = member(value, name)
  if (typeof text !== 'string' || text === '') return undefined
  return base64urlMembers.has(name) && decodeBase64url(text) === undefined ? undefined : text
}
