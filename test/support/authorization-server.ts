/**
 * A real authorization server on loopback: oidc-provider, which is OpenID Certified. It knows workloads by their mesh
 * certificates (RFC 8705), meshbind by each of four ways, and two resources: one with JWTs, one with opaque tokens.
 */

import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { Provider } from 'oidc-provider'
import {
  app,
  callback,
  clientsOf,
  createStorage,
  featuresOf,
  resources,
  scope,
  settings,
} from './authorization-clients.ts'
import type { Authority, Leaf } from './pki.ts'

export interface AuthorizationServer {
  readonly issuer: string
  readonly jwksUrl: string
  readonly introspectionUrl: string
  readonly revocationUrl: string
  readonly tokenUrl: string
  /** Paths of the requests, in order. */
  readonly paths: readonly string[]
  introspections(): number
  /** One request to it; the answer must be a 200. */
  post(url: string, form: Form, options?: PostOptions): Promise<Tokens>
  /** A code for a user of `app`, as if somebody had logged in. */
  issueCode(): Promise<string>
  stop(): Promise<void>
}

export type Form = { readonly [name: string]: string }
export interface PostOptions {
  /** Shown as the client's certificate. */
  readonly as?: Leaf
  readonly headers?: { readonly [name: string]: string }
}
export interface Tokens {
  readonly access_token: string
  readonly token_type: string
  readonly refresh_token?: string
  readonly id_token?: string
}

export interface AuthorizationServerOptions {
  /** Of the mesh: its workloads are clients, and it vouches for the server. */
  readonly authority: Authority
  /** The public key of `private_key_jwt`. */
  readonly clientKey: JWK
  /** Whether it signs introspection responses (RFC 9701). */
  readonly signsAnswers?: boolean
}

export async function startAuthorizationServer({
  authority,
  clientKey,
  signsAnswers = false,
}: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const own = await authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  const server = https.createServer({
    cert: own.pem,
    key: own.keyPem,
    ca: authority.certificatePem,
    requestCert: true,
    // Most clients show a secret instead; who has to show a certificate, the provider says.
    rejectUnauthorized: false,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const key = { ...(await exportJWK(privateKey)), kid: 'key-1', alg: 'ES256', use: 'sig' }
  const provider = new Provider(issuer, {
    ...settings,
    adapter: createStorage(),
    clients: clientsOf(clientKey),
    jwks: { keys: [key] },
    features: featuresOf(signsAnswers),
  })
  provider.on('server_error', (_, { stack }) => process.stderr.write(`${stack}\n`))
  const paths: string[] = []
  server.on('request', ({ url = '' }) => paths.push(url))
  server.on('request', provider.callback())

  const introspectionUrl = `${issuer}/token/introspection`
  return {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    introspectionUrl,
    revocationUrl: `${issuer}/token/revocation`,
    tokenUrl: `${issuer}/token`,
    paths,
    introspections: () => paths.filter((path) => introspectionUrl.endsWith(path)).length,
    post: (url, form, options = {}) => post(url, form, options, authority),
    issueCode: () => issueCode(provider),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const account = 'alice'

/** In the place of a login page and consent: the token endpoint takes it as any other. */
async function issueCode(provider: Provider): Promise<string> {
  const granted = `openid offline_access ${scope}`
  const grant = new provider.Grant({ accountId: account, clientId: app })
  grant.addOIDCScope('openid offline_access')
  grant.addResourceScope(resources.opaque, scope)
  const code = new provider.AuthorizationCode({
    accountId: account,
    client: await provider.Client.find(app),
    grantId: await grant.save(),
    redirectUri: callback,
    resource: resources.opaque,
    scope: granted,
  })
  return code.save()
}

function post(
  url: string,
  form: Form,
  { as, headers }: PostOptions,
  { certificatePem }: Authority,
): Promise<Tokens> {
  const identity = as === undefined ? {} : { cert: as.pem, key: as.keyPem }
  const body = new URLSearchParams(form).toString()
  return new Promise((resolve, reject) => {
    const request = https.request(
      url,
      {
        ...identity,
        method: 'POST',
        agent: false,
        ca: certificatePem,
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      },
      async (response) => {
        let text = ''
        for await (const chunk of response) text += chunk
        if (response.statusCode === 200) resolve(text === '' ? {} : JSON.parse(text))
        else reject(new Error(`the authorization server answered ${response.statusCode}: ${text}`))
      },
    )
    request.once('error', reject)
    request.end(body)
  })
}
