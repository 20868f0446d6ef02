/** THE LIST: every confirmation method there is. Schema, policy and tests derive their names from it. */

import { dpop } from './dpop.ts'
import { jwk } from './jwk.ts'
import { spiffe } from './spiffe.ts'
import { wimse } from './wimse.ts'
import { x5tS256 } from './x5t-s256.ts'

/** In the order in which they are asked: what costs a signature comes after what does not. */
export const methods = [x5tS256, jwk, dpop, wimse, spiffe] as const

export type MethodName = (typeof methods)[number]['name']

export const methodNames: readonly MethodName[] = methods.map((method) => method.name)
