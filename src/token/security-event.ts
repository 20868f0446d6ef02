/** Reads a security event token and says what it revokes: RFC 8417 in the profile of OpenID SSF 1.0 and CAEP 1.0. */

import { isRefusal } from '../decision/decision.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { readSubject, type SubjectTarget } from './event-subject.ts'
import { type SignatureKeys, verifySignedText } from './signed-text.ts'

/** One stream of events from one transmitter. */
export interface EventStream {
  /** Exact `iss` of the SETs. */
  readonly issuer: string
  /** Must be in `aud`. */
  readonly audience: string
  /** Exact `iss` of the tokens that this transmitter may revoke. */
  readonly tokenIssuers: ReadonlySet<string>
  /** The transmitter's. */
  readonly keys: SignatureKeys
  readonly clockSkewSeconds: number
}

/** Tokens with an `iat` before `before` (Unix seconds) are revoked; one that is named by its `jti`, whenever it was issued. */
export type EventRevocation =
  | { readonly issuer: string; readonly subject: string; readonly before: number }
  | { readonly issuer: string; readonly session: string; readonly before: number }
  | { readonly issuer: string; readonly jti: string }

export interface SecurityEvent {
  /** `jti` of the SET. */
  readonly id: string
  /** Unix seconds. */
  readonly issuedAt: number
  readonly revocations: readonly EventRevocation[]
  /** SSF 1.0 §8.1.4: the transmitter tries its stream out. */
  readonly verification?: { readonly state: string | undefined }
}

/** RFC 8935 §2.4: what the transmitter is told; `description` is fixed words, nothing of the SET. */
export interface EventError {
  readonly err:
    | 'invalid_request'
    | 'invalid_key'
    | 'invalid_issuer'
    | 'invalid_audience'
    | 'authentication_failed'
    | 'access_denied'
  readonly description: string
}

const maxSetLength = 64 * 1024
const maxEvents = 8
const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
const verificationType = 'https://schemas.openid.net/secevent/ssf/event-type/verification'

/**
 * `unavailable` where the keys are not at hand: a transmitter gives up on an error, but comes back after a 503, and
 * by then a key that is new has been fetched. So no revocation is lost to a key rotation.
 *
 * A SET that comes twice gives the same revocations. An event of another type is acknowledged and does nothing.
 *
 * @param now Unix seconds.
 */
export async function readSecurityEvent(
  text: string,
  stream: EventStream,
  now: number,
): Promise<SecurityEvent | EventError | 'unavailable'> {
  const rules = { type: 'secevent+jwt', maxLength: maxSetLength }
  const signed = await verifySignedText(text, rules, stream.keys)
  if (isRefusal(signed)) return signatureError(signed.refused)
  const { claims } = signed
  if (member(claims, 'iss') !== stream.issuer)
    return error('invalid_issuer', 'iss is not the issuer of this stream')
  if (![member(claims, 'aud')].flat().includes(stream.audience))
    return error('invalid_audience', 'aud does not name the audience of this stream')
  // SSF 1.0, SET profile: neither is an access token then a SET, nor a SET an access token.
  for (const name of ['sub', 'exp'])
    if (Object.hasOwn(claims, name)) return invalid(`${name} must not be there`)
  const [id, issuedAt] = [member(claims, 'jti'), member(claims, 'iat')]
  if (typeof id !== 'string' || id === '') return invalid('jti is missing or no string')
  if (!isTime(issuedAt)) return invalid('iat is missing or no time')
  const events = eventsOf(claims)
  if (events === undefined) return invalid(`events is no object of 1 to ${maxEvents} objects`)
  const revocations: EventRevocation[] = []
  for (const [type, event] of events) {
    const effect = effectOf(type, event)
    if (effect === 'malformed') return invalid('change_type is missing or unknown')
    if (effect === 'nothing') continue
    const dated = Object.hasOwn(event, 'event_timestamp')
    const occurredAt = dated ? member(event, 'event_timestamp') : issuedAt
    if (!isTime(occurredAt)) return invalid('event_timestamp is no time')
    // No timestamp reaches into the future: it would revoke tokens that are not issued yet, for as long as it likes.
    const before = Math.min(occurredAt, now + stream.clockSkewSeconds) + 1
    const found = revoke(member(claims, 'sub_id'), before, stream.tokenIssuers)
    if (!Array.isArray(found)) return found
    revocations.push(...found)
  }
  const event: SecurityEvent = { id, issuedAt, revocations }
  const verification = events.find(([type]) => type === verificationType)?.[1]
  if (verification === undefined) return event
  const state = member(verification, 'state')
  return { ...event, verification: { state: typeof state === 'string' ? state : undefined } }
}

type Effect = 'revoke' | 'nothing' | 'malformed'

/** Which events mean that tokens which are out already must not be taken any more. */
function effectOf(type: string, event: JsonObject): Effect {
  // CAEP 1.0 §3.1. §3.2: the claims in the token are no longer true, so the client must fetch another one.
  if (type === `${caep}session-revoked` || type === `${caep}token-claims-change`) return 'revoke'
  return type === `${caep}credential-change` ? credentialEffect(event) : 'nothing'
}

/**
 * CAEP 1.0 §3.3. `revoke` and `delete`: what the tokens were fetched with is not to be relied on. `update` is a changed
 * password or PIN, after which tokens go (RFC 9700 §4.14.2); of an X.509 certificate it is the renewal, which every
 * workload of a mesh does every few hours. `create` takes nothing away.
 */
function credentialEffect(event: JsonObject): Effect {
  switch (member(event, 'change_type')) {
    case 'revoke':
    case 'delete':
      return 'revoke'
    case 'update':
      return member(event, 'credential_type') === 'x509' ? 'nothing' : 'revoke'
    case 'create':
      return 'nothing'
    default:
      return 'malformed'
  }
}

/**
 * A transmitter speaks for the token issuers of its stream alone: what it says about others is left out, and a SET
 * that says nothing else is refused. So is one whose subject no token could carry: an acknowledgement would say
 * that something was revoked.
 */
function revoke(
  subject: unknown,
  before: number,
  tokenIssuers: ReadonlySet<string>,
): EventRevocation[] | EventError {
  const targets = readSubject(subject)
  if (targets === undefined) return invalid('sub_id is missing or malformed')
  if (targets.length === 0) return invalid('sub_id names nothing that a token carries')
  const own = targets.filter(({ issuer }) => issuer === undefined || tokenIssuers.has(issuer))
  if (own.length === 0)
    return error('access_denied', 'this stream may not revoke tokens of that issuer')
  return own.flatMap((target) =>
    [...(target.issuer === undefined ? tokenIssuers : [target.issuer])].map((issuer) =>
      revocationOf(target, issuer, before),
    ),
  )
}

function revocationOf(
  { kind, value }: SubjectTarget,
  issuer: string,
  before: number,
): EventRevocation {
  if (kind === 'jti') return { issuer, jti: value }
  return kind === 'subject'
    ? { issuer, subject: value, before }
    : { issuer, session: value, before }
}

/** RFC 8417 §2.2: by type, each an object. */
function eventsOf(claims: JsonObject): readonly (readonly [string, JsonObject])[] | undefined {
  const events = member(claims, 'events')
  const entries = isJsonObject(events) ? Object.entries(events) : []
  if (entries.length === 0 || entries.length > maxEvents) return undefined
  return entries.every((entry): entry is [string, JsonObject] => isJsonObject(entry[1]))
    ? entries
    : undefined
}

function signatureError(refused: string): EventError | 'unavailable' {
  if (refused === 'keys_unavailable' || refused === 'token_key_unknown') return 'unavailable'
  if (refused === 'token_algorithm_refused')
    return error('invalid_key', 'the signature algorithm is not taken')
  if (refused === 'token_signature_invalid')
    return error('authentication_failed', 'the signature is not valid')
  return invalid('the body is not a signed JWT of type secevent+jwt')
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}

function invalid(description: string): EventError {
  return error('invalid_request', description)
}

function error(err: EventError['err'], description: string): EventError {
  return { err, description }
}
