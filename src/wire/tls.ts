/** TLS towards Envoy, from files that rotate. */

import type { SecureContextOptions } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'
import { rotateTls, type TlsFiles } from '../tls-files.ts'

export interface TlsCredentials {
  readonly credentials: ServerCredentials
  close(): void
}

class RotatingCredentials extends ServerCredentials {
  constructor(requireClient: boolean, context: SecureContextOptions) {
    super(
      { requestCert: requireClient, rejectUnauthorized: requireClient, minVersion: 'TLSv1.2' },
      context,
    )
  }

  /** New connections use it; those that stand go on. */
  replace(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context)
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other
  }
}

/** Throws if the files cannot be used at first. */
export async function createTlsCredentials(
  files: TlsFiles,
  onProblem: (message: string | undefined) => void,
): Promise<TlsCredentials> {
  const rotating = await rotateTls(files, onProblem)
  const credentials = new RotatingCredentials(files.clientCa !== undefined, rotating.first)
  rotating.follow((texts) => credentials.replace(texts))
  return { credentials, close: rotating.close }
}
