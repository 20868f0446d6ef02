/** Whom a security event is about, as far as a token can tell: RFC 9493 subject identifiers and the complex subjects of SSF 1.0 §3. */

import { isJsonObject, type JsonObject, member } from '../strict-json.ts'

/** What to look for in a token: `sub`, `sid` (session) or `jti`. */
export interface SubjectTarget {
  readonly kind: 'subject' | 'session' | 'jti'
  readonly value: string
  /** Exact `iss`; undefined where the identifier does not name one. */
  readonly issuer: string | undefined
}

type Targets = readonly SubjectTarget[]
type Role = 'subject' | 'session' | 'either'

const maxTextLength = 2048
const maxAliases = 8

/**
 * Empty where the identifier is of a kind that no token carries (an email address, a device); undefined where it is
 * malformed.
 */
export function readSubject(value: unknown): Targets | undefined {
  if (!isJsonObject(value)) return undefined
  return member(value, 'format') === 'complex' ? readComplex(value) : readSimple(value, 'either')
}

/**
 * SSF 1.0, Complex Subjects: all members together name one principal. A token shows its user and its session and nothing of a device
 * or a tenant, and often no session either. So user and session are each revoked, and the other members are passed
 * over: that may revoke more than was meant, never less. An application is looked for only where there is neither;
 * beside a user it would revoke the tokens of everybody.
 */
function readComplex(subject: JsonObject): Targets | undefined {
  const named = (['user', 'session'] as const).filter((name) => Object.hasOwn(subject, name))
  const roles = { user: 'subject', session: 'session', application: 'subject' } as const
  const names = named.length > 0 ? named : (['application'] as const)
  const targets: SubjectTarget[] = []
  for (const name of names.filter((each) => Object.hasOwn(subject, each))) {
    const identifier = member(subject, name)
    const found = isJsonObject(identifier) ? readSimple(identifier, roles[name]) : undefined
    if (found === undefined) return undefined
    targets.push(...found)
  }
  return targets
}

/** @param role What the place of the identifier says about it. */
function readSimple(identifier: JsonObject, role: Role): Targets | undefined {
  const kind = role === 'session' ? 'session' : 'subject'
  switch (member(identifier, 'format')) {
    case 'iss_sub':
      return target(kind, member(identifier, 'sub'), member(identifier, 'iss'))
    case 'jwt_id':
      return target('jti', member(identifier, 'jti'), member(identifier, 'iss'))
    case 'uri': // a workload's SPIFFE ID
      return target(kind, member(identifier, 'uri'))
    case 'opaque':
      return readOpaque(member(identifier, 'id'), role)
    case 'aliases':
      return readAliases(member(identifier, 'identifiers'), role)
    default:
      return typeof member(identifier, 'format') === 'string' ? [] : undefined
  }
}

/** On its own it may name a session (as in CAEP 1.0 §3.1) or a user: looked for as both. */
function readOpaque(id: unknown, role: Role): Targets | undefined {
  if (role !== 'either') return target(role, id)
  const [session, subject] = [target('session', id), target('subject', id)]
  return session && subject && [...session, ...subject]
}

/** RFC 9493 §3.2.8: several names of one principal, none of them a list again. */
function readAliases(identifiers: unknown, role: Role): Targets | undefined {
  if (!Array.isArray(identifiers) || identifiers.length === 0 || identifiers.length > maxAliases)
    return undefined
  const targets: SubjectTarget[] = []
  for (const identifier of identifiers) {
    if (!isJsonObject(identifier) || member(identifier, 'format') === 'aliases') return undefined
    const found = readSimple(identifier, role)
    if (found === undefined) return undefined
    targets.push(...found)
  }
  return targets
}

/** @param issuer Left out where the format has none. */
function target(
  kind: SubjectTarget['kind'],
  value: unknown,
  ...issuer: [unknown?]
): Targets | undefined {
  if (!isText(value) || (issuer.length > 0 && !isText(issuer[0]))) return undefined
  return [{ kind, value, issuer: isText(issuer[0]) ? issuer[0] : undefined }]
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= maxTextLength
}
