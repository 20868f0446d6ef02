/** `x5t#S256`: the token names the SHA-256 of the presenter's certificate (RFC 8705 §3.1). */

import { refuse } from '../decision/decision.ts'
import type { Presenter } from '../evidence/presenter.ts'
import { isSha256 } from '../token/base64url.ts'
import type { VerifiedToken } from '../token/verify.ts'
import { type BindingRules, type ConfirmationMethod, mismatch } from './method.ts'

/**
 * Compares the texts: the certificate's is canonical, so an equal one is too. Neither is a secret, whoever presents a
 * token holds both. Never falls back to the key or the identity: a renewed certificate is another one (RFC 8705 §6.3),
 * unless the route grants a grace.
 */
export const x5tS256: ConfirmationMethod<'x5t#S256'> = {
  name: 'x5t#S256',
  member: 'x5t#S256',
  confirm(value, { token, presenter, rules, now }) {
    if (presenter?.x5tS256 !== undefined && value === presenter.x5tS256) return undefined
    if (!isSha256(value))
      return refuse('binding_malformed', 'x5t#S256 is not a SHA-256 in base64url')
    if (presenter?.x5tS256 === undefined)
      return refuse('presenter_missing', 'x5t#S256 needs the certificate')
    return isWithinGrace(token, presenter, rules, now) ? undefined : mismatch(token, presenter)
  },
}

/**
 * The workload's certificate was renewed after the token was issued, and only just (policy `rotation`). Meshes date
 * certificates back, so `backdate` is added to `notBefore`. Needs the whole certificate: a thumbprint has no date.
 */
export function isWithinGrace(
  token: VerifiedToken,
  presenter: Presenter,
  { rotation, clockSkewSeconds }: BindingRules,
  now: number,
): boolean {
  const { certificate } = presenter
  if (rotation === undefined || certificate === undefined) return false
  if (token.identity !== presenter.spiffeId) return false
  const renewedAt = certificate.notBefore + rotation.backdateSeconds
  return renewedAt >= token.issuedAt - clockSkewSeconds && now - renewedAt < rotation.graceSeconds
}
