/** One decision → the bytes of one CheckResponse. Status and HTTP part come from the same value, here and nowhere else. */

import protobuf, { type Writer } from 'protobufjs/minimal.js'
import { challengeOf } from '../decision/challenge.ts'
import type { Allow, Decision, Deny } from '../decision/decision.ts'
import { reasons } from '../decision/reasons.ts'

const codeOk = 0

/**
 * Envoy reads `status.code` alone: 0, or no status, allows whatever else is said. So the two kinds are written by two
 * functions, each with its own code, and a refusal's code comes from the table, where none is 0.
 */
export function encodeCheckResponse(decision: Decision, decisionId: string): Buffer {
  const writer = protobuf.Writer.create()
  if (decision.verdict === 'allow') writeAllow(writer, decision)
  else writeDeny(writer, decision, decisionId)
  writeMetadata(writer, decision, decisionId)
  return writer.finish() as Buffer
}

function writeAllow(writer: Writer, decision: Allow): void {
  writeStatus(writer, codeOk)
  writer.uint32(tag(3)).fork() // ok_response
  for (const [name, value] of decision.setHeaders) writeHeader(writer, name, value)
  for (const name of decision.removeHeaders) writer.uint32(tag(5)).string(name)
  writer.ldelim()
}

function writeDeny(writer: Writer, decision: Deny, decisionId: string): void {
  const { http, grpc, title } = reasons[decision.reason]
  const challenge = challengeOf(decision.reason, decision.challenge)
  writeStatus(writer, grpc)
  writer.uint32(tag(2)).fork() // denied_response
  writer.uint32(tag(1)).fork().uint32(tag(1, varint)).int32(http).ldelim()
  if (challenge !== undefined) writeHeader(writer, 'www-authenticate', challenge)
  writeHeader(writer, 'content-type', 'application/problem+json')
  writeHeader(writer, 'cache-control', 'no-store')
  writeHeader(writer, 'x-meshbind-decision-id', decisionId)
  const body = {
    type: 'about:blank',
    title,
    status: http,
    code: decision.reason,
    decision_id: decisionId,
  }
  writer.uint32(tag(3)).string(JSON.stringify(body))
  writer.ldelim()
}

function writeStatus(writer: Writer, code: number): void {
  writer.uint32(tag(1)).fork().uint32(tag(1, varint)).int32(code).ldelim()
}

/** A HeaderValueOption without `append`: overwrite, or add. */
function writeHeader(writer: Writer, name: string, value: string): void {
  writer.uint32(tag(2)).fork()
  writer.uint32(tag(1)).fork().uint32(tag(1)).string(name).uint32(tag(2)).string(value).ldelim()
  writer.ldelim()
}

/** For the access log: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%` and its like. */
function writeMetadata(writer: Writer, decision: Decision, decisionId: string): void {
  const { findings } = decision
  const presenter = findings.presenter?.spiffeId ?? ''
  writer.uint32(tag(4)).fork()
  writeText(writer, 'decision_id', decisionId)
  writeText(writer, 'decision', decision.verdict)
  writeBool(writer, 'enforced', decision.enforced)
  writeText(writer, 'mode', decision.mode)
  writeText(writer, 'reason', decision.verdict === 'deny' ? decision.reason : '')
  writeText(writer, 'route', findings.route ?? '')
  writeText(writer, 'policy_revision', decision.policyRevision)
  writeText(writer, 'presenter', presenter)
  writeText(writer, 'peer', presenter)
  writeText(writer, 'method', findings.method ?? '')
  writer.ldelim()
}

function writeText(writer: Writer, key: string, value: string): void {
  writer.uint32(tag(1)).fork().uint32(tag(1)).string(key)
  writer.uint32(tag(2)).fork().uint32(tag(3)).string(value).ldelim()
  writer.ldelim()
}

function writeBool(writer: Writer, key: string, value: boolean): void {
  writer.uint32(tag(1)).fork().uint32(tag(1)).string(key)
  writer.uint32(tag(2)).fork().uint32(tag(4, varint)).bool(value).ldelim()
  writer.ldelim()
}

const varint = 0
const lengthDelimited = 2

function tag(field: number, wireType = lengthDelimited): number {
  return (field << 3) | wireType
}
