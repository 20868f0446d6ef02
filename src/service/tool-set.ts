/** The tools of a check, put together: caches of facts of their own, around what remembers across requests. */

import type { Tools } from '../check.ts'
import { createNonceKeeper } from '../confirmation/nonce.ts'
import { createProofKeys } from '../confirmation/proof-keys.ts'
import { createCertificateReader } from '../evidence/certificate.ts'
import { createXfccReader } from '../evidence/hop.ts'

/** @param nonceKey Gives the key of DPoP nonces, or undefined while it is not known. */
export function assembleTools(
  { replay, revocations }: Pick<Tools, 'replay' | 'revocations'>,
  nonceKey: () => Buffer | undefined,
): Tools {
  const certificates = createCertificateReader()
  return {
    evidence: { certificates, xfcc: createXfccReader(certificates) },
    proofs: { keys: createProofKeys(), nonces: createNonceKeeper(nonceKey) },
    replay,
    revocations,
  }
}
