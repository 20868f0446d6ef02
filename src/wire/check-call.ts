/** One call of Envoy's Check as the handler sees it, whether grpc-js reads it or direct-calls.ts does. */

import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import type { Refusal } from '../decision/decision.ts'

export interface CheckCall {
  /** The message, or why there is none. */
  readonly request: Buffer | Refusal
  /** Unix milliseconds; Infinity where the caller waits for ever. */
  readonly deadline: number
  /** Of the call itself: Envoy's span of this very check, where it traces. */
  traceparent(): string | undefined
  /** Once; a caller that has gone is none of the handler's business. */
  answer(message: Buffer): void
}

export function fromGrpcJs(
  call: ServerUnaryCall<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
): CheckCall {
  const deadline = call.getDeadline()
  return {
    request: call.request,
    deadline: deadline instanceof Date ? deadline.getTime() : deadline,
    traceparent: () => call.metadata.get('traceparent').map(String)[0],
    answer: (message) => callback(null, message),
  }
}
