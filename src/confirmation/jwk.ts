/** `jwk`: the token names the public key of the presenter's certificate (RFC 7800 §3.2), which mTLS has proved. */

import { refuse } from '../decision/decision.ts'
import { type ConfirmationMethod, mismatch } from './method.ts'
import { isSameKey, readPublicKey } from './public-key.ts'

/** A symmetric key proves nothing here, and a private one must never travel: both are malformed. */
export const jwk: ConfirmationMethod<'jwk'> = {
  name: 'jwk',
  member: 'jwk',
  confirm(value, { token, presenter }) {
    const wanted = readPublicKey(value)
    if (wanted === undefined) return refuse('binding_malformed', 'cnf.jwk is not a public key')
    if (presenter?.certificate === undefined)
      return refuse('presenter_missing', 'jwk needs the certificate')
    const actual = readPublicKey(presenter.certificate.publicJwk)
    return actual !== undefined && isSameKey(wanted, actual)
      ? undefined
      : mismatch(token, presenter)
  },
}
