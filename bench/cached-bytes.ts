/** What a remembered token and a remembered certificate take: the heap before and after many of them, garbage collected. For `node --expose-gc`, as a process of its own. */

import { createWorld } from '../test/support/world.ts'

export interface CachedBytes {
  readonly token: number
  readonly certificate: number
}

const tokens = 5000
const certificates = 1000

const world = await createWorld()
const ask = world.ask

function heapBytes(): number {
  // More than once: what the first leaves behind is gone after the third.
  for (let i = 0; i < 3; i++) globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** @param remember Asks once with a text that nobody has seen. */
async function bytesOfEach(count: number, remember: (n: number) => Promise<unknown>) {
  for (let n = 0; n < 50; n++) await remember(n)
  const before = heapBytes()
  for (let n = 50; n < count + 50; n++) await remember(n)
  return (heapBytes() - before) / count
}

const entitlements = 'a'.repeat(180)
const known = await world.token()
const told: CachedBytes = {
  token: await bytesOfEach(tokens, async (n) => {
    const { allowed, reason } = await ask({
      token: await world.token({ jti: `token-${n}`, entitlements }),
    })
    if (!allowed) throw new Error(reason)
  }),
  certificate: await bytesOfEach(certificates, async (n) => {
    const spiffeId = `spiffe://mesh.example/ns/shop/sa/w${n}`
    const { reason } = await ask({ as: await world.authority.issue({ spiffeId }), token: known })
    if (reason !== 'binding_mismatch') throw new Error(reason)
  }),
}
process.send?.(told)
process.disconnect?.()
