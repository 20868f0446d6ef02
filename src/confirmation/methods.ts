/** THE LIST: every confirmation method there is. Schema, policy and tests derive their names from it. */

import { jwk } from './jwk.ts'
import { spiffe } from './spiffe.ts'
import { x5tS256 } from './x5t-s256.ts'

export const methods = [x5tS256, jwk, spiffe] as const

export type MethodName = (typeof methods)[number]['name']

export const methodNames: readonly MethodName[] = methods.map((method) => method.name)

/**
 * `cnf` members that bind a token in a way that has a specification but no method above. Ignoring one beside a
 * member that can be confirmed would quietly loosen what the issuer asked for, so each of them refuses.
 */
export const unconfirmableMembers = ['jkt'] as const
