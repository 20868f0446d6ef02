/** The part of oidc-provider that the kit's authorization server uses; the package has no types of its own. */

declare module 'oidc-provider' {
  import type { IncomingMessage, RequestListener } from 'node:http'

  /** Of one request. */
  export interface Context {
    readonly req: IncomingMessage
    readonly oidc: { readonly client?: Client }
  }
  export interface Client {
    readonly clientId: string
  }
  export interface Resource {
    /** `aud` of its tokens. */
    readonly audience: string
    readonly scope: string
    readonly accessTokenFormat: 'opaque' | 'jwt'
    readonly accessTokenTTL: number
    readonly jwt?: { readonly sign: { readonly alg: string } }
  }
  interface Stored {
    /** Gives the name that it is found by. */
    save(): Promise<string>
  }
  interface Grant extends Stored {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
  }
  type Members = { readonly [name: string]: unknown }

  export class Provider {
    constructor(issuer: string, configuration: Members)
    callback(): RequestListener
    on(event: 'server_error', listener: (context: Context, error: Error) => void): this
    readonly Grant: new (
      members: Members,
    ) => Grant
    readonly AuthorizationCode: new (
      members: Members,
    ) => Stored
    readonly Client: { find(id: string): Promise<Client | undefined> }
  }
}
