/** TLS towards Envoy from files that rotate: read again when they change, the last good ones kept. */

import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  /** Set: clients must present a certificate that this bundle verifies. */
  readonly clientCa: string | undefined
}

export interface TlsCredentials {
  readonly credentials: ServerCredentials
  close(): void
}

const pollMs = 2000

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

/**
 * Throws if the files cannot be used at first. Later a broken or half-written pair is reported and passed over.
 * Kubernetes swaps mounted Secrets by a symbolic link, so content decides, not file events.
 */
export async function rotateTls(
  files: TlsFiles,
  onProblem: (message: string) => void,
): Promise<TlsCredentials> {
  let current = await readContext(files)
  let lastProblem = ''
  createSecureContext(current)
  const credentials = new RotatingCredentials(files.clientCa !== undefined, current)

  async function poll(): Promise<void> {
    try {
      const fresh = await readContext(files)
      if (isSame(fresh, current)) return
      createSecureContext(fresh)
      current = fresh
      credentials.replace(fresh)
      lastProblem = ''
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'unknown error'
      if (problem !== lastProblem) onProblem(problem)
      lastProblem = problem
    }
  }

  const timer = setInterval(poll, pollMs).unref()
  return { credentials, close: () => clearInterval(timer) }
}

interface Context {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca?: Buffer
}

async function readContext({ certificate, key, clientCa }: TlsFiles): Promise<Context> {
  const pair = { cert: await readFile(certificate), key: await readFile(key) }
  return clientCa === undefined ? pair : { ...pair, ca: await readFile(clientCa) }
}

function isSame(a: Context, b: Context): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca ?? empty).equals(b.ca ?? empty)
}

const empty = Buffer.alloc(0)
