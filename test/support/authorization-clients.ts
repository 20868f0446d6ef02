/**
 * What the kit's authorization server is told: its clients, its resources, how it looks at certificates, and where it
 * keeps what it has issued.
 */

import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { JWK } from 'jose'
import type { Client, Context, Resource } from 'oidc-provider'
import { audience } from './issuer.ts'
import { ordersId } from './world.ts'

/** Names of the two resources (RFC 8707); both stand for the audience of the kit. */
export const resources = {
  jwt: `${audience}/jwt`,
  opaque: `${audience}/opaque`,
} as const

export const scope = 'payments.write'

/** What meshbind shows of itself. Colons, and what a form encodes, must survive RFC 6749 §2.3.1. */
export const secret = 's3cret: 100% of this + that & more = all'
export const meshbindId = 'spiffe://mesh.example/ns/meshbind/sa/meshbind'
export const introspectors = {
  basic: 'mesh:basic',
  post: 'mesh:post',
  private_key_jwt: 'mesh:key',
  mtls: 'mesh:mtls',
} as const

/** Clients that have no certificate and show a secret. */
export const phone = 'phone'
export const legacy = 'legacy'
/** A public client with a user; its tokens, the refresh token too, are bound to the certificate that it shows. */
export const app = 'app'

export const settings = {
  clientDefaults: {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    id_token_signed_response_alg: 'ES256',
    introspection_signed_response_alg: 'ES256',
  },
  clientAuthMethods: [
    'client_secret_basic',
    'client_secret_post',
    'private_key_jwt',
    'tls_client_auth',
    'none',
  ],
  scopes: ['openid', 'offline_access'],
  cookies: { keys: ['of no browser'] },
  ttl: { AccessToken: 600, ClientCredentials: 600, RefreshToken: 600, IdToken: 600, Grant: 600 },
  findAccount: (_: Context, accountId: string) => ({
    accountId,
    claims: () => ({ sub: accountId }),
  }),
  issueRefreshToken: () => true,
}

/** SPIFFE IDs as client IDs: what a workload shows in the mesh, it shows here (RFC 8705 §2.1.2). */
export function clientsOf(clientKey: JWK): readonly object[] {
  const byCertificate = (client_id: string, spiffeId: string) => ({
    client_id,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_uri: spiffeId,
  })
  const bySecret = (client_id: string, method: string) => ({
    client_id,
    client_secret: secret,
    token_endpoint_auth_method: method,
  })
  return [
    { ...byCertificate(ordersId, ordersId), tls_client_certificate_bound_access_tokens: true },
    { ...bySecret(phone, 'client_secret_post'), dpop_bound_access_tokens: true },
    bySecret(legacy, 'client_secret_post'),
    {
      client_id: app,
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [callback],
      tls_client_certificate_bound_access_tokens: true,
    },
    bySecret(introspectors.basic, 'client_secret_basic'),
    bySecret(introspectors.post, 'client_secret_post'),
    {
      client_id: introspectors.private_key_jwt,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [clientKey] },
    },
    byCertificate(introspectors.mtls, meshbindId),
  ]
}

export const callback = 'https://app.example/callback'

export function featuresOf(signsAnswers: boolean): object {
  const socketOf = ({ req }: Context) => req.socket as TLSSocket
  const certificateOf = (context: Context) => {
    const { raw } = socketOf(context).getPeerCertificate()
    return raw === undefined ? undefined : new X509Certificate(raw)
  }
  return {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: {
      enabled: true,
      // A workload learns nothing of the tokens of others.
      allowedPolicy: (_: Context, { clientId }: Client) => clientId.startsWith('mesh:'),
    },
    jwtIntrospection: { enabled: signsAnswers },
    revocation: { enabled: true, allowedPolicy: () => true },
    dPoP: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      getCertificate: certificateOf,
      certificateAuthorized: (context: Context) => socketOf(context).authorized,
      certificateSubjectMatches: (context: Context, property: string, expected: string) =>
        property === 'tls_client_auth_san_uri' &&
        certificateOf(context)?.subjectAltName === `URI:${expected}`,
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_: Context, resource: string): Resource => ({
        audience,
        scope,
        accessTokenTTL: 600,
        ...(resource === resources.jwt
          ? { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }
          : { accessTokenFormat: 'opaque' }),
      }),
    },
  }
}

type Payload = { readonly [name: string]: unknown }

/** Keeps what one server issued in memory; the provider has such a one, and warns of it. Nothing lives long enough to expire. */
export function createStorage(): new (model: string) => object {
  const models = new Map<string, Map<string, Payload>>()
  return class {
    readonly #stored: Map<string, Payload>

    constructor(model: string) {
      this.#stored = models.get(model) ?? new Map()
      models.set(model, this.#stored)
    }
    async find(id: string) {
      return this.#stored.get(id)
    }
    async upsert(id: string, payload: Payload) {
      this.#stored.set(id, payload)
    }
    async destroy(id: string) {
      this.#stored.delete(id)
    }
    async consume(id: string) {
      this.#stored.set(id, { ...this.#stored.get(id), consumed: true })
    }
    async revokeByGrantId(grantId: string) {
      for (const [id, payload] of this.#stored)
        if (payload['grantId'] === grantId) this.#stored.delete(id)
    }
  }
}
