/** One call to an introspection endpoint: who asks, the form, the answer, and what went wrong (RFC 7662 §2, RFC 9701 §4). */

import http from 'node:http'
import https from 'node:https'
import { type JsonObject, member, parseStrictJson } from '../strict-json.ts'
import type { ClientProof } from './client-authentication.ts'
import { type FetchedDocument, FetchFailure, postForm } from './fetch.ts'
import {
  readPlainAnswer,
  readSignedAnswer,
  type SignedAnswerRules,
  signedAnswerType,
} from './introspection-answer.ts'

/** What came of a call, for metrics; `refused` was not made at all. */
export type IntrospectionResult =
  | 'active'
  | 'inactive'
  | 'unusable'
  | 'unauthorized'
  | 'failed'
  | 'timeout'
  | 'refused'

/** Why there is no answer. The message holds nothing of the token, the client's secret or the answer. */
export class IntrospectionFailure extends Error {
  readonly result: Exclude<IntrospectionResult, 'active' | 'inactive' | 'refused'>
  /** It says something of the endpoint, and not of this one token alone. */
  readonly general: boolean

  constructor(result: IntrospectionFailure['result'], message: string, general = true) {
    super(message)
    this.result = result
    this.general = general
  }
}

export interface IntrospectionCallOptions {
  readonly url: URL
  readonly timeoutMs: number
  readonly prove: () => Promise<ClientProof>
  /** PEM bundle in place of the system's, as it is now. */
  readonly readCa: () => Promise<string | undefined>
  /** Where only signed responses are taken. */
  readonly signed: Omit<SignedAnswerRules, 'maxLength'> | undefined
  /** Unix seconds. */
  readonly clock: () => number
}

export interface IntrospectionCall {
  /** The response's members; rejects with an `IntrospectionFailure`. */
  ask(token: string, signal: AbortSignal): Promise<JsonObject>
  close(): void
}

const badRequest = 400
/** After the end, for calls that checks wait for. */
export const graceMs = 1000
export const maxAnswerBytes = 64 * 1024
/** Longer than any call, so that it ends connections that nobody uses. */
const idleMs = 15_000
/** Of those that a server answers a token with that it finds no sense in. */
const aboutClient = new Set([401, 403, 408, 429])

export function createIntrospectionCall(options: IntrospectionCallOptions): IntrospectionCall {
  const { url, timeoutMs, signed } = options
  const { Agent } = url.protocol === 'https:' ? https : http
  const agent = new Agent({ keepAlive: true, timeout: idleMs })
  const accept = `application/${signed === undefined ? 'json' : signedAnswerType}`

  async function post(token: string, signal: AbortSignal): Promise<FetchedDocument> {
    const [{ headers, parameters, certificate }, ca] = await Promise.all([
      options.prove(),
      options.readCa(),
    ]).catch((error: Error) => {
      throw new IntrospectionFailure('failed', error.message)
    })
    const asked = [['token', token] as const, ['token_type_hint', 'access_token'] as const]
    const form = formOf([...asked, ...parameters])
    const limits = { timeoutMs, maxBytes: maxAnswerBytes, signal }
    const statuses = [badRequest]
    return postForm(url, form, { ...limits, statuses, accept, headers, certificate, ca, agent })
  }

  return {
    async ask(token, signal) {
      const { bytes, status } = await post(token, signal).catch((error: unknown) => {
        throw failureOf(error)
      })
      if (status === badRequest) return judgeError(bytes)
      const answer =
        signed === undefined
          ? readPlainAnswer(bytes)
          : await readSignedAnswer(bytes, { ...signed, maxLength: maxAnswerBytes }, options.clock())
      if (typeof answer === 'string')
        throw new IntrospectionFailure('unusable', `the answer is ${answer}`, false)
      return answer
    },
    close() {
      setTimeout(() => agent.destroy(), graceMs).unref()
    },
  }
}

/**
 * A server that introspects one kind of its tokens and is asked about another, an ID token say, answers with an error
 * that is about the token (RFC 7009 §2.2.1, whose error it is): nobody's to mend here. Any other is about the request.
 */
function judgeError(bytes: Uint8Array): JsonObject {
  const told = parseStrictJson(bytes)
  if (told !== undefined && member(told, 'error') === 'unsupported_token_type')
    return { active: false }
  throw new IntrospectionFailure('failed', `answered ${badRequest}; 200 is needed`, false)
}

/** Whatever is in a value, it stays one value (WHATWG URL §5.2). */
function formOf(parameters: ClientProof['parameters']): string {
  const form = new URLSearchParams()
  for (const [name, value] of parameters) form.append(name, value)
  return form.toString()
}

function failureOf(error: unknown): IntrospectionFailure {
  if (error instanceof IntrospectionFailure) return error
  if (!(error instanceof FetchFailure)) return new IntrospectionFailure('failed', 'unknown error')
  const { kind, status = 0, message } = error
  if (kind === 'timeout') return new IntrospectionFailure('timeout', message)
  if (kind === 'body') return new IntrospectionFailure('unusable', message)
  if (status === 401 || status === 403)
    return new IntrospectionFailure(
      'unauthorized',
      `answered ${status}: it does not take this client`,
    )
  const general = status < 400 || status >= 500 || aboutClient.has(status)
  return new IntrospectionFailure('failed', message, general)
}
