/** What meshbind would refuse a text for, whatever the policy: by its kind, which `typ` tells. */

import { readWit } from '../confirmation/wit.ts'
import { isRefusal } from '../decision/decision.ts'
import { algorithms } from '../token/algorithms.ts'
import { judgeTime, readClaims } from '../token/claims.ts'
import type { UnverifiedJws } from '../token/jws.ts'

/** The default of a policy's `clockSkew`; an expired token is called expired at once. */
const clockSkewSeconds = 30

/** @param now Unix seconds. */
export function judgeForm(jws: UnverifiedJws, now: number): string[] {
  switch (jws.type) {
    case 'wit+jwt':
      return judgeWit(jws, now)
    case 'wpt+jwt':
    case 'dpop+jwt':
      return [`token_type_refused: ${jws.type} is a proof, which goes with a token and is none`]
    default:
      return judgeToken(jws, now)
  }
}

function judgeWit(jws: UnverifiedJws, now: number): string[] {
  const wit = readWit(jws)
  if (typeof wit === 'string') return [`workload_token_invalid: ${wit}`]
  if (now >= wit.expiresAt) return ['workload_token_invalid: expired']
  const early = wit.notBefore !== undefined && wit.notBefore > now + clockSkewSeconds
  return early ? ['workload_token_invalid: nbf'] : []
}

function judgeToken({ algorithm, claims }: UnverifiedJws, now: number): string[] {
  const problems = (algorithms as readonly string[]).includes(algorithm)
    ? []
    : ['token_algorithm_refused: no policy can list its alg']
  const facts = readClaims(claims, undefined)
  if (isRefusal(facts)) return [...problems, `${facts.refused}: ${facts.detail}`]
  if (now >= facts.expiresAt) return [...problems, 'token_expired']
  const rules = { clockSkewSeconds, maxAgeSeconds: Number.POSITIVE_INFINITY }
  const early = judgeTime(facts, rules, Number.POSITIVE_INFINITY, now)
  return early === undefined ? problems : [...problems, `${early.refused}: ${early.detail}`]
}
