/** The rig's policy, as meshbind reads it and as the oracle was told it: written twice on purpose. */

import type { OracleWorld, RouteRule } from './oracle.ts'

export const origin = 'https://payments.example'
export const audience = 'https://payments.mesh.example'
export const corpIssuer = 'https://idp.example'
export const partnerIssuer = 'https://partner.example'
export const skewSeconds = 1

export interface PolicyParts {
  readonly keysUrl: string
  /** A file beside the policy, for a key source with TLS of its own. */
  readonly keysCaFile?: string
  readonly introspectionUrl: string
  /** Beside spec.mode: `enforce` unless it is to be shown that the rig sees what is let through. */
  readonly mode?: 'enforce' | 'audit'
  /** The x5t route's callers and scope. */
  readonly callers?: string
  readonly scope?: string
}

export function policyText(parts: PolicyParts): string {
  const { keysUrl, keysCaFile, introspectionUrl, mode = 'enforce' } = parts
  const { callers = 'spiffe://mesh.example/ns/shop/*', scope = 'payments.write' } = parts
  return `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: faults }
spec:
  mode: ${mode}
  clockSkew: ${skewSeconds}s
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: ${corpIssuer}
      audiences: [${audience}]
      keys: { url: "${keysUrl}"${keysCaFile === undefined ? '' : `, caFile: ${keysCaFile}`} }
      maxLifetime: 15m
      identity: { claim: sub }
    partner:
      issuer: ${partnerIssuer}
      audiences: [${audience}]
      introspection:
        url: ${introspectionUrl}
        clientId: meshbind
        clientSecretFile: partner.secret
        cacheFor: 1s
      maxLifetime: 15m
  dpop: { origins: [${origin}] }
  wimse:
    audiences: [${origin}]
    trustAnchors: { mesh.example: { keys: { file: wit-jwks.json } } }
  revocation: { denylist: { file: revoked.yaml } }
  routes:
    - { name: health, match: { paths: [/healthz] }, require: none }
    - name: x5t
      match: { methods: [POST], paths: [/x5t] }
      require: { issuers: [corp], bindings: ["x5t#S256"], callers: ["${callers}"], scopes: [${scope}] }
    - name: jwk
      match: { methods: [POST], paths: [/jwk] }
      require: { issuers: [corp], bindings: [jwk], scopes: [payments.write] }
    - name: spiffe
      match: { methods: [POST], paths: [/spiffe] }
      require: { issuers: [corp], bindings: [spiffe], scopes: [payments.write] }
    - name: dpop
      match: { methods: [POST], paths: [/dpop] }
      require: { issuers: [corp], bindings: [dpop], scopes: [payments.write] }
    - name: wimse
      match: { methods: [POST], paths: [/wimse] }
      require: { bindings: [wimse], callers: ["spiffe://mesh.example/ns/shop/*"] }
    - name: opaque
      match: { methods: [POST], paths: [/opaque] }
      require: { issuers: [partner], bindings: ["x5t#S256"], scopes: [payments.write] }
`
}

const rule = (path: string, more: Partial<RouteRule> = {}): RouteRule => ({
  methods: ['POST'],
  issuers: [corpIssuer],
  audience,
  scopes: ['payments.write'],
  callers: [],
  identity: true,
  target: `${origin}${path}`,
  ...more,
})

const shop = ['spiffe://mesh.example/ns/shop/']

export interface MutableWorld extends OracleWorld {
  readonly revokedIds: Set<string>
  readonly keyIds: Set<string>
}

export function createWorld(): MutableWorld {
  return {
    rules: {
      x5t: rule('/x5t', { callers: shop }),
      jwk: rule('/jwk'),
      spiffe: rule('/spiffe'),
      dpop: rule('/dpop'),
      wimse: rule('/wimse', { callers: shop, scopes: [] }),
      opaque: rule('/opaque', { issuers: [partnerIssuer], identity: false }),
    },
    skewSeconds,
    maxLifetimeSeconds: 900,
    proofMaxAgeSeconds: 60,
    revokedIds: new Set(),
    keyIds: new Set(['key-1']),
  }
}
