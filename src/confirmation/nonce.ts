/** DPoP nonces (RFC 9449 §9) without state: the time of issue under a keyed hash, so that every replica with the key knows them all. */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { decodeBase64url } from '../token/base64url.ts'

export interface NonceKeeper {
  /** Whether the key is known; without it no nonce can be issued or recognised. */
  hasKey(): boolean
  /** A nonce of this second, or undefined while there is no key (shared state that has not been reached yet). */
  issue(now: number): string | undefined
  /** When a nonce was issued (Unix seconds), or undefined where it is none of ours. */
  issuedAt(nonce: string): number | undefined
}

const timeBytes = 6
const tagBytes = 16
export const minNonceKeyBytes = 32

/** @param key Gives the secret, 32 bytes or more, or undefined while it is not known. */
export function createNonceKeeper(key: () => Buffer | undefined): NonceKeeper {
  function tag(time: Buffer, secret: Buffer): Buffer {
    if (secret.length < minNonceKeyBytes) throw new RangeError('a nonce key has at least 32 bytes')
    return createHmac('sha256', secret)
      .update('meshbind DPoP nonce\0')
      .update(time)
      .digest()
      .subarray(0, tagBytes)
  }

  return {
    hasKey: () => key() !== undefined,
    issue(now) {
      const secret = key()
      if (secret === undefined) return undefined
      const time = Buffer.alloc(timeBytes)
      time.writeUIntBE(now, 0, timeBytes)
      return Buffer.concat([time, tag(time, secret)]).toString('base64url')
    },
    issuedAt(nonce) {
      const secret = key()
      const bytes = decodeBase64url(nonce)
      if (secret === undefined || bytes?.length !== timeBytes + tagBytes) return undefined
      const time = bytes.subarray(0, timeBytes)
      return timingSafeEqual(bytes.subarray(timeBytes), tag(time, secret))
        ? time.readUIntBE(0, timeBytes)
        : undefined
    },
  }
}
