/** The policy language v1alpha1 as one schema: the types, the structural checks and the published JSON Schema come from here. */

import { z } from 'zod'
import { methodNames } from '../confirmation/methods.ts'
import { modes } from '../decision/decision.ts'
import { evidenceSources } from '../evidence/sources.ts'
import { spiffeIdGrammar, trustDomainGrammar, workloadIdSchemes } from '../evidence/spiffe-id.ts'
import { algorithms } from '../token/algorithms.ts'
import { durationGrammar } from './duration.ts'

const name = z
  .string()
  .regex(/^[a-z0-9-]{1,63}$/, 'must be lower-case letters, digits and dashes (at most 63)')
const text = z.string().min(1).max(2048)
const duration = z.string().regex(durationGrammar, 'must be a duration such as 30s, 10m or 1h')
const listOf = <Item extends z.ZodType>(item: Item) => z.array(item).min(1).max(1000)
const trustDomain = z
  .string()
  .regex(
    trustDomainGrammar,
    'must be a trust domain: lower-case letters, digits, dots, dashes, underscores',
  )
const spiffeId = z.string().max(2048).regex(spiffeIdGrammar, 'must be a SPIFFE ID')
const spiffePattern = text.describe('A SPIFFE ID, or one that ends in /* for everything below')
const algorithm = z.enum(algorithms)
const mode = z.enum(modes)

/** Exactly one of file, url, discovery; meaning.ts says so with a place. */
const keySource = z.strictObject({
  file: text.optional(),
  url: text.optional(),
  discovery: z.literal(true).optional(),
  caFile: text.optional(),
})

/** Exactly one of claim, kubernetes; meaning.ts says so. */
const identity = z.strictObject({ claim: text.optional(), kubernetes: trustDomain.optional() })

const introspection = z.strictObject({
  url: text,
  auth: z.enum(['basic', 'post', 'private_key_jwt', 'mtls']).optional(),
  clientId: text,
  clientSecretFile: text.optional(),
  clientKeyFile: text.optional(),
  clientCertFile: text.optional(),
  caFile: text.optional(),
  timeout: duration.optional(),
  cacheFor: duration.optional(),
  signed: z.strictObject({ keys: keySource }).optional(),
})

export const issuerSchema = z.strictObject({
  issuer: text.describe('The exact `iss` of the tokens'),
  audiences: listOf(text).describe('At least one must be in `aud`'),
  keys: keySource.optional(),
  introspection: introspection.optional(),
  algorithms: listOf(algorithm).optional(),
  types: listOf(text).optional().describe('JOSE `typ` values; `absent` for none'),
  maxLifetime: duration.optional().describe('Longest `exp` - `iat`; default 24h'),
  identity: identity.optional().describe('Where the workload’s SPIFFE ID is'),
})

const match = z.strictObject({
  hosts: listOf(text).optional(),
  methods: listOf(
    z.string().regex(/^[A-Z][A-Z-]{0,31}$/, 'must be an HTTP method in upper case'),
  ).optional(),
  paths: listOf(text).optional(),
  context: z.record(text, z.string().max(2048)).optional(),
})

const claimValue = z.union([z.string(), z.number(), z.boolean()], {
  error: 'must be a text, a number, true or false',
})

const requirement = z.strictObject({
  issuers: listOf(name).optional(),
  audiences: listOf(text).optional().describe('Narrows the audiences of the issuers'),
  bindings: listOf(z.enum(methodNames)).describe('At least one of these must be confirmed'),
  callers: listOf(spiffePattern).optional(),
  scopes: listOf(
    z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, 'must be one scope (RFC 6749 §3.3)'),
  )
    .max(32)
    .optional(),
  claims: z.record(text, listOf(claimValue)).optional(),
  maxLifetime: duration.optional(),
  maxAge: duration.optional(),
  unbound: z.literal('allow').optional(),
  rotation: z.strictObject({ grace: duration, backdate: duration.optional() }).optional(),
  delegation: z
    .strictObject({
      maxDepth: z.int().min(1).max(16).optional(),
      actors: listOf(spiffePattern).optional(),
    })
    .optional(),
  dpop: z.strictObject({ origins: listOf(text) }).optional(),
})

export const routeSchema = z.strictObject({
  name,
  match: match
    .optional()
    .describe('All that is given must match; nothing given matches everything'),
  mode: mode.optional(),
  require: z.union([z.literal('none'), requirement], {
    error: 'must be none, or what the route requires',
  }),
  forward: z
    .strictObject({
      token: z.enum(['keep', 'remove']).optional(),
      presenterHeader: z.boolean().optional(),
    })
    .optional(),
})

export const peerSchema = z.strictObject({
  evidence: listOf(z.enum(evidenceSources)).optional(),
  forwarders: listOf(
    z.union([spiffeId, z.strictObject({ id: spiffeId, presents: z.boolean().optional() })]),
  ).optional(),
  maxForwards: z.int().min(1).max(16).optional(),
  trustBundles: z.record(trustDomain, z.strictObject({ file: text })).optional(),
})

export const revocationSchema = z.strictObject({
  denylist: z.strictObject({ file: text }).optional(),
  statusList: z
    .strictObject({
      hosts: listOf(text),
      maxStale: duration.optional(),
      keys: keySource.optional(),
    })
    .optional(),
  events: z
    .record(name, z.strictObject({ issuer: text, audience: text, keys: keySource }))
    .optional(),
})

export const dpopSchema = z.strictObject({
  origins: listOf(text).describe(
    'Scheme and authority as clients see them: `htu` must be one of these and the path',
  ),
  maxAge: duration.optional(),
  nonce: z.enum(['disabled', 'optional', 'required']).optional(),
  algorithms: listOf(algorithm).optional(),
})

export const wimseSchema = z.strictObject({
  audiences: listOf(text).describe(
    'What `aud` of a WPT may be; below an origin, the target URI too',
  ),
  trustAnchors: z
    .record(
      trustDomain,
      z.strictObject({
        keys: keySource,
        schemes: listOf(z.enum(workloadIdSchemes))
          .optional()
          .describe('Whose identifiers the keys may sign: spiffe://… (default), wimse://…'),
      }),
    )
    .describe('Who signs the WITs of each trust domain'),
  maxLifetime: duration.optional().describe('How far ahead `exp` of a WPT may lie; default 2m'),
})

export const policySchema = z
  .strictObject({
    apiVersion: z.literal('meshbind/v1alpha1'),
    kind: z.literal('BindingPolicy'),
    metadata: z.strictObject({ name }),
    spec: z.strictObject({
      mode: mode.optional(),
      unmatched: z.enum(['deny', 'allow']).optional(),
      clockSkew: duration.optional().describe('At most 5m; default 30s'),
      trustDomains: listOf(trustDomain).describe('Whose SPIFFE IDs are identities here'),
      peer: peerSchema.optional(),
      issuers: z.record(name, issuerSchema),
      revocation: revocationSchema.optional(),
      dpop: dpopSchema.optional(),
      wimse: wimseSchema.optional(),
      routes: z.array(routeSchema).min(1).max(10_000).describe('The first that matches decides'),
    }),
  })
  .meta({ title: 'meshbind BindingPolicy v1alpha1' })

export type PolicyDocument = z.infer<typeof policySchema>
export type IssuerDocument = z.infer<typeof issuerSchema>
export type RouteDocument = z.infer<typeof routeSchema>
export type RequirementDocument = Exclude<RouteDocument['require'], 'none'>
export type KeySourceDocument = z.infer<typeof keySource>
export type IntrospectionDocument = z.infer<typeof introspection>
export type DpopDocument = z.infer<typeof dpopSchema>
export type WimseDocument = z.infer<typeof wimseSchema>
export type RevocationDocument = z.infer<typeof revocationSchema>
export type PeerDocument = z.infer<typeof peerSchema>

/** The JSON Schema (draft 2020-12) that `meshbind policy schema` prints and editors read. */
export function policyJsonSchema(): object {
  return z.toJSONSchema(policySchema, { io: 'input' })
}
