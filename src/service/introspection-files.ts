/** Starts the introspector that a policy names, with its client's files as they are on disk at each call. */

import { resolve } from 'node:path'
import type { IssuerPlan } from '../policy/compile.ts'
import type { IntrospectionPlan } from '../policy/introspection-plan.ts'
import { createClientProof } from '../token/client-authentication.ts'
import { createIntrospector, type IntrospectorOptions } from '../token/introspection.ts'
import { createIntrospectionCall } from '../token/introspection-call.ts'
import type { KeySource } from '../token/key-source.ts'
import type { Introspector } from '../token/verify.ts'
import type { Part } from './parts.ts'
import { readTextFile } from './read-file.ts'

export interface IntrospectorFileOptions extends Pick<IntrospectorOptions, 'clock' | 'onCall'> {
  /** Of the policy: file names are relative to it. */
  readonly directory: string
  /** Of signed responses, where the policy takes no others. */
  readonly keys: KeySource | undefined
}

const maxSecretBytes = 64 * 1024
const maxCaBytes = 512 * 1024
/** A secret that was replaced is in force that soon; a mount that hangs is asked once and not by every call. */
const freshMs = 1000

export function startIntrospector(
  plan: IssuerPlan,
  introspection: IntrospectionPlan,
  { directory, keys, clock, onCall = () => {} }: IntrospectorFileOptions,
): Part<Introspector> {
  const { issuer } = plan
  const { url, auth, clientId, timeoutMs, cacheForSeconds, signed } = introspection
  const at = (file: string, maxBytes: number) => followText(resolve(directory, file), maxBytes)
  const read = (file: string | undefined) =>
    file === undefined ? noSuchFile : at(file, maxSecretBytes)
  const files = {
    secret: read(introspection.clientSecretFile),
    key: read(introspection.clientKeyFile),
    certificate: read(introspection.clientCertFile),
  }
  const client = { method: auth, clientId, audience: issuer }
  const prove = createClientProof(client, files, clock)
  const { caFile } = introspection
  const readCa = caFile === undefined ? async () => undefined : at(caFile, maxCaBytes)
  const call = createIntrospectionCall({
    url: new URL(url),
    timeoutMs,
    prove,
    readCa,
    signed: signed && keys && { issuer, clientId, keys, clockSkewSeconds: signed.clockSkewSeconds },
    clock,
  })
  const introspector = createIntrospector({
    name: plan.name,
    issuer,
    identity: plan.identity,
    ask: call.ask,
    timeoutMs,
    cacheForSeconds,
    clock,
    onCall,
  })
  return {
    value: introspector,
    tried: Promise.all([keys?.tried, prove(), readCa()]).catch((error: Error) =>
      onCall('failed', error.message),
    ),
    close() {
      introspector.close()
      call.close()
    },
  }
}

const noSuchFile = async (): Promise<never> => {
  throw new Error('the policy names no such file')
}

/** The text of a file as it is, or was a moment ago; whoever asks meanwhile shares one reading. */
function followText(path: string, maxBytes: number): () => Promise<string> {
  let reading: Promise<string> | undefined
  return () => {
    if (reading === undefined) {
      reading = readTextFile(path, maxBytes)
      const forget = () => {
        setTimeout(() => {
          reading = undefined
        }, freshMs).unref()
      }
      reading.then(forget, forget)
    }
    return reading
  }
}
