/** Certificate, key and client CA from files that rotate: read again when they change, the last good ones kept. */

import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  /** Set: clients must present a certificate that this bundle verifies. */
  readonly clientCa: string | undefined
}

/** PEM. */
export interface TlsTexts {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca?: Buffer
}

export interface RotatingTls {
  readonly first: TlsTexts
  /** Told of every pair that can be used, from now on. */
  follow(onChange: (texts: TlsTexts) => void): void
  close(): void
}

const pollMs = 2000

/**
 * Throws if the files cannot be used at first. Later a broken or half-written pair is reported and passed over.
 * Kubernetes swaps mounted Secrets by a symbolic link, so content decides, not file events.
 *
 * @param onProblem Told once per change; undefined when the files are good again.
 */
export async function rotateTls(
  files: TlsFiles,
  onProblem: (message: string | undefined) => void,
): Promise<RotatingTls> {
  const first = await readTexts(files)
  createSecureContext(first)
  let current = first
  let lastProblem: string | undefined
  let timer: NodeJS.Timeout | undefined

  async function poll(onChange: (texts: TlsTexts) => void): Promise<void> {
    try {
      const fresh = await readTexts(files)
      if (!isSame(fresh, current)) {
        createSecureContext(fresh)
        current = fresh
        onChange(fresh)
      }
      if (lastProblem !== undefined) onProblem(undefined)
      lastProblem = undefined
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'unknown error'
      if (problem !== lastProblem) onProblem(problem)
      lastProblem = problem
    }
  }

  return {
    first,
    follow: (onChange) => {
      timer = setInterval(poll, pollMs, onChange).unref()
    },
    close: () => clearInterval(timer),
  }
}

async function readTexts({ certificate, key, clientCa }: TlsFiles): Promise<TlsTexts> {
  const pair = { cert: await readFile(certificate), key: await readFile(key) }
  return clientCa === undefined ? pair : { ...pair, ca: await readFile(clientCa) }
}

function isSame(a: TlsTexts, b: TlsTexts): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca ?? empty).equals(b.ca ?? empty)
}

const empty = Buffer.alloc(0)
