/** THE LIST: every confirmation method there is. Schema, policy and tests derive their names from it. */

import { jwk } from './jwk.ts'
import { spiffe } from './spiffe.ts'
import { x5tS256 } from './x5t-s256.ts'

export const methods = [x5tS256, jwk, spiffe] as const

export type MethodName = (typeof methods)[number]['name']

export const methodNames: readonly MethodName[] = methods.map((method) => method.name)

/**
 * `cnf` members of methods that the policy language has and this version has not. Ignoring one beside a member that
 * can be confirmed would quietly loosen what the issuer asked for, so it refuses. Other members that are not
 * understood are ignored beside one that is (RFC 7800 §3.1).
 */
export const unconfirmableMembers = ['jkt'] as const
