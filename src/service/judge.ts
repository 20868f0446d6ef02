/** The judge of a check: one policy, with the tools that outlast it. */

import { giveUp } from '../answer.ts'
import { check, type Policy, type Tools } from '../check.ts'
import { denyOutright } from '../decision/decision.ts'
import type { Judge } from '../wire/handler.ts'

/** @param clock Unix seconds. */
export function createJudge(policy: Policy, tools: Tools, clock: () => number): Judge {
  return {
    decide: (request) => check(request, policy, tools, clock()),
    refuse: (refusal, request) => giveUp(policy, tools.proofs.nonces, refusal, request, clock()),
  }
}

/** No mode softens it: nothing has been looked at yet. */
export const notReady: Judge = {
  decide: async () => denyOutright('not_ready'),
  refuse: ({ refused, detail }) => denyOutright(refused, detail),
}
