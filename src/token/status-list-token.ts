/** Reads a status list token, the signed JWT around a list: draft-ietf-oauth-status-list-20 §5.1, §8.3. */

import { isRefusal } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import type { VerificationKey } from './key-set.ts'
import { type SignatureKeys, verifySignedText } from './signed-text.ts'
import { isStatusBits, readStatusList, type StatusList } from './status-list.ts'

/** All times are Unix seconds; Infinity where the token does not say. */
export interface SignedStatusList {
  readonly list: StatusList
  readonly issuedAt: number
  readonly expiresAt: number
  readonly ttlSeconds: number
  /** The list stands as long as the key is in force. */
  readonly key: VerificationKey
}

export interface StatusListRules {
  /** As the tokens write it. */
  readonly uri: string
  readonly keys: SignatureKeys
  readonly clockSkewSeconds: number
  /** `iat` of the list that is known already, or 0. */
  readonly notBefore: number
  /** Unix seconds. */
  readonly now: number
}

/** JOSE type, and with `application/` the media type to ask for (§5.1, §8.1). */
export const statusListType = 'statuslist+jwt'
/** Characters. */
export const maxStatusListLength = 2 * 1024 * 1024

/** The list, or what is wrong with it in fixed words. */
export async function readStatusListToken(
  text: string,
  rules: StatusListRules,
): Promise<SignedStatusList | string> {
  const form = { type: statusListType, maxLength: maxStatusListLength }
  const signed = await verifySignedText(text, form, rules.keys)
  if (isRefusal(signed)) return `${signed.refused} ${signed.detail}`.trim()
  const { claims, key } = signed
  if (member(claims, 'sub') !== rules.uri) return 'sub is not the URI of the list'
  const times = readTimes(claims, rules)
  if (typeof times === 'string') return times
  const body = member(claims, 'status_list')
  if (!isJsonObject(body)) return 'status_list'
  const [bits, lst] = [member(body, 'bits'), member(body, 'lst')]
  if (!isStatusBits(bits)) return 'status_list.bits'
  const list = typeof lst === 'string' ? await readStatusList(lst, bits) : undefined
  return list === undefined ? 'status_list.lst' : { list, key, ...times }
}

type Times = Pick<SignedStatusList, 'issuedAt' | 'expiresAt' | 'ttlSeconds'>

function readTimes(claims: JsonObject, rules: StatusListRules): Times | string {
  const { now, clockSkewSeconds: skew } = rules
  const issuedAt = member(claims, 'iat')
  const expiresAt = Object.hasOwn(claims, 'exp') ? member(claims, 'exp') : Number.POSITIVE_INFINITY
  const ttlSeconds = Object.hasOwn(claims, 'ttl') ? member(claims, 'ttl') : Number.POSITIVE_INFINITY
  if (!isPositive(issuedAt) || issuedAt > now + skew) return 'iat'
  // A list that was true once must not bring revoked tokens back.
  if (issuedAt < rules.notBefore) return 'older than the known list'
  if (!isPositive(expiresAt) || now >= expiresAt + skew) return 'exp'
  if (!isPositive(ttlSeconds)) return 'ttl'
  return { issuedAt, expiresAt, ttlSeconds }
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}
