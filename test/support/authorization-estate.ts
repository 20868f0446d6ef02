/**
 * A mesh whose tokens come from real authorization servers: one that issues JWTs, and six whose opaque tokens are
 * introspected, each in another way. They are seven because a policy takes one issuer for one `iss`.
 */

import { exportJWK, generateKeyPair } from 'jose'
import {
  introspectors,
  legacy,
  meshbindId,
  phone,
  resources,
  scope,
  secret,
} from './authorization-clients.ts'
import {
  type AuthorizationServer,
  startAuthorizationServer,
  type Tokens,
} from './authorization-server.ts'
import { createDpopClient, type DpopClient } from './dpop.ts'
import { type Rig, startRig } from './e2e.ts'
import { audience } from './issuer.ts'
import { type Answer, call, secret as reached } from './mesh.ts'
import { createAuthority, type Leaf } from './pki.ts'
import { ordersId } from './world.ts'

/** Each is the name of an issuer in the policy, and of the route that takes its tokens. */
const asked = {
  basic: `auth: basic, clientId: "${introspectors.basic}", clientSecretFile: secret`,
  post: `auth: post, clientId: "${introspectors.post}", clientSecretFile: secret, cacheFor: 1s`,
  key: `auth: private_key_jwt, clientId: "${introspectors.private_key_jwt}", clientKeyFile: client.jwk`,
  mtls: `auth: mtls, clientId: "${introspectors.mtls}", clientCertFile: meshbind.pem, clientKeyFile: meshbind.key`,
  signed: `auth: basic, clientId: "${introspectors.basic}", clientSecretFile: secret`,
  unsigned: `auth: basic, clientId: "${introspectors.basic}", clientSecretFile: secret`,
} as const
type Asked = keyof typeof asked
const askedNames = Object.keys(asked) as readonly Asked[]

/** Their answers are believed only if they are signed; the second does not sign any. */
const needsSignature: ReadonlySet<Asked> = new Set(['signed', 'unsigned'])

export type ServerName = Asked | 'corp'
export type Servers = { readonly [name in ServerName]: AuthorizationServer }

export interface Estate {
  readonly servers: Servers
  readonly rig: Rig
  readonly phone: DpopClient
  /** A token by the client's own credentials, bound as that client is registered. */
  issue(server: ServerName, client: ClientName, resource?: keyof typeof resources): Promise<string>
  /** '200' where the backend was reached, else status and reason. */
  send(request: Sent): Promise<string>
  close(): Promise<void>
}

export type ClientName = 'orders' | 'phone' | 'legacy'

export interface Sent {
  readonly path: string
  readonly token: string
  readonly as?: Leaf
  /** Absent: Bearer. */
  readonly scheme?: 'DPoP'
  readonly proof?: string
}

const origin = 'https://payments.example'
/** For a request to a path of the mesh. */
export const proofTarget = (path: string) => ({ htu: `${origin}${path}` })

const policyOf = (servers: Servers) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  clockSkew: 1s
  trustDomains: [mesh.example]
  dpop: { origins: [${origin}] }
  issuers:
    corp:
      issuer: ${servers.corp.issuer}
      audiences: [${audience}]
      keys: ${keysOf(servers.corp)}
      identity: { claim: sub }
${askedNames
  .map((name) => {
    const { issuer, introspectionUrl } = servers[name]
    const signed = needsSignature.has(name) ? `, signed: { keys: ${keysOf(servers[name])} }` : ''
    return `    ${name}:
      issuer: ${issuer}
      audiences: [${audience}]
      identity: { claim: sub }
      introspection: { url: ${introspectionUrl}, caFile: ca.pem, ${asked[name]}${signed} }
`
  })
  .join('')}
  routes:
    - { name: jwt, match: { paths: [/jwt] }, require: { issuers: [corp], bindings: ["x5t#S256", dpop] } }
    - { name: both, match: { paths: [/both] }, require: { issuers: [corp, basic], bindings: ["x5t#S256"] } }
    - name: unbound
      match: { paths: [/unbound] }
      require: { issuers: [basic], bindings: ["x5t#S256"], unbound: allow, maxLifetime: 10m, scopes: [${scope}] }
${askedNames
  .map(
    (name) =>
      `    - { name: ${name}, match: { paths: [/${name}] }, require: { issuers: [${name}], bindings: ["x5t#S256", dpop] } }\n`,
  )
  .join('')}`

const keysOf = ({ jwksUrl }: AuthorizationServer) => `{ url: ${jwksUrl}, caFile: ca.pem }`

export async function startEstate(): Promise<Estate> {
  const authority = await createAuthority()
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const named = { kid: 'meshbind-1', alg: 'ES256' }
  const clientKey = { ...(await exportJWK(publicKey)), ...named }
  const clientJwk = JSON.stringify({ ...(await exportJWK(privateKey)), ...named })
  const own = await authority.issue({ spiffeId: meshbindId })
  const start = async (name: ServerName) =>
    [
      name,
      await startAuthorizationServer({ authority, clientKey, signsAnswers: name === 'signed' }),
    ] as const
  const started = await Promise.all((['corp', ...askedNames] as const).map(start))
  const servers = Object.fromEntries(started) as Servers
  const listeners = (authz: string) => ({ open: { authz, requireClientCertificate: false } })
  const rig = await startRig(listeners, {
    authority,
    policy: policyOf(servers),
    files: () => ({
      'ca.pem': authority.certificatePem,
      'client.jwk': clientJwk,
      'meshbind.pem': own.pem,
      'meshbind.key': own.keyPem,
      secret: `${secret}\n`,
    }),
  })
  const client = await createDpopClient()
  return {
    servers,
    rig,
    phone: client,
    async issue(server, name, resource = server === 'corp' ? 'jwt' : 'opaque') {
      const tokens = await requestToken(servers[server], name, resources[resource], rig, client)
      return tokens.access_token
    },
    send: async (request) => said(await send(rig, request)),
    async close() {
      await rig.close()
      await Promise.all(Object.values(servers).map((server) => server.stop()))
    },
  }
}

/** RFC 6749 §4.4, with the resource of RFC 8707. */
async function requestToken(
  { tokenUrl, post }: AuthorizationServer,
  client: ClientName,
  resource: string,
  { orders }: Rig,
  dpop: DpopClient,
): Promise<Tokens> {
  const form = { grant_type: 'client_credentials', resource, scope }
  switch (client) {
    case 'orders':
      return post(tokenUrl, { ...form, client_id: ordersId }, { as: orders })
    case 'phone': {
      const proof = await dpop.proof('', { htu: tokenUrl, ath: undefined })
      const own = { ...form, client_id: phone, client_secret: secret }
      return post(tokenUrl, own, { headers: { dpop: proof } })
    }
    case 'legacy':
      return post(tokenUrl, { ...form, client_id: legacy, client_secret: secret })
  }
}

function send({ envoy, authority }: Rig, sent: Sent): Promise<Answer> {
  const { path, token, as, scheme = 'Bearer', proof } = sent
  const headers = {
    authorization: `${scheme} ${token}`,
    ...(proof === undefined ? {} : { dpop: proof }),
  }
  return call({ port: envoy.portOf('open'), authority, as, path, headers })
}

const said = ({ status, reason, body }: Answer) =>
  status === 200 && body.includes(reached) ? '200' : `${status} ${reason}`
