/** What the rollout tally takes from a live decision, and from a line of a decision log, which anyone may have written. */

import { type HeaderChanges, modes } from '../decision/decision.ts'
import { reasons } from '../decision/reasons.ts'
import type { LoggedDecision } from './decision-log.ts'
import type { Observation } from './rollout.ts'

export function observationOf({ decision, time }: LoggedDecision): Observation {
  const { findings } = decision
  const denied = decision.verdict === 'deny'
  return {
    time,
    route: findings.route ?? null,
    mode: decision.mode,
    decision: decision.verdict,
    enforced: decision.enforced,
    reason: denied ? decision.reason : null,
    presenter: findings.presenter?.spiffeId ?? null,
    issuer: findings.token?.issuer ?? null,
    method: findings.method ?? null,
    revision: decision.policyRevision,
    withheld: denied ? null : (decision.withheld ?? null),
  }
}

/** Why a line is no observation: it is of another kind, such as an application message; or it cannot be read. */
export type SkippedLine = 'other' | 'damaged'

/** A SPIFFE ID has at most 2048 bytes; the other texts are names. */
const maxIdLength = 2048
const maxNameLength = 256
const maxHeaders = 16
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/

type Members = { readonly [name: string]: unknown }

/** @param text One line, bounded by the caller. Members that the tally does not need are not looked at. */
export function parseDecisionLine(text: string): Observation | SkippedLine {
  const line = parseObject(text)
  if (line === undefined) return text.trim() === '' ? 'other' : 'damaged'
  if (line['type'] !== 'decision') return 'other'
  const { mode: modeText, decision, enforced } = line
  const time = parseTime(line['time'])
  const mode = modes.find((known) => known === modeText)
  const route = parseText(line['route'])
  const presenter = memberText(line['presenter'], 'spiffe_id', maxIdLength)
  const issuer = memberText(line['token'], 'issuer')
  const method = parseText(line['method'])
  const revision = parseText(line['policy_revision'])
  const withheld = parseWithheld(line['withheld'])
  if (line['v'] !== 1 || typeof enforced !== 'boolean') return 'damaged'
  if (decision !== 'allow' && decision !== 'deny') return 'damaged'
  if (time === undefined || mode === undefined || typeof revision !== 'string') return 'damaged'
  if (route === undefined || presenter === undefined || issuer === undefined) return 'damaged'
  if (method === undefined || withheld === undefined) return 'damaged'
  const reason = decision === 'deny' ? parseReason(line['reason']) : null
  return {
    time,
    route,
    mode,
    decision,
    enforced,
    reason,
    presenter,
    issuer,
    method,
    revision,
    withheld,
  }
}

function parseObject(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Members) : undefined
  } catch {
    return undefined
  }
}

function parseTime(value: unknown): number | undefined {
  if (typeof value !== 'string' || !instant.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) ? undefined : time
}

/** A reason that the table does not have, perhaps of a newer version, is counted under a word of its own. */
function parseReason(value: unknown): string {
  return typeof value === 'string' && Object.hasOwn(reasons, value) ? value : 'unknown'
}

/** Null stays null; undefined is the answer to anything that is no short text. */
function parseText(value: unknown, maxLength = maxNameLength): string | null | undefined {
  if (value === null) return null
  if (typeof value !== 'string' || value.length > maxLength) return undefined
  return showUnprintable(value)
}

function memberText(value: unknown, name: string, maxLength?: number): string | null | undefined {
  if (value === null) return null
  if (typeof value !== 'object') return undefined
  return parseText((value as Members)[name], maxLength) ?? undefined
}

/** Absent from the lines of older versions. */
function parseWithheld(value: unknown): HeaderChanges | null | undefined {
  if (value === null || value === undefined) return null
  if (typeof value !== 'object') return undefined
  const { set, remove } = value as Members
  const [setNames, removeNames] = [parseNames(set), parseNames(remove)]
  if (setNames === undefined || removeNames === undefined) return undefined
  return { set: setNames, remove: removeNames }
}

function parseNames(value: unknown): string[] | undefined {
  if (!Array.isArray(value) || value.length > maxHeaders) return undefined
  const names = value.map((name) => parseText(name))
  return names.every((name) => typeof name === 'string') ? names : undefined
}

/**
 * Control, format and line-breaking characters become their numbers: a terminal would obey them (ANSI escapes), and a
 * reader could be shown one name for another (bidirectional overrides).
 */
function showUnprintable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  )
}
