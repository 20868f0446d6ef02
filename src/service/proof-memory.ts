/** Where proofs are remembered, held against the policy: what an operator must know before proofs are relied on. */

import type { Policy } from '../check.ts'
import type { Log } from '../observe/log.ts'
import { isUnprotected } from '../policy/compile.ts'
import type { StateSettings } from './tools.ts'

export interface ProofMemorySettings extends Pick<StateSettings, 'state'> {
  /** How many share the work, as far as whoever deploys knows. */
  readonly replicas: number
}

/** Takes each policy that comes into force. Warns once, and anew only after a policy that takes no proofs. */
export function watchProofMemory(
  { state, replicas }: ProofMemorySettings,
  { app }: Log,
): (policy: Policy) => void {
  let warned = false
  return (policy) => {
    const concerned = state === 'memory' && takesProofs(policy)
    if (concerned && !warned) {
      if (replicas > 1) app.warn({ replicas }, memoryOfEach)
      else app.warn(memoryOnly)
    }
    warned = concerned
  }
}

const memoryOnly =
  'proofs are remembered by this process alone: those that may have been spent before it are refused for the length of clockSkew, and replicas need --state redis://…'
const memoryOfEach =
  'a proof can be spent once on each of the replicas, because each remembers for itself alone: share what they remember with --state redis://…'

function takesProofs({ routes }: Policy): boolean {
  return routes.some(
    ({ require }) =>
      !isUnprotected(require) &&
      (require.schemes.includes('DPoP') || require.bindings.has('wimse')),
  )
}
