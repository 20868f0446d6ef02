/** Opaque tokens of a rehearsal: random texts, and in the place of the issuer's endpoint an introspector that knows them. */

import { randomBytes } from 'node:crypto'
import type { IssuerPlan } from '../policy/compile.ts'
import type { IntrospectionPlan } from '../policy/introspection-plan.ts'
import { createIntrospector } from '../token/introspection.ts'
import { readPlainAnswer } from '../token/introspection-answer.ts'
import { IntrospectionFailure } from '../token/introspection-call.ts'
import type { Introspector } from '../token/verify.ts'

export interface OpaqueIssuer {
  readonly introspector: Introspector
  /** A text for which the issuer answers with these members, or one that it does not know. */
  mint(answer: object | undefined): string
  close(): void
}

const tokenBytes = 32

/** @param now Unix seconds, at which the clock stands still. */
export function createOpaqueIssuer(
  { name, issuer, identity }: IssuerPlan,
  { timeoutMs, cacheForSeconds }: IntrospectionPlan,
  now: number,
): OpaqueIssuer {
  const answers = new Map<string, object>()
  const introspector = createIntrospector({
    name,
    issuer,
    identity,
    timeoutMs,
    cacheForSeconds,
    clock: () => now,
    async ask(token) {
      const members = answers.get(token) ?? { active: false }
      const answer = readPlainAnswer(Buffer.from(JSON.stringify(members)))
      if (typeof answer !== 'string') return answer
      throw new IntrospectionFailure('unusable', answer, false)
    },
  })
  return {
    introspector,
    mint(answer) {
      const text = randomBytes(tokenBytes).toString('base64url')
      if (answer !== undefined) answers.set(text, answer)
      return text
    },
    close: introspector.close,
  }
}
