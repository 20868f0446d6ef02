/** One line of the decision log, read back strictly: every member that an explanation uses has its type and a bound. */

import type { HeaderChanges, Mode } from '../decision/decision.ts'
import { type Reason, reasons } from '../decision/reasons.ts'

/** The members of contract §6 that an explanation uses, as observe/decision-log.ts writes them. */
export interface DecisionLine {
  /** RFC 3339. */
  readonly time: string
  readonly decision_id: string
  readonly decision: 'allow' | 'deny'
  readonly enforced: boolean
  readonly mode: Mode
  /** Null on an allow. */
  readonly reason: Reason | null
  readonly detail: string | null
  readonly route: string | null
  /** Empty where no policy was looked at. */
  readonly policy_revision: string
  readonly request: { readonly method: string; readonly host: string; readonly path: string } | null
  readonly presenter: {
    readonly spiffe_id: string
    readonly x5t_s256: string | null
    readonly evidence: string
  } | null
  readonly peer: string | null
  readonly forwards: readonly string[]
  readonly token: {
    readonly issuer: string
    readonly subject: string
    readonly kid: string | null
    readonly confirmation: readonly string[]
    /** Unix seconds. */
    readonly expires_at: number
    readonly issued_at: number
  } | null
  readonly method: string | null
  /** Absent in lines of earlier versions. */
  readonly withheld?: HeaderChanges | null
  readonly duration_us: number
}

type Test = (value: unknown) => boolean
type Shape = { readonly [member: string]: readonly [test: Test, expected: string] }

/** Beyond what the log writes: 512 characters of a text, and a SPIFFE ID of 2,048 bytes. */
const maxTextLength = 4096
const maxItems = 64

const isText: Test = (value) => typeof value === 'string' && value.length <= maxTextLength
const isTexts: Test = (value) =>
  Array.isArray(value) && value.length <= maxItems && value.every(isText)
const isWhole: Test = (value) => Number.isSafeInteger(value)
const isTime: Test = (value) => isText(value) && !Number.isNaN(Date.parse(String(value)))
const orNull =
  (test: Test): Test =>
  (value) =>
    value === null || test(value)

const text: Shape[string] = [isText, 'a text']
const textOrNull: Shape[string] = [orNull(isText), 'a text or null']
const texts: Shape[string] = [isTexts, 'a list of texts']
const whole: Shape[string] = [isWhole, 'a whole number']
const objectOrNull: Shape[string] = [orNull(isObject), 'an object or null']

const line: Shape = {
  v: [(value) => value === 1, '1, the version of the log that is understood'],
  type: [(value) => value === 'decision', '`decision`; other lines explain nothing'],
  time: [isTime, 'a time as RFC 3339 writes it'],
  decision_id: text,
  decision: [(value) => value === 'allow' || value === 'deny', 'allow or deny'],
  enforced: [(value) => typeof value === 'boolean', 'true or false'],
  mode: [(value) => ['enforce', 'audit', 'disabled'].includes(String(value)), 'a mode'],
  reason: [orNull(isReason), 'null, or a reason that this version knows'],
  detail: textOrNull,
  route: textOrNull,
  policy_revision: text,
  request: objectOrNull,
  presenter: objectOrNull,
  peer: textOrNull,
  forwards: texts,
  token: objectOrNull,
  method: textOrNull,
  withheld: [
    (value) => value === undefined || value === null || isObject(value),
    'an object or null',
  ],
  duration_us: whole,
}

const inside: { readonly [member: string]: Shape } = {
  request: { method: text, host: text, path: text },
  presenter: { spiffe_id: text, x5t_s256: textOrNull, evidence: text },
  token: {
    issuer: text,
    subject: text,
    kid: textOrNull,
    confirmation: texts,
    expires_at: whole,
    issued_at: whole,
  },
  withheld: { set: texts, remove: texts },
}

/** Members besides these are passed over: the log may grow. Throws with a message that names the member, not its value. */
export function readDecisionLine(value: { readonly [name: string]: unknown }): DecisionLine {
  requireShape(value, line, '')
  for (const [member, shape] of Object.entries(inside)) {
    const object = value[member]
    if (isObject(object)) requireShape(object, shape, `${member}.`)
  }
  const read = value as unknown as DecisionLine
  if ((read.reason === null) !== (read.decision === 'allow'))
    throw new Error('the decision line: `reason` stands on a deny, and on nothing else')
  return read
}

function requireShape(object: { readonly [name: string]: unknown }, shape: Shape, place: string) {
  for (const [name, [test, expected]] of Object.entries(shape)) {
    if (!test(Object.hasOwn(object, name) ? object[name] : undefined))
      throw new Error(`the decision line: \`${place}${name}\` must be ${expected}`)
  }
}

function isReason(value: unknown): boolean {
  return typeof value === 'string' && Object.hasOwn(reasons, value)
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
