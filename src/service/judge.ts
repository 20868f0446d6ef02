/** The judge of a check: one policy, with the tools that outlast it. */

import { giveUp } from '../answer.ts'
import { check, type Tools } from '../check.ts'
import { denyOutright } from '../decision/decision.ts'
import type { ReplayStore } from '../state/replay.ts'
import type { Judge } from '../wire/handler.ts'
import type { LivePolicy } from './live-policy.ts'

/** @param clock Unix seconds. */
export function createJudge(
  { policy, proofsSince }: LivePolicy,
  lasting: Tools,
  clock: () => number,
): Judge {
  const tools =
    proofsSince === undefined
      ? lasting
      : { ...lasting, replay: forgetBefore(proofsSince, lasting.replay) }
  return {
    decide: (request, time) => check(request, policy, tools, clock(), time),
    refuse: (refusal, request) => giveUp(policy, tools.proofs.nonces, refusal, request, clock()),
  }
}

/** What was spent before a change of the policy may not be known under it: as if the store had begun then. */
function forgetBefore(since: number, replay: ReplayStore): ReplayStore {
  return {
    get remembersSince() {
      return Math.max(replay.remembersSince ?? since, since)
    },
    spend: (key, expiresAt, now) => replay.spend(key, expiresAt, now),
  }
}

/** No mode softens it: nothing has been looked at yet. */
export const notReady: Judge = {
  decide: async () => denyOutright('not_ready'),
  refuse: ({ refused, detail }) => denyOutright(refused, detail),
}
