/** Names for decisions: 128 random bits in hex, drawn from a store of them, at a tenth of the garbage of a UUID. */

import { randomFillSync } from 'node:crypto'

const idBytes = 16
const store = Buffer.alloc(256 * idBytes)
let used = store.length

export function nextDecisionId(): string {
  if (used === store.length) {
    randomFillSync(store)
    used = 0
  }
  used += idBytes
  return store.toString('hex', used - idBytes, used)
}
