/** THE FORM of a policy test: what the YAML may hold. What a form cannot say is in meaning.ts. */

import { z } from 'zod'
import { reasons } from '../decision/reasons.ts'
import { evidenceSources } from '../evidence/sources.ts'
import { algorithms } from '../token/algorithms.ts'
import { suggestName } from './suggest.ts'
import { instantGrammar, timeGrammar } from './time.ts'

const name = z
  .string()
  .regex(/^[a-z0-9-]{1,63}$/, 'must be lower-case letters, digits and dashes (at most 63)')
const text = z.string().min(1).max(2048)
const header = z
  .string()
  .max(16 * 1024)
  .regex(/^[^\p{Cc}]*$/u, 'must be without control characters')
const time = z
  .string()
  .regex(timeGrammar, 'must be a time such as 2026-01-01T00:00:00Z, or from now on: -10m, +1h')
const stranger = z.literal('stranger')
const claims = z.record(text, z.unknown())
const reason = z.string().refine((name) => Object.hasOwn(reasons, name), {
  error: ({ input }) => `is no reason. ${suggestName(String(input), Object.keys(reasons))}`.trim(),
})

const peer = z.strictObject({
  // Any text that a certificate can hold as a URI, so that a broken identity can be tested.
  spiffeId: text.regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces'),
  notBefore: time.optional(),
  notAfter: time.optional(),
  keyOf: name.optional(),
  signedBy: stranger.optional(),
})

const token = z.strictObject({
  issuer: name,
  claims: claims.optional(),
  header: z
    .strictObject({ typ: text.nullable().optional(), kid: text.nullable().optional() })
    .optional(),
  bind: z
    .strictObject({
      'x5t#S256': name.optional(),
      jwk: name.optional(),
      dpop: name.optional(),
    })
    .optional(),
  issuedAt: time.optional(),
  expiresAt: time.optional(),
  signedBy: stranger.optional(),
})

const proof = z.strictObject({
  key: name,
  claims: claims.optional(),
  replayed: z.boolean().optional(),
})

const wit = z.strictObject({
  // Any text, so that a broken identifier can be tested.
  sub: text,
  key: name.optional(),
  claims: claims.optional(),
  header: z
    .strictObject({ typ: text.nullable().optional(), kid: text.nullable().optional() })
    .optional(),
  expiresAt: time.optional(),
  signedBy: stranger.optional(),
})

const wpt = z.strictObject({
  key: name.optional(),
  claims: claims.optional(),
  replayed: z.boolean().optional(),
})

const request = z.strictObject({
  method: text,
  host: text,
  path: z.string().min(1).max(8192),
  headers: z
    .record(
      z
        .string()
        .regex(
          /^(?:authorization|dpop|workload-identity-token|workload-proof-token|txn-token|x-forwarded-client-cert|x-meshbind-[a-z0-9-]{1,100})$/,
          'is of no header that meshbind reads: authorization, dpop, workload-identity-token, workload-proof-token, txn-token, x-forwarded-client-cert, x-meshbind-…',
        ),
      header,
    )
    .optional(),
  context: z.record(text, z.string().max(2048)).optional(),
})

/** What the Envoy beside the service sends; `xfcc-cert` is XFCC with `Cert` in each element. */
export const shownEvidence = [...evidenceSources, 'xfcc-cert'] as const

const test = z.strictObject({
  name: text.regex(/^[^\p{Cc}]*$/u, 'must be without control characters'),
  request,
  peer: name.optional(),
  via: z
    .union([name, z.array(name).min(1).max(16)], {
      error: 'must be the name of a peer, or a list of them from the client to the service',
    })
    .optional(),
  evidence: z.array(z.enum(shownEvidence)).min(1).optional(),
  token: name.optional(),
  scheme: z.enum(['Bearer', 'DPoP']).optional(),
  proof: z
    .union([name, proof], { error: 'must be the name of a key, or a map with `key`' })
    .optional(),
  wit: name.optional(),
  wpt: z
    .union([z.literal('none'), wpt], {
      error: 'must be none, or a map with `key`, `claims`, `replayed`',
    })
    .optional(),
  expect: z
    .union([z.enum(['allow', 'deny']), z.strictObject({ deny: reason })], {
      error: 'must be allow, deny, or { deny: REASON }',
    })
    .optional(),
})

export const testSchema = z.strictObject({
  apiVersion: z.literal('meshbind/v1alpha1'),
  kind: z.literal('PolicyTest'),
  policy: text,
  now: z.string().regex(instantGrammar, 'must be a time such as 2026-01-01T00:00:00Z'),
  peers: z.record(name, peer).optional(),
  keys: z.record(name, z.strictObject({ algorithm: z.enum(algorithms).optional() })).optional(),
  tokens: z.record(name, token).optional(),
  wits: z.record(name, wit).optional(),
  tests: z.array(test).min(1).max(10_000),
})

export type TestDocument = z.infer<typeof testSchema>
export type PeerFixture = z.infer<typeof peer>
export type TokenFixture = z.infer<typeof token>
export type ProofFixture = z.infer<typeof proof>
export type WitFixture = z.infer<typeof wit>
export type WptFixture = z.infer<typeof wpt>
export type TestCase = z.infer<typeof test>
export type ShownEvidence = (typeof shownEvidence)[number]
