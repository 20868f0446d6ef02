/** A token, tolerantly: what it says even where meshbind would refuse it, and what it would refuse it for. */

import { isUtf8 } from 'node:buffer'
import { isSameKey, readPublicKey, thumbprint } from '../confirmation/public-key.ts'
import { isRefusal } from '../decision/decision.ts'
import type { CertificateFacts } from '../evidence/certificate.ts'
import { judgeValidity } from '../evidence/peer.ts'
import { CommandError } from '../exit.ts'
import { isJsonObject, type JsonObject, member } from '../strict-json.ts'
import { holdsSecret } from '../token/algorithms.ts'
import { decodeBase64url, isSha256 } from '../token/base64url.ts'
import { readClaims } from '../token/claims.ts'
import { decodeObject, readJws } from '../token/jws.ts'
import { judgeForm } from './inspect-form.ts'

/** All times are Unix seconds. Of the signature there is nothing: with it the text would be a token again. */
export interface TokenReport {
  readonly signature: 'not verified'
  /** As text where it is no JSON in the strict reading. */
  readonly header: JsonObject | string
  readonly claims: JsonObject | string
  /** Whether it passes the strict reading of a JWS. */
  readonly readable: boolean
  /** What meshbind would refuse it for, whatever the policy. */
  readonly problems: readonly string[]
  readonly issuedAt: number | null
  readonly expiresAt: number | null
  readonly secondsLeft: number | null
  readonly lifetimeSeconds: number | null
  readonly boundTo: readonly { readonly member: string; readonly meaning: string }[]
  /** Subjects of `act`, the present actor first (RFC 8693 §4.1). */
  readonly actors: readonly unknown[]
  /** `status.status_list`: where its revocation would be looked up. */
  readonly statusList: unknown
  readonly certificate: CertificateReport | null
}

export interface CertificateReport {
  readonly spiffeId: string
  readonly x5tS256: string
  readonly notBefore: number
  readonly notAfter: number
  /** Whether now is within its validity. */
  readonly valid: boolean
  readonly comparisons: readonly { readonly by: string; readonly same: boolean }[]
  /** Null where the token is bound to a key that no certificate shows. */
  readonly matches: boolean | null
}

const maxShownLength = 2048
const maxActors = 16
const notKnown = 'not known to meshbind'

/** @param now Unix seconds. */
export function inspectToken(
  text: string,
  certificate: CertificateFacts | undefined,
  now: number,
): TokenReport {
  const parts = text.split('.')
  const [header = '', payload = '', signature = ''] = parts
  if (parts.length !== 3) throw new CommandError(describeShape(parts.length))
  const jws = readJws(text)
  const claims = decodeObject(payload)
  const { issuedAt, expiresAt } = timesOf(claims ?? {})
  return {
    signature: 'not verified',
    header: decodeObject(header) ?? decodeLoosely(header),
    claims: claims === undefined ? decodeLoosely(payload) : withoutSecrets(claims),
    readable: !isRefusal(jws),
    problems: [
      ...(isRefusal(jws)
        ? [`${jws.refused}: ${jws.detail}`]
        : [...judgeBinding(jws.claims), ...judgeForm(jws, now)]),
      ...describeFlaw('header', header),
      ...describeFlaw('payload', payload),
      ...describeFlaw('signature', signature),
    ],
    issuedAt,
    expiresAt,
    secondsLeft: expiresAt === null ? null : expiresAt - now,
    lifetimeSeconds: expiresAt === null || issuedAt === null ? null : expiresAt - issuedAt,
    boundTo: describeBinding(claims ?? {}),
    actors: actorsOf(claims ?? {}),
    statusList: member(objectIn(claims, 'status') ?? {}, 'status_list') ?? null,
    certificate: certificate === undefined ? null : compare(claims ?? {}, certificate, now),
  }
}

function describeShape(parts: number): string {
  if (parts === 5) return 'standard input: an encrypted token (JWE), which meshbind does not take'
  const said = `standard input: ${parts} part${parts === 1 ? '' : 's'} between dots, and a token (a compact JWS) has 3`
  return parts === 1 ? `${said}. What an opaque token means only its issuer can say` : said
}

/** What stands there, for a person to recognise. */
function decodeLoosely(part: string): string {
  return Buffer.from(part, 'base64url').toString('utf8').slice(0, maxShownLength)
}

/** Why a part fails the strict reading (token/base64url.ts, strict-json.ts), or nothing. */
function describeFlaw(name: 'header' | 'payload' | 'signature', part: string): string[] {
  const flaw = base64urlFlaw(part) ?? (name === 'signature' ? undefined : jsonFlaw(part))
  return flaw === undefined ? [] : [`the ${name} ${flaw}`]
}

function base64urlFlaw(part: string): string | undefined {
  if (part === '') return 'is empty'
  if (decodeBase64url(part) !== undefined) return undefined
  if (part.includes('=')) return 'is padded with =, which a JWS is not (RFC 7515 §2)'
  if (/[+/]/.test(part)) return 'is base64, not base64url: it has + or / (RFC 4648 §5)'
  const place = part.search(/[^A-Za-z0-9_-]/)
  if (place !== -1) return `has a character that is not base64url, at ${place + 1}`
  return part.length % 4 === 1
    ? 'was cut off, or has a character too many'
    : 'ends in bits that belong to no byte, a second spelling of the same (RFC 4648 §3.5)'
}

function jsonFlaw(part: string): string | undefined {
  if (decodeObject(part) !== undefined) return undefined
  const bytes = Buffer.from(part, 'base64url')
  if (!isUtf8(bytes)) return 'is not UTF-8'
  try {
    if (!isJsonObject(JSON.parse(bytes.toString('utf8')))) return 'is JSON, and no object'
  } catch {
    return 'is not JSON'
  }
  return 'has a key twice, a number that is no safe integer, more than 16 levels or half a surrogate pair'
}

function judgeBinding(claims: JsonObject): string[] {
  const bound = describeBinding(claims)
  const malformed = bound.filter(({ meaning }) => meaning === 'malformed')
  const unknown = bound.length > 0 && bound.every(({ meaning }) => meaning === notKnown)
  return [
    ...malformed.map(({ member: name }) => `binding_malformed: ${name}`),
    ...(unknown ? ['binding_unsupported: no member of cnf is known'] : []),
  ]
}

function timesOf(claims: JsonObject): { issuedAt: number | null; expiresAt: number | null } {
  const [issuedAt, expiresAt] = ['iat', 'exp'].map((name) => member(claims, name))
  return {
    issuedAt: typeof issuedAt === 'number' ? issuedAt : null,
    expiresAt: typeof expiresAt === 'number' ? expiresAt : null,
  }
}

function objectIn(object: JsonObject | undefined, name: string): JsonObject | undefined {
  const value = object === undefined ? undefined : member(object, name)
  return isJsonObject(value) ? value : undefined
}

/** A private key has no business in a token; where there is one, it is not spread further. */
function withoutSecrets(claims: JsonObject): JsonObject {
  const cnf = objectIn(claims, 'cnf')
  const jwk = objectIn(cnf, 'jwk')
  if (jwk === undefined || !holdsSecret(jwk)) return claims
  return { ...claims, cnf: { ...cnf, jwk: 'withheld: a private or a symmetric key' } }
}

/** What each confirmation of a token means; undefined where the value is malformed. */
function explainMember(name: string, value: unknown): string | undefined {
  if (name === 'x5t#S256' && isSha256(value))
    return `the certificate with SHA-256 thumbprint ${value} (RFC 8705 §3.1)`
  if (name === 'jkt' && isSha256(value))
    return `the DPoP key with thumbprint ${value}: each request needs a proof (RFC 9449 §6.1)`
  const key = name === 'jwk' ? readPublicKey(value) : undefined
  return (
    key &&
    `the key of the certificate, or in a WIT of the proofs, its thumbprint ${thumbprint(key)} (RFC 7800 §3.2)`
  )
}

function describeBinding(claims: JsonObject): TokenReport['boundTo'] {
  if (!Object.hasOwn(claims, 'cnf')) return []
  const members = Object.entries(objectIn(claims, 'cnf') ?? {})
  if (members.length === 0) return [{ member: 'cnf', meaning: 'malformed' }]
  const otherwise = (name: string) =>
    ['x5t#S256', 'jkt', 'jwk'].includes(name) ? 'malformed' : notKnown
  return members.map(([name, value]) => ({
    member: name,
    meaning: explainMember(name, value) ?? otherwise(name),
  }))
}

function actorsOf(claims: JsonObject): unknown[] {
  const actors: unknown[] = []
  let actor = objectIn(claims, 'act')
  while (actor !== undefined && actors.length < maxActors) {
    actors.push(member(actor, 'sub') ?? null)
    actor = objectIn(actor, 'act')
  }
  return actors
}

/** As confirmation/confirm.ts: each member that a certificate can confirm must be; without `cnf` the identity decides. */
function compare(claims: JsonObject, facts: CertificateFacts, now: number): CertificateReport {
  const { spiffeId, x5tS256, notBefore, notAfter } = facts
  const cnf = objectIn(claims, 'cnf') ?? {}
  const bound = [
    ...(Object.hasOwn(cnf, 'x5t#S256')
      ? [{ by: 'x5t#S256', same: member(cnf, 'x5t#S256') === x5tS256 }]
      : []),
    ...(Object.hasOwn(cnf, 'jwk')
      ? [{ by: 'jwk', same: isCertifiedKey(member(cnf, 'jwk'), facts) }]
      : []),
  ]
  const identity = { by: 'identity', same: identityOf(claims, facts.trustDomain) === spiffeId }
  const byCnf = bound.length > 0 ? bound.every(({ same }) => same) : null
  const byName = Object.hasOwn(claims, 'cnf') ? false : identity.same
  return {
    spiffeId,
    x5tS256,
    notBefore,
    notAfter,
    valid: judgeValidity(facts, now) === undefined,
    comparisons: [...bound, identity],
    matches: byCnf ?? (Object.hasOwn(cnf, 'jkt') ? null : byName),
  }
}

function isCertifiedKey(jwk: unknown, { publicJwk }: CertificateFacts): boolean {
  const [wanted, actual] = [readPublicKey(jwk), readPublicKey(publicJwk)]
  return wanted !== undefined && actual !== undefined && isSameKey(wanted, actual)
}

/** `act.sub` where there is `act` (policy.md, Delegation), else `sub`, as such or as a Kubernetes ServiceAccount's. */
function identityOf(claims: JsonObject, trustDomain: string): unknown {
  const actor = objectIn(claims, 'act')
  if (actor !== undefined) return member(actor, 'sub')
  const [plain, account] = [{ claim: 'sub' }, { kubernetes: trustDomain }].map((source) =>
    readClaims(claims, source),
  )
  if (plain === undefined || account === undefined || isRefusal(plain) || isRefusal(account))
    return member(claims, 'sub')
  return plain.identity ?? account.identity
}
