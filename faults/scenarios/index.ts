/** Every scenario, in the order of the fault list. */

import type { Scenario } from '../scenario.ts'
import { certificateScenarios } from './certificates.ts'
import { clockScenarios } from './clock.ts'
import { dnsScenarios } from './dns.ts'
import { floodScenarios } from './floods.ts'
import { introspectionScenarios } from './introspection.ts'
import { keyScenarios } from './keys.ts'
import { logScenarios } from './log.ts'
import { policyScenarios } from './policy.ts'
import { processScenarios } from './process.ts'
import { redisScenarios } from './redis.ts'
import { resourceScenarios } from './resources.ts'
import { revocationScenarios } from './revocation.ts'
import { soakScenarios } from './soak.ts'
import { socketScenarios } from './socket.ts'

const byNumber = (text: string | undefined) => Number((text ?? 'F99').slice(1))

export const scenarios: readonly Scenario[] = [
  ...[...processScenarios, ...keyScenarios, ...introspectionScenarios, ...clockScenarios],
  ...[...policyScenarios, ...socketScenarios, ...resourceScenarios, ...floodScenarios],
  ...[...certificateScenarios, ...revocationScenarios, ...redisScenarios, ...logScenarios],
  ...[...dnsScenarios, ...soakScenarios],
].toSorted((a, b) => byNumber(a.covers[0]) - byNumber(b.covers[0]))
