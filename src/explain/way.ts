/** The way of one check, step by step, with what its decision line tells of each. */

import { type Reason, reasons } from '../decision/reasons.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { DecisionLine } from './line.ts'
import { endOf, type StepName, stepNames } from './steps.ts'
import { tellSpan, tellTime } from './times.ts'

export type StepState = 'passed' | 'failed' | 'not reached' | 'not needed'

export interface Step {
  readonly step: StepName
  readonly state: StepState
  /** What is known at this step, a line each. */
  readonly words: readonly string[]
}

/** What is known besides the line. */
export interface Besides {
  readonly policy?: PolicyDocument | undefined
  /** What the token says of itself, where the token is at hand; a line each, unverified. */
  readonly claims?: readonly string[] | undefined
  /** The decision was made here and now, not by a running server. */
  readonly judgedHere?: boolean | undefined
}

export function walk(line: DecisionLine, besides: Besides): readonly Step[] {
  return line.reason === null
    ? stepNames.map((step) => allowedStep(step, line, besides))
    : refusedWay({ ...line, reason: line.reason }, besides)
}

function refusedWay(line: DecisionLine & { reason: Reason }, besides: Besides): readonly Step[] {
  const { failed, during } = endOf(line)
  const { title } = reasons[line.reason]
  const unrecorded = during === 'decision'
  return stepNames.map((step): Step => {
    if (step === failed) {
      const cause = [`${line.reason}: ${title}`, ...(line.detail === null ? [] : [line.detail])]
      const claims = step === 'token' ? (besides.claims ?? []) : []
      const outcome = step === 'decision' ? tellDecision(line) : []
      return { step, state: 'failed', words: [...cause, ...claims, ...outcome] }
    }
    if (step === 'decision') return { step, state: 'failed', words: tellDecision(line) }
    if (unrecorded && !isRecorded(step, line))
      return {
        step,
        state: 'not reached',
        words: ['not recorded: the check had no end of its own'],
      }
    if (stepNames.indexOf(step) < stepNames.indexOf(during)) {
      const state = isSpared(step, line, besides) ? 'not needed' : 'passed'
      return { step, state, words: tellers[step](line, besides) }
    }
    return { step, state: 'not reached', words: [] }
  })
}

function isRecorded(step: StepName, line: DecisionLine): boolean {
  return (step === 'question' && line.request !== null) || (step === 'route' && line.route !== null)
}

function allowedStep(step: StepName, line: DecisionLine, besides: Besides): Step {
  const words = tellers[step](line, besides)
  const looked = ['question', 'route', 'decision'].includes(step) || !isOpen(line)
  const needed = looked && !isSpared(step, line, besides)
  return { step, state: needed ? 'passed' : 'not needed', words: looked ? words : [] }
}

/** What a check does without. */
function isSpared(step: StepName, line: DecisionLine, { policy }: Besides): boolean {
  switch (step) {
    case 'presenter':
      return line.presenter === null
    case 'credential':
    case 'token':
      return line.token === null && line.reason === null
    case 'revocation':
      return policy !== undefined && policy.spec.revocation === undefined
    case 'binding':
      return line.method === 'none'
    case 'access':
      return policy !== undefined && demandsOf(line, policy).length === 0
    case 'spent':
      return !restsOnProof(line)
    default:
      return false
  }
}

const tellers: {
  readonly [step in StepName]: (line: DecisionLine, besides: Besides) => readonly string[]
} = {
  question: tellQuestion,
  route: tellRoute,
  credential: ({ token, reason }) =>
    token === null && reason === null
      ? ['no token: the workload’s own is enough here']
      : ['one token in the Authorization header'],
  presenter: tellPresenter,
  token: tellToken,
  revocation: tellRevocation,
  binding: tellBinding,
  access: tellAccess,
  spent: tellSpent,
  decision: tellDecision,
}

function tellQuestion({ request }: DecisionLine): readonly string[] {
  return request === null ? [] : [`${request.method} ${request.host}${request.path}`]
}

function tellRoute(line: DecisionLine): readonly string[] {
  const { route, mode } = line
  const named = route === null ? 'no route' : `route ${route}`
  if (mode === 'disabled') return [`${named}, mode disabled: nothing was looked at`]
  if (route === null) return ['no route takes it, and the policy says `unmatched: allow`']
  const open = isOpen(line)
  return [`${named}, mode ${mode}${open ? ': it requires nothing (`require: none`)' : ''}`]
}

/** Nothing was asked for: neither a token nor a workload's own. */
function isOpen({ decision, token, method }: DecisionLine): boolean {
  return decision === 'allow' && token === null && method !== 'wimse'
}

function tellPresenter({ presenter, peer, forwards }: DecisionLine): readonly string[] {
  const relays = forwards.length === 0 ? [] : [`relayed by ${forwards.join(', then ')}`]
  if (presenter === null) return ['nobody showed a workload identity', ...relays]
  const thumbprint = presenter.x5t_s256 === null ? [] : [`certificate ${presenter.x5t_s256}`]
  const connected =
    peer === null || peer === presenter.spiffe_id ? [] : [`the connection is from ${peer}`]
  return [
    `${presenter.spiffe_id}, by ${presenter.evidence}`,
    ...thumbprint,
    ...connected,
    ...relays,
  ]
}

function tellToken({ token, time }: DecisionLine, { policy }: Besides): readonly string[] {
  if (token === null) return []
  const now = Date.parse(time) / 1000
  const left = token.expires_at - now
  const life =
    left >= 0
      ? `${tellSpan(left)} left`
      : `expired ${tellSpan(left)} before, which clockSkew allowed`
  return [
    `issuer ${token.issuer}, ${howKnown(token, policy)}`,
    `subject ${token.subject}`,
    `issued ${tellTime(token.issued_at)}, expires ${tellTime(token.expires_at)}: ${life}`,
    token.confirmation.length === 0
      ? 'not bound: it has no cnf'
      : `bound by cnf: ${token.confirmation.join(', ')}`,
  ]
}

/** An opaque token has no key: its issuer was asked (RFC 7662), or had been. */
function howKnown(
  { issuer, kid }: NonNullable<DecisionLine['token']>,
  policy: PolicyDocument | undefined,
): string {
  const issuers = policy?.spec.issuers ?? {}
  const asked = Object.hasOwn(issuers, issuer) ? issuers[issuer]?.introspection?.url : undefined
  if (asked !== undefined) return `by introspection at ${asked}`
  return kid === null ? 'no key name' : `key ${kid}`
}

function tellRevocation(_line: DecisionLine, { policy, judgedHere }: Besides): readonly string[] {
  const shared =
    'what `meshbind revoke` and security events wrote is not known here: see `meshbind revoke list`'
  if (policy !== undefined && policy.spec.revocation === undefined)
    return [`the policy names no source of revocations; ${shared}`]
  return judgedHere === true
    ? [`no list of the policy revokes it; ${shared}`]
    : ['nothing revokes the token or the workload']
}

const confirmed: { readonly [method: string]: string } = {
  'x5t#S256': 'x5t#S256: the token names the certificate of the presenter',
  jwk: 'jwk: the token names the key of the presenter’s certificate',
  spiffe: 'spiffe: the identity in the token is the presenter’s SPIFFE ID',
  dpop: 'dpop: the request is signed with the key that the token names',
  wimse: 'wimse: the request is signed with the key of the workload’s identity token',
  none: 'the token is not bound, and the route takes such tokens for now (`unbound: allow`)',
}

function tellBinding({ method }: DecisionLine): readonly string[] {
  if (method === null) return ['confirmed']
  return [(Object.hasOwn(confirmed, method) ? confirmed[method] : undefined) ?? method]
}

function tellAccess(line: DecisionLine, { policy }: Besides): readonly string[] {
  if (policy === undefined) return ['caller, claims and scopes are what the route asks for']
  const demands = demandsOf(line, policy)
  return demands.length === 0
    ? ['the route asks for no callers, claims or scopes']
    : [`the route’s ${demands.join(', ')} are met`]
}

function demandsOf(line: DecisionLine, { spec }: PolicyDocument): readonly string[] {
  const require = spec.routes.find(({ name }) => name === line.route)?.require
  if (require === undefined || require === 'none') return []
  return (['callers', 'claims', 'scopes'] as const).filter((name) => require[name] !== undefined)
}

function tellSpent(line: DecisionLine, { judgedHere }: Besides): readonly string[] {
  if (!restsOnProof(line)) return ['there is no proof to spend']
  return judgedHere === true
    ? ['not known here: only the running server remembers which proofs were used']
    : ['the proof was used for the first time']
}

function restsOnProof({ token, method }: DecisionLine): boolean {
  return method === 'wimse' || token?.confirmation.includes('jkt') === true
}

function tellDecision(line: DecisionLine): readonly string[] {
  if (line.reason === null) return ['allow']
  const { http, grpc } = reasons[line.reason]
  return line.enforced
    ? [`deny: HTTP ${http}, gRPC code ${grpc}`]
    : ['deny, recorded only: in mode audit Envoy was told to allow']
}
