/** THE LIST of what is fuzzed. */

import type { Target } from './target.ts'
import { host, path, target } from './targets/addresses.ts'
import { trustBundle } from './targets/bundles.ts'
import { certificate } from './targets/certificates.ts'
import { discovery } from './targets/discovery.ts'
import { denylist, policy } from './targets/documents.ts'
import { keySet } from './targets/keys.ts'
import { dpop, workloadProof, workloadToken } from './targets/proofs.ts'
import { question } from './targets/question.ts'
import { xfcc } from './targets/relays.ts'
import { introspection, securityEvent, statusList } from './targets/signed.ts'
import { base64url, credential, jws, strictJson, workloadId } from './targets/texts.ts'
import { traceparent } from './targets/traces.ts'

export const targets: readonly Target[] = [
  question,
  xfcc,
  certificate,
  trustBundle,
  workloadId,
  base64url,
  strictJson,
  jws,
  credential,
  target,
  path,
  host,
  policy,
  denylist,
  statusList,
  securityEvent,
  introspection,
  discovery,
  keySet,
  dpop,
  workloadToken,
  workloadProof,
  traceparent,
]
