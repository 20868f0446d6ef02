/** Opaque tokens (RFC 7662): asked about once, remembered for a short time, and never waited for longer than a check may take. */

import { isRefusal, type Refusal, refuse } from '../decision/decision.ts'
import { type JsonObject, member } from '../strict-json.ts'
import { createSharedWork, createTextCache, wholeText } from '../text-cache.ts'
import { inTime } from '../time-limit.ts'
import { type AnswerSettings, readAnswer } from './introspection-answer.ts'
import { graceMs, IntrospectionFailure, type IntrospectionResult } from './introspection-call.ts'
import { estimateFactBytes, type Introspector, maxFactsBytes, type TokenFacts } from './verify.ts'

export interface IntrospectorOptions extends AnswerSettings {
  /** The response's members; rejects, with an `IntrospectionFailure` where the reason is known. */
  readonly ask: (token: string, signal: AbortSignal) => Promise<JsonObject>
  readonly timeoutMs: number
  /** How long an answer is believed without asking again. */
  readonly cacheForSeconds: number
  /** Unix seconds. */
  readonly clock: () => number
  /** Told of each call, and of each that was not made; `error` holds no secret. */
  readonly onCall?: (result: IntrospectionResult, error?: string) => void
}

export interface ClosableIntrospector extends Introspector {
  /** Gives up the calls that are under way, a little later: a check may have begun with this policy. */
  close(): void
}

/** At most this many calls at once: a flood of unknown texts must not become a flood at the issuer. */
export const maxCalls = 64
const failuresBeforePause = 5
const pauseMs = 1000
/** A check answers this long before its own time is over. */
const marginMs = 10
const maxRejectedSeconds = 10
const maxRejectedBytes = 4 * 1024 * 1024
const entryOverheadBytes = 512

/** The time in which an answer is believed; a clock that was set back ends it. */
interface Span {
  readonly since: number
  readonly until: number
}

/** An introspector with caches of its own: what one endpoint says of a text is nothing to another. */
export function createIntrospector(options: IntrospectorOptions): ClosableIntrospector {
  const { clock, cacheForSeconds, timeoutMs } = options
  const facts = createTextCache<TokenFacts & Span>(maxFactsBytes, estimateAnswerBytes, wholeText)
  /** Kept apart: junk cannot push good facts out. */
  const rejected = createTextCache<Refusal & Span>(
    maxRejectedBytes,
    (text) => 2 * text.length + entryOverheadBytes,
    wholeText,
  )
  const underWay = createSharedWork<TokenFacts | Refusal>()
  const calls = new Set<AbortController>()
  let closed = false
  let failures = 0
  let pause: NodeJS.Timeout | undefined
  /** After the pause: one call goes, the others wait for what comes of it. */
  let trying = false

  const late = () => {
    throw new IntrospectionFailure('timeout', `no answer within ${timeoutMs} ms`)
  }

  /** What is told about a call must not end it. */
  function report(result: IntrospectionResult, error?: string): void {
    try {
      options.onCall?.(result, error)
    } catch {
      // the log is the listener's own affair
    }
  }

  function noteFailure(): void {
    failures++
    if (failures < failuresBeforePause || closed) return
    clearTimeout(pause)
    pause = setTimeout(() => {
      pause = undefined
    }, pauseMs).unref()
  }

  /** Why no call may be made now. */
  function obstacle(): string | undefined {
    if (underWay.size >= maxCalls) return `${maxCalls} calls are under way`
    const failing = failures >= failuresBeforePause
    return failing && (pause !== undefined || trying) ? 'the last calls failed' : undefined
  }

  async function call(text: string): Promise<TokenFacts | Refusal> {
    const trial = failures >= failuresBeforePause
    if (trial) trying = true
    const end = new AbortController()
    calls.add(end)
    try {
      const answer = await inTime(timeoutMs, options.ask(text, end.signal), late, { ref: false })
      failures = 0
      report(member(answer, 'active') === true ? 'active' : 'inactive')
      return remember(text, answer)
    } catch (error) {
      end.abort()
      const known = error instanceof IntrospectionFailure
      const failure = known ? error : new IntrospectionFailure('failed', 'unknown error')
      if (failure.general) noteFailure()
      else failures = 0
      report(failure.result, failure.message)
      return refuse('introspection_unavailable', failure.result)
    } finally {
      calls.delete(end)
      if (trial) trying = false
    }
  }

  /** What an answer says stands for its time, well or not; that there was none is not remembered. */
  function remember(text: string, answer: JsonObject): TokenFacts | Refusal {
    const since = clock()
    const token = readAnswer(answer, options)
    if (isRefusal(token)) {
      const until = since + Math.min(cacheForSeconds, maxRejectedSeconds)
      rejected.set(text, { ...token, since, until })
      return token
    }
    const until = Math.min(since + cacheForSeconds, token.expiresAt)
    if (until > since) facts.set(text, { token, since, until })
    return { token }
  }

  function callOnce(text: string): Promise<TokenFacts | Refusal> {
    const why = underWay.find(text) === undefined ? obstacle() : undefined
    if (why === undefined) return underWay.take(text, () => call(text))
    report('refused', why)
    return Promise.resolve(refuse('introspection_unavailable', why))
  }

  return {
    kind: 'introspection',
    name: options.name,
    issuer: options.issuer,
    cache: facts,
    recall(text, now) {
      const known = facts.get(text)
      if (known === undefined || stands(known, now)) return known
      facts.delete(text)
      return undefined
    },
    async introspect(text, now, leftMs) {
      const known = rejected.get(text)
      if (known !== undefined && stands(known, now)) return known
      const asked = callOnce(text)
      if (leftMs === Number.POSITIVE_INFINITY) return asked
      // The call goes on when nobody waits any longer, and its answer is remembered for the next who asks.
      return inTime(Math.max(leftMs - marginMs, 1), asked, noAnswerInTime, { ref: false })
    },
    close() {
      closed = true
      clearTimeout(pause)
      setTimeout(() => {
        for (const each of calls) each.abort()
      }, graceMs).unref()
    },
  }
}

/** Other than a signed token's, the claims stand beside the text and not in it. */
function estimateAnswerBytes(text: string, facts: TokenFacts): number {
  return 2 * JSON.stringify(facts.token.all).length + estimateFactBytes(text, facts)
}

function noAnswerInTime(): Refusal {
  return refuse('introspection_unavailable', 'no answer within the time of a check')
}

function stands({ since, until }: Span, now: number): boolean {
  return now >= since && now < until
}
