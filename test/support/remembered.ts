/** The kit of the tests about what is remembered: questions at any second, and tokens that have passed before. */

import { randomBytes } from 'node:crypto'
import { encodeCheckRequest } from './check-request.ts'
import type { Leaf } from './pki.ts'
import type { Question, World } from './world.ts'

export interface Answer {
  readonly reason: string
  /** Not told where the token itself is refused. */
  readonly cache: string | null
}

export interface Memory {
  /** Unix seconds: when the kit was made. */
  readonly now: number
  at(seconds: number, as: Leaf, token: string, parts?: Question): Promise<Answer>
  ask(as: Leaf, token: string, parts?: Question): Promise<Answer>
  /** A token of the owner that has been verified and allowed before. */
  warm(claims?: object): Promise<string>
}

export function rememberIn(world: World): Memory {
  const now = world.now()
  const path = '/v1/payments'

  async function at(seconds: number, as: Leaf, token: string, parts: Question = {}) {
    const question = { path, certificate: as.envoyText, principal: as.spiffeId, token, ...parts }
    const { reason, line } = await world.askBytes(encodeCheckRequest(question), seconds)
    return { reason, cache: JSON.parse(line).cache }
  }
  const ask: Memory['ask'] = (as, token, parts) => at(now, as, token, parts)
  return {
    now,
    at,
    ask,
    async warm(claims = {}) {
      const jti = randomBytes(8).toString('hex')
      const token = await world.token({ iat: now, exp: now + 300, jti, ...claims })
      await ask(world.orders, token)
      return token
    },
  }
}
