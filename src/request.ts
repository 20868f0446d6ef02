/** What Envoy asked, in our words: types only, so that every room can speak of a request without knowing protobuf. */

/**
 * A header that must appear at most once. Envoy joins repeated headers with a comma, and `authorization` even in
 * `header_map`, so a second value can show itself in three ways (a comma, a second entry, a contradiction between
 * the two maps); all three are `ambiguous`. For a header that is a list, only the contradiction is.
 */
export type SingleHeader =
  | { readonly kind: 'absent' }
  | { readonly kind: 'one'; readonly value: string }
  | { readonly kind: 'ambiguous' }

/** What Envoy says of the mTLS connection that it terminated. Either text may be empty. */
export interface PeerClaims {
  /** The leaf certificate as percent-encoded PEM (`include_peer_certificate`), or ''. */
  readonly certificate: string
  /** First URI SAN, else first DNS SAN, else the subject: never an identity by itself. */
  readonly principal: string
  /** The same of Envoy's own certificate, or ''. */
  readonly destination: string
  /** `x-forwarded-client-cert` as Envoy is going to forward it; several are one list. */
  readonly xfcc: SingleHeader
}

export interface Request {
  /** Envoy's id of the stream. For logs only. */
  readonly id: string
  readonly method: string
  /** The authority as the client wrote it; policy/host.ts gives it one spelling. */
  readonly host: string
  /** Path with query, as Envoy is going to forward it. */
  readonly path: string
  readonly authorization: SingleHeader
  /** The DPoP proof (RFC 9449 §4.1). */
  readonly dpop: SingleHeader
  /** `Workload-Identity-Token` and `Workload-Proof-Token` (WIMSE workload-creds, wpt). */
  readonly workloadToken: SingleHeader
  readonly workloadProof: SingleHeader
  /** `Txn-Token`: never judged here, but a WPT must cover it (WIMSE wpt, `tth`). */
  readonly transactionToken: SingleHeader
  /** W3C Trace Context header, or ''. For logs only. */
  readonly traceparent: string
  /** The `x-meshbind-*` headers that the client sent: they are removed on every allow. */
  readonly reservedHeaders: readonly string[]
  readonly peer: PeerClaims
  /** Envoy's `context_extensions` of the route. */
  readonly context: ReadonlyMap<string, string>
}
