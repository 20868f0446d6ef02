/** What an introspector needs to know, with defaults filled in. */

import { durationSeconds } from './duration.ts'
import { clockSkewSecondsOf } from './requirement.ts'
import type { IntrospectionDocument, KeySourceDocument, PolicyDocument } from './schema.ts'

/** File names are as the policy writes them. */
export interface IntrospectionPlan {
  readonly url: string
  readonly auth: NonNullable<IntrospectionDocument['auth']>
  readonly clientId: string
  readonly clientSecretFile: string | undefined
  readonly clientKeyFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly caFile: string | undefined
  readonly timeoutMs: number
  readonly cacheForSeconds: number
  /** Where only signed responses are taken (RFC 9701). */
  readonly signed:
    | { readonly keys: KeySourceDocument; readonly clockSkewSeconds: number }
    | undefined
}

export const defaultAuth = 'basic'
const defaultTimeout = '2s'
const defaultCacheFor = '10s'

export function planIntrospection(
  introspection: IntrospectionDocument,
  spec: PolicyDocument['spec'],
): IntrospectionPlan {
  const { url, auth = defaultAuth, clientId, timeout, cacheFor, signed, ...files } = introspection
  return {
    url,
    auth,
    clientId,
    clientSecretFile: files.clientSecretFile,
    clientKeyFile: files.clientKeyFile,
    clientCertFile: files.clientCertFile,
    caFile: files.caFile,
    timeoutMs: durationSeconds(timeout ?? defaultTimeout) * 1000,
    cacheForSeconds: durationSeconds(cacheFor ?? defaultCacheFor),
    signed: signed && { keys: signed.keys, clockSkewSeconds: clockSkewSecondsOf(spec) },
  }
}
