/** The denylist file: text → revocation entries, read as strictly as the policy that names it (policy.md, Revocation entries). */

import { z } from 'zod'
import { parseWorkloadIdentifier } from '../evidence/spiffe-id.ts'
import { isOfIssuer, type RevocationEntry, takesBefore } from '../state/revocations.ts'
import { defineDocument, readDocument } from './document.ts'
import { error, type Problem, type Unplaced } from './problem.ts'

export type DenylistResult =
  | { readonly ok: true; readonly entries: readonly RevocationEntry[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** A ConfigMap holds at most 1 MiB. */
export const maxDenylistLength = 1024 * 1024

const text = z.string().min(1).max(2048)
const entry = z.strictObject({
  issuer: text.optional().describe('The exact `iss` of the tokens'),
  jti: text.optional(),
  subject: text.optional(),
  key: text.optional().describe('The `kid` of a key of the issuer'),
  presenter: z
    .string()
    .refine((id) => parseWorkloadIdentifier(id) !== undefined, 'must be a SPIFFE ID')
    .optional(),
  certificate: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/, 'must be an x5t#S256: 43 characters of base64url')
    .optional(),
  before: z.iso
    .datetime({ offset: true, error: 'must be a time such as 2026-11-22T10:00:00Z' })
    .optional()
    .describe('Tokens issued before; without it every token is hit'),
})
type Entry = z.infer<typeof entry>

const denylistKind = defineDocument({
  name: 'the denylist',
  schema: z.array(entry).max(20_000),
  findContradictions: (value) => (Array.isArray(value) ? value.flatMap(contradictionsOf) : []),
  maxLength: maxDenylistLength,
  firstLine: 'Write [] while nothing is revoked.',
})

/** Never throws. An entry of a denylist hits for as long as it is listed. */
export function parseDenylist(source: string): DenylistResult {
  const result = readDocument(source, denylistKind)
  return result.ok ? { ok: true, entries: result.value.map(readEntry) } : result
}

const named = ['jti', 'subject', 'key', 'presenter', 'certificate'] as const
const forms =
  'The forms: { issuer, jti }, { issuer, subject, before? }, { presenter, before? }, { certificate }, { issuer, key }.'

function contradictionsOf(value: unknown, index: number): Unplaced[] {
  const parsed = entry.safeParse(value)
  if (!parsed.success) return []
  const { issuer, before } = parsed.data
  const given = named.filter((name) => parsed.data[name] !== undefined)
  const [kind] = given
  if (kind === undefined || given.length > 1)
    return [error([index], `must have exactly one of ${named.join(', ')}`, forms)]
  const needsIssuer = isOfIssuer(kind)
  return [
    ...(needsIssuer && issuer === undefined
      ? [error([index], `\`${kind}\` needs the \`issuer\` that it is of`, forms)]
      : []),
    ...(!needsIssuer && issuer !== undefined
      ? [error([index, 'issuer'], `does not go with \`${kind}\``, forms)]
      : []),
    ...(!takesBefore(kind) && before !== undefined
      ? [error([index, 'before'], `does not go with \`${kind}\``, forms)]
      : []),
  ]
}

function readEntry({ issuer = '', jti, subject, key, ...rest }: Entry): RevocationEntry {
  const { presenter, certificate = '' } = rest
  const before = rest.before === undefined ? undefined : Math.ceil(Date.parse(rest.before) / 1000)
  const until = Number.POSITIVE_INFINITY
  if (jti !== undefined) return { revocation: { issuer, jti }, until }
  if (subject !== undefined) return { revocation: { issuer, subject, before }, until }
  if (key !== undefined) return { revocation: { issuer, key }, until }
  if (presenter !== undefined) return { revocation: { presenter, before }, until }
  return { revocation: { certificate }, until }
}
