/** Status lists and the claim that points into them: draft-ietf-oauth-status-list-20 §4, §6.2. Reading only, nothing is fetched. */

import { inflate } from 'node:zlib'
import { type Refusal, refuse } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { decodeBase64url } from './base64url.ts'
import { urlProblem } from './url.ts'

export type StatusBits = 1 | 2 | 4 | 8

export interface StatusList {
  /** The status at an index, 0 for VALID (§7.1); undefined where the list has no such index. */
  status(index: number): number | undefined
}

/** Where a token's status is written. */
export interface StatusClaim {
  readonly uri: string
  readonly index: number
}

/** Four million statuses of 8 bits, or 33 million of one; what inflates to more is taken for a bomb. */
const maxListBytes = 4 * 1024 * 1024
const maxUriLength = 2048

/**
 * The list, or undefined where `lst` is not the base64url of one ZLIB stream and nothing else (§4.2), or where it is
 * too big. Inflates in the thread pool, so that a big list delays no check.
 */
export async function readStatusList(
  lst: string,
  bits: StatusBits,
): Promise<StatusList | undefined> {
  const compressed = decodeBase64url(lst)
  const bytes = compressed && (await inflateWhole(compressed))
  return bytes && createStatusList(bytes, bits)
}

export function isStatusBits(value: unknown): value is StatusBits {
  return value === 1 || value === 2 || value === 4 || value === 8
}

/**
 * Undefined for a token that has no status. A `status` that knows another mechanism only is refused as well: its issuer
 * says that there is something to look up, and it cannot be looked up here.
 */
export function readStatusClaim(claims: JsonObject): StatusClaim | Refusal | undefined {
  if (!Object.hasOwn(claims, 'status')) return undefined
  const status = member(claims, 'status')
  if (!isJsonObject(status)) return invalid('status')
  const reference = member(status, 'status_list')
  if (!isJsonObject(reference)) return invalid('status.status_list')
  const index = member(reference, 'idx')
  if (!isIndex(index)) return invalid('status.status_list.idx')
  const uri = member(reference, 'uri')
  if (typeof uri !== 'string' || uri.length > maxUriLength || urlProblem(uri) !== undefined)
    return invalid('status.status_list.uri')
  return { uri, index }
}

/** §4.1: statuses are packed from the least significant bit of each byte. */
function createStatusList(bytes: Uint8Array, bits: StatusBits): StatusList {
  const perByte = 8 / bits
  const mask = (1 << bits) - 1
  return {
    status(index) {
      const byte = isIndex(index) ? bytes[Math.floor(index / perByte)] : undefined
      return byte === undefined ? undefined : (byte >> ((index % perByte) * bits)) & mask
    },
  }
}

function inflateWhole(compressed: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const options = { maxOutputLength: maxListBytes, info: true }
    inflate(compressed, options, (error, result) => {
      // With `info` zlib hands on its engine too, which the type of the callback does not say.
      const { buffer, engine } = (error === null ? result : {}) as Partial<Inflated>
      // What follows the end of the stream is otherwise passed over in silence.
      resolve(engine?.bytesWritten === compressed.length ? buffer : undefined)
    })
  })
}

interface Inflated {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function invalid(detail: string): Refusal {
  return refuse('claim_invalid', detail)
}
