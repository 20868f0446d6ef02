/** Keeps a trust domain's bundle as it is on disk; one that cannot be read or used leaves the one before in force. */

import type { TrustStore } from '../evidence/trust.ts'
import { type FileWatch, watchFile } from './file-watch.ts'

const maxBundleBytes = 256 * 1024

/** @param onChange Told once per change: a bundle was taken, or what is wrong with it. */
export function watchBundle(
  store: TrustStore,
  trustDomain: string,
  path: string,
  onChange: (trustDomain: string, problem: string | undefined) => void,
): FileWatch {
  let problem: string | undefined
  return watchFile({
    path,
    maxBytes: maxBundleBytes,
    onContent(text) {
      const flaw = store.replace(trustDomain, text)
      problem = flaw && `${path}: ${flaw}`
      onChange(trustDomain, problem)
    },
    onTrouble: (trouble) => onChange(trustDomain, trouble ?? problem),
  })
}
