/** `x5t#S256`: the token names the SHA-256 of the presenter's certificate (RFC 8705 §3.1). */

import { refuse } from '../decision/decision.ts'
import { decodeBase64url } from '../token/base64url.ts'
import { type ConfirmationMethod, mismatch } from './method.ts'

const sha256Bytes = 32

/**
 * Compares the texts: the certificate's is canonical, so an equal one is too. Neither is a secret, whoever presents a
 * token holds both. Never falls back to the key or the identity: a renewed certificate is another one (RFC 8705 §6.3).
 */
export const x5tS256: ConfirmationMethod<'x5t#S256'> = {
  name: 'x5t#S256',
  member: 'x5t#S256',
  confirm(value, token, presenter) {
    if (presenter?.certificate !== undefined && value === presenter.certificate.x5tS256)
      return undefined
    const bytes = typeof value === 'string' ? decodeBase64url(value) : undefined
    if (bytes?.length !== sha256Bytes)
      return refuse('binding_malformed', 'x5t#S256 is not a SHA-256 in base64url')
    if (presenter?.certificate === undefined)
      return refuse('presenter_missing', 'x5t#S256 needs the certificate')
    return mismatch(token, presenter)
  },
}
