/** What a generated request is, in plain facts: the wire is made from them, and the oracle judges them. Types only. */

/** A route of the rig's policy; `none`: no route takes it. */
export type RouteName = 'x5t' | 'jwk' | 'spiffe' | 'dpop' | 'wimse' | 'opaque' | 'public' | 'none'

/** The workload at the other end of the mTLS connection. */
export interface PresenterFacts {
  /** Which certificate of the rig it connects with. */
  readonly holder: string
  readonly spiffeId: string
  readonly thumbprint: string
  /** Unix seconds. */
  readonly notAfter: number
}

export interface TokenFacts {
  readonly form: 'jwt' | 'opaque'
  readonly issuer: string
  readonly audience: string
  readonly subject: string
  readonly scope: string
  readonly id: string
  /** Unix seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
  /** `payload` and `signature`: altered after it was signed. `stranger`: by a key that the issuer never published. */
  readonly signed: 'soundly' | 'payload' | 'signature' | 'stranger' | 'not'
  /** Which of the issuer's keys signed it. */
  readonly keyId: string
  /** Each certificate of the rig has a key of its own: its thumbprint names the key too. */
  readonly bound:
    | { readonly to: 'certificate'; readonly thumbprint: string }
    | { readonly to: 'key'; readonly holder: string; readonly thumbprint: string }
    | { readonly to: 'proof'; readonly client: string }
    | { readonly to: 'nothing' }
  /** Of an opaque token: whether its issuer knows it. */
  readonly known: boolean
}

/** A DPoP proof. */
export interface ProofFacts {
  readonly client: string
  readonly id: string
  readonly method: string
  readonly target: string
  readonly issuedAt: number
  readonly ofThisToken: boolean
  readonly altered: boolean
}

/** A workload identity token and its proof. */
export interface WorkloadFacts {
  readonly client: string
  readonly subject: string
  /** Signed by the key of its trust domain. */
  readonly trusted: boolean
  readonly issuedAt: number
  readonly expiresAt: number
  readonly proof?: {
    readonly client: string
    readonly id: string
    readonly audience: string
    readonly expiresAt: number
    readonly ofThisToken: boolean
  }
}

export interface RequestFacts {
  /** What this request is, for people: `x5t`, or `x5t, copied by another workload`. */
  readonly title: string
  readonly route: RouteName
  readonly method: string
  readonly path: string
  /** Written the one way that RFC 3986 §6.2.2 leaves. */
  readonly canonicalPath: boolean
  readonly presenter?: PresenterFacts
  readonly scheme: 'Bearer' | 'DPoP'
  /** How many Authorization headers it carries. */
  readonly credentials: 0 | 1 | 2
  readonly token?: TokenFacts
  readonly proof?: ProofFacts
  readonly workload?: WorkloadFacts
  /** The proof has been spent by an earlier request, which was let through. */
  readonly spentBefore: boolean
  /** Headers that mean nothing here, whatever they say. */
  readonly extra?: readonly (readonly [name: string, value: string])[]
}
