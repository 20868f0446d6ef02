/** `dpop`: the token names a key by its thumbprint (`cnf.jkt`), and a proof in this request shows possession (RFC 9449 §6.1). */

import { refuse } from '../decision/decision.ts'
import { isSha256 } from '../token/base64url.ts'
import { judgeProof } from './dpop-proof.ts'
import type { ConfirmationMethod } from './method.ts'

/** Needs no presenter: the client proves its key at the application layer, through whatever forwards the request. */
export const dpop: ConfirmationMethod<'dpop'> = {
  name: 'dpop',
  member: 'jkt',
  scheme: 'DPoP',
  isConfigured: ({ dpop: rules }) => rules !== undefined,
  confirm(value) {
    return isSha256(value)
      ? undefined
      : refuse('binding_malformed', 'jkt is not a SHA-256 in base64url')
  },
  prove: judgeProof,
}
