/** One decision → the bytes of one CheckResponse. Status and HTTP part come from the same value, here and nowhere else. */

import { challengeOf } from '../decision/challenge.ts'
import type { Allow, Decision, Deny } from '../decision/decision.ts'
import { reasons } from '../decision/reasons.ts'
import { createProtoWriter } from './proto-writer.ts'

const codeOk = 0
/** HeaderValueOption.HeaderAppendAction OVERWRITE_IF_EXISTS_OR_ADD. */
const overwriteOrAdd = 2
/** The log has the whole chain; an answer must not grow with it. */
const maxForwardsLength = 4096
const writer = createProtoWriter()

/**
 * Envoy reads `status.code` alone: 0, or no status, allows whatever else is said. So what allows and what refuses are
 * written by two functions, each with its own code, and a refusal's code comes from the table, where none is 0. Field numbers are
 * those of protos/, which tests hold against this function and against upstream.
 */
export function encodeCheckResponse(decision: Decision, decisionId: string): Buffer {
  writer.begin()
  if (decision.verdict === 'allow') writeAllow(decision)
  else if (decision.waived !== undefined) writeWaived(decision, decision.waived.removeHeaders)
  else writeDeny(decision, decisionId)
  writeMetadata(decision, decisionId)
  return writer.finish()
}

function writeAllow({ setHeaders, removeHeaders, responseHeaders }: Allow): void {
  writeOk(setHeaders, removeHeaders, responseHeaders)
}

/** A refusal of mode audit: Envoy is told to allow, and the metadata what would have come of it. */
function writeWaived({ responseHeaders }: Deny, removeHeaders: readonly string[]): void {
  writeOk([], removeHeaders, responseHeaders)
}

function writeOk(
  setHeaders: Allow['setHeaders'],
  removeHeaders: readonly string[],
  responseHeaders: Allow['responseHeaders'],
): void {
  writeStatus(codeOk)
  const ok = writer.open(3) // ok_response
  for (const [name, value] of setHeaders) writeHeader(name, value)
  for (const name of removeHeaders) writer.text(5, name)
  for (const [name, value] of responseHeaders) writeResponseHeader(name, value)
  writer.close(ok)
}

function writeDeny(decision: Deny, decisionId: string): void {
  const { http, grpc, title } = reasons[decision.reason]
  const challenge = challengeOf(decision.reason, decision.challenge)
  writeStatus(grpc)
  const denied = writer.open(2) // denied_response
  const status = writer.open(1)
  writer.varint(1, http)
  writer.close(status)
  if (challenge !== undefined) writeHeader('www-authenticate', challenge)
  writeHeader('content-type', 'application/problem+json')
  writeHeader('cache-control', 'no-store')
  writeHeader('x-meshbind-decision-id', decisionId)
  for (const [name, value] of decision.responseHeaders) writeHeader(name, value)
  const body = {
    type: 'about:blank',
    title,
    status: http,
    code: decision.reason,
    decision_id: decisionId,
  }
  writer.text(3, JSON.stringify(body))
  writer.close(denied)
}

function writeStatus(code: number): void {
  const status = writer.open(1)
  writer.varint(1, code)
  writer.close(status)
}

/** A header of the answer (`headers`, of either kind): overwrites, or adds. */
function writeHeader(name: string, value: string): void {
  writer.close(openHeader(2, name, value))
}

/** `response_headers_to_add`, in place of what the upstream may have set: there is one DPoP-Nonce at most (RFC 9449 §8.2). */
function writeResponseHeader(name: string, value: string): void {
  const option = openHeader(6, name, value)
  writer.varint(3, overwriteOrAdd)
  writer.close(option)
}

/** Opens a HeaderValueOption with its header written. */
function openHeader(field: number, name: string, value: string): number {
  const option = writer.open(field)
  const header = writer.open(1)
  writer.text(1, name)
  writer.text(2, value)
  writer.close(header)
  return option
}

/** For the access log: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%` and its like. */
function writeMetadata(decision: Decision, decisionId: string): void {
  const { findings } = decision
  const struct = writer.open(4)
  writeText('decision_id', decisionId)
  writeText('decision', decision.verdict)
  writeBoolean('enforced', decision.enforced)
  writeText('mode', decision.mode)
  writeText('reason', decision.verdict === 'deny' ? decision.reason : '')
  writeText('route', findings.route ?? '')
  writeText('policy_revision', decision.policyRevision)
  writeText('presenter', findings.presenter?.spiffeId ?? '')
  writeText('peer', findings.peer ?? '')
  writeText('forwards', findings.forwarders?.join(' ').slice(0, maxForwardsLength) ?? '')
  writeText('method', findings.method ?? '')
  writer.close(struct)
}

function writeText(key: string, value: string): void {
  const entry = writer.open(1)
  writer.text(1, key)
  const holder = writer.open(2)
  writer.text(3, value)
  writer.close(holder)
  writer.close(entry)
}

function writeBoolean(key: string, value: boolean): void {
  const entry = writer.open(1)
  writer.text(1, key)
  const holder = writer.open(2)
  writer.varint(4, value ? 1 : 0)
  writer.close(holder)
  writer.close(entry)
}
