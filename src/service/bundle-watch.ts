/** Keeps a trust domain's bundle as it is on disk: read at the start and again every few seconds, taken when it changes. */

import type { TrustStore } from '../evidence/trust.ts'
import { readBoundedFile } from './read-file.ts'

export interface BundleWatch {
  /** Resolves once the file was read, well or not. */
  readonly tried: Promise<void>
  close(): void
}

const everyMs = 2000
const maxBundleBytes = 256 * 1024

/** A bundle that cannot be read or used leaves the one before in force. */
export function watchBundle(
  store: TrustStore,
  trustDomain: string,
  file: string,
  onChange: (trustDomain: string, problem: string | undefined) => void,
): BundleWatch {
  let judged: { readonly text: string; readonly problem: string | undefined } | undefined
  let told: { readonly problem: string | undefined } | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined

  async function read(): Promise<void> {
    const before = judged
    const problem = await take()
    if (told === undefined || told.problem !== problem || judged !== before) {
      told = { problem }
      onChange(trustDomain, problem)
    }
    if (!closed) timer = setTimeout(read, everyMs).unref()
  }

  /** What is wrong with the file as it is now, or undefined. */
  async function take(): Promise<string | undefined> {
    try {
      const text = (await readBoundedFile(file, maxBundleBytes)).toString('utf8')
      if (text !== judged?.text) {
        const problem = store.replace(trustDomain, text)
        judged = { text, problem: problem && `${file}: ${problem}` }
      }
      return judged?.problem
    } catch (error) {
      return error instanceof Error ? error.message : 'cannot be read'
    }
  }

  const tried = read()
  return {
    tried,
    close() {
      closed = true
      clearTimeout(timer)
    },
  }
}
