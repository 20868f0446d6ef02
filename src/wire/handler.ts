/** One check, from bytes to bytes, in bounded time: overload, deadline and every failure are answered by an explicit deny. */

import {
  type Decision,
  denyOutright,
  isRefusal,
  type Refusal,
  refuse,
} from '../decision/decision.ts'
import type { Request } from '../request.ts'
import type { CheckCall } from './check-call.ts'
import { nextDecisionId } from './decision-id.ts'
import { decodeCheckRequest } from './decode.ts'
import { encodeCheckResponse } from './encode.ts'
import { createInFlight, type InFlightEntry } from './in-flight.ts'

/** A decision with what the log tells of its making. `request` is undefined where Envoy's question could not be read. */
export interface DecisionRecord {
  readonly id: string
  readonly decision: Decision
  readonly request: Request | undefined
  /** Unix milliseconds. */
  readonly time: number
  readonly durationMicroseconds: number
  /** `traceparent` of Envoy's own call: its span of this very check, where it traces. Looked up only when it is asked for. */
  callTraceparent(): string | undefined
}

/** One policy, from the question to the answer: a check keeps the one that it began with. */
export interface Judge {
  /**
   * May throw or never end: both are answered here.
   *
   * @param time How long the answer is waited for.
   */
  decide(request: Request, time: { leftMs(): number }): Promise<Decision>
  /** What comes of a refusal that is not the check's own. `request` is undefined where the question could not be read. */
  refuse(refusal: Refusal, request: Request | undefined): Decision
}

export interface HandlerOptions {
  /** The judge of a question that arrives now. */
  readonly judge: () => Judge
  readonly onDecision: (record: DecisionRecord) => void
  /** A failure of the judge or of the answer's encoding, for the application log. */
  readonly onError: (error: unknown, decisionId: string) => void
  readonly deadlineMs: number
  readonly maxInFlight: number
  readonly clock: Clock
}

export interface Clock {
  /** Unix milliseconds. */
  readonly now: () => number
  /** Milliseconds that only ever grow. */
  readonly monotonic: () => number
}

/** An answer must leave this long before Envoy stops waiting, or it is none. */
const marginMs = 10
/** Envoy's largest header block is 60 KiB by default, and stands in a question twice; bodies are not asked for. */
export const maxQuestionBytes = 256 * 1024

/**
 * For Envoy a gRPC error is no denial: `failure_mode_allow` turns it into an allow (ext_authz filter, `onFailure`).
 * So nothing here ends in an error status: neither a throwing check nor a slow one, nor bytes that are no question.
 */
export function createCheckHandler(options: HandlerOptions) {
  const inFlight = createInFlight(options.clock.monotonic)

  function handle(call: CheckCall): void {
    const check = new CheckUnderWay(call, options)
    if (inFlight.size >= options.maxInFlight) return check.giveUp(refuse('overloaded'))
    const budgetMs = Math.min(options.deadlineMs, call.deadline - check.time - marginMs)
    if (budgetMs <= 0) return check.giveUp(refuse('deadline_exceeded', 'no time left on arrival'))
    const question = call.request
    if (isRefusal(question)) return check.giveUp(question)
    if (question.length > maxQuestionBytes)
      return check.giveUp(refuse('request_malformed', 'over 256 KiB'))
    const request = decodeCheckRequest(question)
    if (isRefusal(request)) return check.giveUp(request)
    check.request = request
    check.dueAt = check.startedAt + budgetMs
    inFlight.add(check)
    void conclude(check, request)
  }

  /** A check counts as in flight until it has ended, answered or not: work that goes on is load. */
  async function conclude(check: CheckUnderWay, request: Request): Promise<void> {
    try {
      check.answer(await check.judge.decide(request, check))
    } catch (error) {
      tell(() => options.onError(error, check.id))
      check.giveUp(refuse('internal_error'))
    } finally {
      inFlight.remove(check)
    }
  }

  return { handle, inFlight: () => inFlight.size }
}

/** One object from question to record: a closure for each step would be a good part of what a warm check leaves behind. */
class CheckUnderWay implements InFlightEntry {
  readonly id = nextDecisionId()
  readonly judge: Judge
  readonly startedAt: number
  readonly time: number
  request: Request | undefined = undefined
  decision: Decision | undefined = undefined
  durationMicroseconds = 0
  dueAt = 0
  place = -1
  readonly #call: CheckCall
  readonly #options: HandlerOptions

  constructor(call: CheckCall, options: HandlerOptions) {
    this.judge = options.judge()
    this.startedAt = options.clock.monotonic()
    this.time = options.clock.now()
    this.#call = call
    this.#options = options
  }

  /** The first answer counts. Throws, unanswered, where it cannot be encoded. */
  answer(decision: Decision): void {
    if (this.decision !== undefined) return
    const bytes = encodeCheckResponse(decision, this.id)
    this.decision = decision
    this.#call.answer(bytes)
    const { clock, onDecision } = this.#options
    this.durationMicroseconds = Math.round((clock.monotonic() - this.startedAt) * 1000)
    tell(() => onDecision(this as DecisionRecord))
  }

  /** Answers in the judge's stead; where it fails at that too, nothing softens the refusal. */
  giveUp(refusal: Refusal): void {
    if (this.decision !== undefined) return
    let decision: Decision
    try {
      decision = this.judge.refuse(refusal, this.request)
    } catch (error) {
      tell(() => this.#options.onError(error, this.id))
      decision = denyOutright('internal_error')
    }
    this.answer(decision)
  }

  expire(): void {
    this.giveUp(refuse('deadline_exceeded'))
  }

  leftMs(): number {
    return this.dueAt - this.#options.clock.monotonic()
  }

  callTraceparent(): string | undefined {
    return this.#call.traceparent()
  }
}

/** A log that fails must not undo an answer, nor stop the next one. */
function tell(report: () => void): void {
  try {
    report()
  } catch {
    // there is nobody left to tell
  }
}
