/** One check, from bytes to bytes, in bounded time: overload, deadline and every failure are answered by an explicit deny. */

import { randomUUID } from 'node:crypto'
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import {
  type Decision,
  denyOutright,
  isRefusal,
  type Refusal,
  refuse,
} from '../decision/decision.ts'
import type { Request } from '../request.ts'
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
  readonly callTraceparent: () => string | undefined
}

/** One policy, from the question to the answer: a check keeps the one that it began with. */
export interface Judge {
  /** May throw or never end: both are answered here. */
  decide(request: Request): Promise<Decision>
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
const maxQuestionBytes = 256 * 1024

type Call = ServerUnaryCall<Buffer, Buffer>
type Callback = sendUnaryData<Buffer>

/**
 * For Envoy a gRPC error is no denial: `failure_mode_allow` turns it into an allow (ext_authz filter, `onFailure`).
 * So nothing here ends in an error status: neither a throwing check nor a slow one, nor bytes that are no question.
 */
export function createCheckHandler(options: HandlerOptions) {
  const { clock } = options
  const inFlight = createInFlight(clock.monotonic)

  function handle(call: Call, callback: Callback): void {
    const id = randomUUID()
    const startedAt = clock.monotonic()
    const time = clock.now()
    let request: Request | undefined
    let answered = false

    const judge = options.judge()
    const callTraceparent = () => call.metadata.get('traceparent').map(String)[0]

    const answer = (decision: Decision): void => {
      if (answered) return
      const bytes = encodeCheckResponse(decision, id)
      answered = true
      callback(null, bytes)
      const durationMicroseconds = Math.round((clock.monotonic() - startedAt) * 1000)
      const record = { id, decision, request, time, durationMicroseconds, callTraceparent }
      tell(() => options.onDecision(record))
    }

    const give = (refusal: Refusal): void => answer(giveUp(judge, refusal, request, id))

    if (inFlight.size >= options.maxInFlight) return give(refuse('overloaded'))
    const budgetMs = Math.min(options.deadlineMs, remainingMs(call.getDeadline(), time) - marginMs)
    if (budgetMs <= 0) return give(refuse('deadline_exceeded', 'no time left on arrival'))
    if (call.request.length > maxQuestionBytes)
      return give(refuse('request_malformed', 'over 256 KiB'))
    const decoded = decodeCheckRequest(call.request)
    if (isRefusal(decoded)) return give(decoded)
    request = decoded

    const entry: InFlightEntry = {
      dueAt: startedAt + budgetMs,
      place: -1,
      expire: () => give(refuse('deadline_exceeded')),
    }
    inFlight.add(entry)
    void conclude(judge, decoded, answer, id, entry)
  }

  /** A check counts as in flight until it has ended, answered or not: work that goes on is load. */
  async function conclude(
    judge: Judge,
    request: Request,
    answer: (decision: Decision) => void,
    id: string,
    entry: InFlightEntry,
  ): Promise<void> {
    try {
      answer(await judge.decide(request))
    } catch (error) {
      tell(() => options.onError(error, id))
      answer(giveUp(judge, refuse('internal_error'), request, id))
    } finally {
      inFlight.remove(entry)
    }
  }

  /** The last catch: where the judge fails here too, nothing softens the refusal. */
  function giveUp(
    judge: Judge,
    refusal: Refusal,
    request: Request | undefined,
    id: string,
  ): Decision {
    try {
      return judge.refuse(refusal, request)
    } catch (error) {
      tell(() => options.onError(error, id))
      return denyOutright('internal_error')
    }
  }

  return { handle, inFlight: () => inFlight.size }
}

/** A log that fails must not undo an answer, nor stop the next one. */
function tell(report: () => void): void {
  try {
    report()
  } catch {
    // there is nobody left to tell
  }
}

/** grpc-js gives the caller's `grpc-timeout` as a point in time, Infinity if there is none. */
function remainingMs(deadline: Date | number, now: number): number {
  return (deadline instanceof Date ? deadline.getTime() : deadline) - now
}
