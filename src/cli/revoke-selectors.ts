/** What `meshbind revoke` is asked to revoke: exactly one thing, named in full, and nothing guessed. */

import { parseWorkloadIdentifier } from '../evidence/spiffe-id.ts'
import { CommandError } from '../exit.ts'
import { durationGrammar, durationSeconds } from '../policy/duration.ts'
import {
  isOfIssuer,
  type Revocation,
  type RevocationKind,
  revocationKinds,
  takesBefore,
} from '../state/revocations.ts'
import { instantSeconds } from './settings.ts'

export type Selectors = { readonly [name in RevocationKind | 'issuer']?: string }

export function readSelectors(flags: Selectors, before: number | undefined): Revocation {
  const given = revocationKinds.filter((name) => flags[name] !== undefined)
  const [kind] = given
  if (kind === undefined || given.length > 1) {
    const all = revocationKinds.map((name) => `--${name}`).join(', ')
    throw new CommandError(`name what to revoke with exactly one of ${all}`)
  }
  const value = flags[kind] ?? ''
  const ofIssuer = isOfIssuer(kind)
  if (value === '' || value.length > 2048) throw new CommandError(`--${kind}: is empty or too long`)
  if (ofIssuer !== (flags.issuer !== undefined))
    throw new CommandError(
      ofIssuer
        ? `--${kind} needs the --issuer that it is of`
        : `--issuer does not go with --${kind}`,
    )
  if (before !== undefined && !takesBefore(kind))
    throw new CommandError(`--before does not go with --${kind}`)
  const issuer = flags.issuer ?? ''
  if (ofIssuer && (issuer === '' || issuer.length > 2048))
    throw new CommandError('--issuer: is empty or too long')
  const cut = before === undefined ? {} : { before }
  switch (kind) {
    case 'jti':
      return { issuer, jti: value }
    case 'key':
      return { issuer, key: value }
    case 'subject':
      return { issuer, subject: value, ...cut }
    case 'session':
      return { issuer, session: value, ...cut }
    case 'presenter':
      if (parseWorkloadIdentifier(value) === undefined)
        throw new CommandError(
          '--presenter: is no SPIFFE ID such as spiffe://mesh.example/ns/batch/sa/job',
        )
      return { presenter: value, ...cut }
    case 'certificate':
      if (!/^[A-Za-z0-9_-]{43}$/.test(value))
        throw new CommandError(
          '--certificate: is no x5t#S256 (43 characters of base64url); it is `presenter.x5t_s256` of the decision log',
        )
      return { certificate: value }
  }
}

/** A token issued in this very second is to be hit by `now` too: iat has no fractions. */
export function readBefore(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (text === 'now') return now + 1
  const seconds = instantSeconds(text)
  if (Number.isNaN(seconds))
    throw new CommandError('--before: is no time; write now, or 2026-11-22T10:00:00Z')
  return Math.ceil(seconds)
}

export function readDuration(text: string): number {
  if (!durationGrammar.test(text) || durationSeconds(text) === 0)
    throw new CommandError(
      `--for: \`${text.slice(0, 32)}\` is no duration; write it like 24h or 30m`,
    )
  return durationSeconds(text)
}
