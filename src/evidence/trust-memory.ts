/** Remembers which leaves were verified under one bundle, and for a moment which were not; the verifying is handed in. */

import { createHash } from 'node:crypto'
import { isRefusal, type Refusal } from '../decision/decision.ts'
import { createTextCache, wholeText } from '../text-cache.ts'
import type { CertificateFacts } from './certificate.ts'

/** Unix seconds, inclusive on both ends. */
export interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

type Asking<Answer> = (
  leaf: CertificateFacts,
  chain: readonly Uint8Array[],
  now: number,
) => Answer | Promise<Answer>

const maxGood = 10_000
const maxBad = 256
const badSeconds = 5
/** Each entry counts as one. */
const one = () => 1

/**
 * A leaf that was verified is known by its thumbprint, for as long as its path is valid: which chain came with it no
 * longer matters. A leaf that was not is known together with its chain, since another chain may help: so the same rogue
 * certificate costs signature checks once in 5 seconds, and a new intermediate is heard at once. Who asks meanwhile
 * waits for the same promise.
 */
export function rememberVerified(verify: Asking<Validity | Refusal>): Asking<Refusal | undefined> {
  const good = createTextCache<Validity>(maxGood, one, wholeText)
  const bad = createTextCache<{ readonly refusal: Refusal; readonly at: number }>(
    maxBad,
    one,
    wholeText,
  )
  const underWay = new Map<string, Promise<Refusal | undefined>>()

  async function ask(
    key: string,
    ...[leaf, chain, now]: Parameters<typeof verify>
  ): Promise<Refusal | undefined> {
    try {
      const found = await verify(leaf, chain, now)
      if (!isRefusal(found)) good.set(leaf.x5tS256, found)
      else bad.set(key, { refusal: found, at: now })
      return isRefusal(found) ? found : undefined
    } finally {
      underWay.delete(key)
    }
  }

  return (leaf, chain, now) => {
    const validity = good.get(leaf.x5tS256)
    if (validity !== undefined && isWithin(validity, now)) return undefined
    const key = keyOf(leaf, chain)
    const known = bad.get(key)
    if (known !== undefined && now >= known.at && now - known.at < badSeconds) return known.refusal
    const asked = underWay.get(key) ?? ask(key, leaf, chain, now)
    underWay.set(key, asked)
    return asked
  }
}

export function isWithin({ notBefore, notAfter }: Validity, now: number): boolean {
  return notBefore <= now && now <= notAfter
}

function keyOf(leaf: CertificateFacts, chain: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const der of chain) hash.update(`${der.length}:`).update(der)
  return `${leaf.x5tS256}.${hash.digest('base64url')}`
}
