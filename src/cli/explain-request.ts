/** A CheckRequest judged here as a server would judge it: live keys and bundles, proofs spent in this process alone. */

import { setTimeout as sleep } from 'node:timers/promises'
import { check } from '../check.ts'
import { type Decision, denyOutright, isRefusal } from '../decision/decision.ts'
import { badInput, CommandError } from '../exit.ts'
import type { Material } from '../explain/explanation.ts'
import { readDecisionLine } from '../explain/line.ts'
import { tellSpan, tellTime } from '../explain/times.ts'
import { decisionLine } from '../observe/decision-log.ts'
import { createLog } from '../observe/log.ts'
import { revisionOf } from '../policy/compile.ts'
import { maxPolicyFileBytes, readPolicies } from '../policy/manifest.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { Request } from '../request.ts'
import { startPolicy } from '../service/live-policy.ts'
import { readOnlyPolicy } from '../service/only-policy.ts'
import { readTextFile } from '../service/read-file.ts'
import { createTools } from '../service/tools.ts'
import { createMemoryReplay } from '../state/memory.ts'
import { member } from '../strict-json.ts'
import { endsWithin } from '../time-limit.ts'
import { readCredential } from '../token/credential.ts'
import { readJws } from '../token/jws.ts'
import { decodeCheckRequest } from '../wire/decode.ts'

export interface PolicyFile {
  readonly file: string
  /** The policy's own text. */
  readonly text: string
  readonly document: PolicyDocument
  readonly revision: string
}

const sourcesTriedWithinMs = 10_000
const retryMs = 100
const maxClaimLength = 200
const nowSeconds = () => Math.floor(Date.now() / 1000)

export async function readPolicyFile(file: string): Promise<PolicyFile> {
  const source = await readTextFile(file, maxPolicyFileBytes).catch(badInput)
  const found = readOnlyPolicy(readPolicies(source))
  if (!found.ok) throw new CommandError(`${found.rendered(file, source)}\nThe policy is not valid.`)
  const { policy: document, text } = found
  return { file, text, document, revision: revisionOf(text) }
}

export interface Judging {
  /** Unix seconds; undefined: now. */
  readonly at: number | undefined
  readonly nonceKeyFile: string | undefined
  /** Told of each source that could not be read. */
  readonly onProblem: (message: string) => void
}

export async function judgeQuestion(
  question: Buffer,
  policy: PolicyFile,
  { at, nonceKeyFile, onProblem }: Judging,
): Promise<Material> {
  const request = decodeCheckRequest(question)
  const live = startPolicy(policy.document, {
    file: policy.file,
    text: policy.text,
    clock: nowSeconds,
    onFetch: (issuer, result, error) => {
      if (result !== 'ok') onProblem(`issuer ${issuer}: keys could not be read: ${error ?? result}`)
    },
    onIntrospection: (issuer, result, error) => {
      if (error !== undefined) onProblem(`issuer ${issuer}: introspection: ${result}: ${error}`)
    },
    onBundle: (domain, problem) => {
      if (problem !== undefined) onProblem(`trust bundle of ${domain}: ${problem}`)
    },
    onDenylist: (problem) => {
      if (problem !== undefined) onProblem(`denylist: ${problem}`)
    },
    onStatusList: (host, result, error) => {
      if (result !== 'ok') onProblem(`status list of ${host}: ${error ?? result}`)
    },
  })
  const now = at ?? nowSeconds()
  const settings = { state: 'memory', nonceKeyFile }
  const { tools, close } = await createTools(settings, createLog('error'), () => now)
  const limit = performance.now() + sourcesTriedWithinMs
  try {
    await endsWithin(sourcesTriedWithinMs, live.parts.tried())
    const missing = await live.parts.missing()
    if (missing.length > 0)
      throw new CommandError(`${missing.join('\n')}\nA server would not start with this policy.`)
    const judge = () =>
      isRefusal(request)
        ? denyOutright(request.refused, request.detail)
        : // This memory began with time itself: what was spent before is not for this process to say.
          check(request, live.policy, { ...tools, replay: createMemoryReplay(0) }, now)
    let decision = await judge()
    // A status list is fetched when a token first names it, and no check waits for it.
    while (isStale(decision) && performance.now() < limit) {
      await sleep(retryMs)
      decision = await judge()
    }
    const line = decisionLine({
      id: '',
      decision,
      request: isRefusal(request) ? undefined : request,
      time: now * 1000,
      durationMicroseconds: 0,
    })
    return {
      line: readDecisionLine(JSON.parse(line)),
      policy,
      claims: isRefusal(request) ? [] : tellClaims(request, now),
      judgedHere: true,
    }
  } finally {
    live.parts.close()
    await close()
  }
}

function isStale(decision: Decision): boolean {
  return decision.verdict === 'deny' && decision.reason === 'revocation_stale'
}

/** What the token says of itself: for the reader, and for nothing else. Whoever made it may have written anything. */
function tellClaims(request: Request, now: number): readonly string[] {
  const credential = readCredential(request.authorization)
  if (isRefusal(credential)) return []
  const jws = readJws(credential.token)
  if (isRefusal(jws)) return []
  const claim = (name: string) => tellClaim(member(jws.claims, name))
  return [
    'unverified, the token says of itself:',
    `typ ${jws.type ?? 'absent'}, alg ${tellClaim(jws.algorithm)}, kid ${tellClaim(jws.keyId)}`,
    `iss ${claim('iss')}, aud ${claim('aud')}`,
    ...(['iat', 'nbf', 'exp'] as const).flatMap((name) => {
      const time = member(jws.claims, name)
      if (typeof time !== 'number') return []
      const apart = tellSpan(time - now)
      return [`${name} ${tellTime(time)}, ${time > now ? `in ${apart}` : `${apart} ago`}`]
    }),
  ]
}

function tellClaim(value: unknown): string {
  const text = value === undefined ? 'absent' : JSON.stringify(value)
  return text.length <= maxClaimLength ? text : `${text.slice(0, maxClaimLength)}…`
}
