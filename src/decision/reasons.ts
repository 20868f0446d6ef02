/** THE TABLE: every reason for a refusal, with what the client is told and what the operator should do. */

/** gRPC status codes that a refusal may carry; never 0, because code 0 allows whatever else the answer says. */
export const grpcCode = {
  invalidArgument: 3,
  permissionDenied: 7,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const

/** `error` of the challenge: RFC 6750 §3.1, RFC 9449 §7.1 and §9. `bare`: a challenge without error; `none`: no challenge. */
export type ChallengeError =
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'

export interface ReasonEntry {
  readonly http: number
  readonly grpc: number
  readonly challenge: ChallengeError | 'bare' | 'none'
  /** Fixed public text: the whole of what a client learns in words. No `"` or `\` (RFC 6750 §3). */
  readonly title: string
  /** Where the rule comes from. */
  readonly spec: string
  /** One line for the operator who reads the decision log. */
  readonly advice: string
}

type Answer = Pick<ReasonEntry, 'http' | 'grpc' | 'challenge'>

const badRequest: Answer = {
  http: 400,
  grpc: grpcCode.invalidArgument,
  challenge: 'invalid_request',
}
const badToken: Answer = { http: 401, grpc: grpcCode.unauthenticated, challenge: 'invalid_token' }
const badProof: Answer = {
  http: 401,
  grpc: grpcCode.unauthenticated,
  challenge: 'invalid_dpop_proof',
}
const unusable: Answer = { http: 400, grpc: grpcCode.invalidArgument, challenge: 'none' }
const forbidden: Answer = { http: 403, grpc: grpcCode.permissionDenied, challenge: 'none' }
const unavailable: Answer = { http: 503, grpc: grpcCode.unavailable, challenge: 'none' }
const broken: Answer = { http: 500, grpc: grpcCode.internal, challenge: 'none' }

const entry = (answer: Answer, title: string, spec: string, advice: string): ReasonEntry =>
  Object.freeze({ ...answer, title, spec, advice })

// biome-ignore format: a table reads best with two lines a row
export const reasons = Object.freeze({
  credential_missing: entry({ ...badToken, challenge: 'bare' }, 'A token is required', 'RFC 6750 §3.1',
    'The request carried no Bearer or DPoP token in its Authorization header. If the path is public on purpose, give it a route with `require: none`.'),
  credential_malformed: entry(badRequest, 'The Authorization header is malformed', 'RFC 6750 §2.1, §3.1',
    'The header must be `Bearer <token>` or `DPoP <token>`, and nothing else: one token of the characters that RFC 6750 §2.1 allows.'),
  credential_ambiguous: entry(badRequest, 'More than one credential was sent', 'RFC 6750 §2, RFC 9449 §7.1',
    'Two Authorization headers, or a comma in one. Find the hop that adds a second header.'),
  token_malformed: entry(badToken, 'The token is malformed', 'RFC 7515 §7.1, RFC 8725 §3',
    'Not one strict compact JWS: wrong size, parts, base64url, JSON, a duplicate key, a number that is no safe integer, or `crit`. The issuer or something on the way produced it; the token itself cannot be repaired.'),
  token_type_refused: entry(badToken, 'The token is of a type that is not taken here', 'RFC 9068 §4, RFC 8725 §3.11',
    'The JOSE `typ` is not in the issuer’s `types`. An ID token or another kind of JWT was sent as an access token, or `types` lacks an entry.'),
  token_algorithm_refused: entry(badToken, 'The token is signed with an algorithm that is not taken here', 'RFC 8725 §3.1',
    'The JOSE `alg` is not in the issuer’s `algorithms`. HS* and none can never be listed.'),
  token_key_unknown: entry(badToken, 'The token is signed with an unknown key', 'RFC 7517 §4.5, RFC 8725 §3.8',
    'No single key of the issuer fits the token’s `kid` and `alg`. After a rotation this heals with the next fetch; otherwise the token comes from another issuer instance, or its key was withdrawn.'),
  token_signature_invalid: entry(badToken, 'The signature of the token does not verify', 'RFC 7515 §5.2',
    'The token was altered, or signed by another key that uses the same `kid`.'),
  token_expired: entry(badToken, 'The token has expired', 'RFC 7519 §4.1.4',
    'The client keeps tokens past `exp`, or clocks differ by more than `clockSkew`.'),
  token_not_yet_valid: entry(badToken, 'The token is not yet valid', 'RFC 7519 §4.1.5, §4.1.6',
    '`nbf` or `iat` lies in the future by more than `clockSkew`: compare the clocks of issuer and mesh.'),
  token_lifetime_exceeded: entry(badToken, 'The token is valid for too long', 'RFC 8725 §3.10; policy `maxLifetime`',
    '`exp` - `iat` is over the limit of the issuer or the route. Have the issuer shorten it.'),
  token_too_old: entry(badToken, 'The token is too old', 'policy `maxAge`',
    'It was issued longer ago than the route allows. Have the client fetch tokens closer to their use.'),
  token_revoked: entry(badToken, 'The token has been revoked', 'RFC 7009; policy `revocation`',
    'A revocation entry names this token, its subject, its key or its session: `meshbind revoke list`, the denylist and the issuer’s status list show which.'),
  token_inactive: entry(badToken, 'The token is not active', 'RFC 7662 §2.2',
    'The introspection endpoint answered `active: false`.'),
  issuer_unknown: entry(badToken, 'The issuer of the token is not taken here', 'RFC 9068 §4, RFC 8725 §3.8',
    '`iss` is not exactly the `issuer` of one of the route’s issuers. Compare letter by letter: a trailing slash counts.'),
  audience_mismatch: entry(badToken, 'The token is meant for another audience', 'RFC 7519 §4.1.3, RFC 9700 §2.3',
    '`aud` holds none of the audiences of the issuer (or the route). The client asked for a token for another service.'),
  claim_invalid: entry(badToken, 'A claim of the token is missing or malformed', 'RFC 7519 §4.1, RFC 9068 §2.2',
    'A required claim (`iss`, `sub`, `aud`, `exp`, `iat`) is missing, of the wrong type, or contradicts another.'),
  presenter_missing: entry(badToken, 'No workload identity was presented', 'RFC 8705 §3; Envoy ext_authz `include_peer_certificate`',
    'The route needs to know the presenter, and Envoy sent no evidence that the policy lists. Require client certificates on the listener, and either set `include_peer_certificate: true` on the filter or list `xfcc` in `peer.evidence`; `x5t#S256` needs the certificate or its XFCC `Hash`, `jwk` the certificate itself.'),
  presenter_invalid: entry(badToken, 'The workload identity is not acceptable', 'SPIFFE X509-SVID §2, §4',
    'The certificate is not a readable leaf with exactly one URI SAN that is a valid SPIFFE ID with a path, the principal is not such an ID, the XFCC header is malformed, or the chain does not lead to the trust bundle: `detail` says which.'),
  presenter_expired: entry(badToken, 'The workload certificate is outside its validity', 'RFC 5280 §4.1.2.5',
    'Envoy does not look again on resumed or long connections. The workload must rotate its certificate and reconnect; bound `max_connection_duration`.'),
  presenter_revoked: entry(badToken, 'The workload has been revoked', 'policy `revocation`',
    'A revocation entry names this presenter or its certificate.'),
  trust_domain_refused: entry(badToken, 'The workload belongs to a trust domain that is not taken here', 'SPIFFE-ID §2.1',
    'Add the trust domain to `spec.trustDomains` if its workloads are meant to call this mesh.'),
  evidence_conflict: entry(badToken, 'The evidence about the workload is contradictory', 'policy `peer.evidence`',
    'Certificate, principal or XFCC name different workloads. Either a proxy is misconfigured or somebody forges a header.'),
  forward_broken: entry(badToken, 'The forwarded workload identity is missing', 'policy `peer.forwarders`',
    'The peer is a forwarder, and vouched for nobody. Check its XFCC setting, or mark it `presents: true` if it calls for itself.'),
  forward_too_long: entry(badToken, 'The chain of forwarders is too long', 'policy `peer.maxForwards`',
    'More forwarders relayed the request than `maxForwards` allows.'),
  binding_missing: entry(badToken, 'The token is not bound to a workload', 'RFC 9700 §2.2.1, RFC 7800 §3.1',
    'The token has no `cnf` and no identity that one of the route’s bindings could confirm. Ask the issuer for sender-constrained tokens.'),
  binding_unsupported: entry(badToken, 'The token is bound in a way that is not taken here', 'RFC 7800 §3.1',
    'The token’s `cnf` has no member that this policy can confirm and the route lists. Add the method to `bindings`, or have the issuer bind another way.'),
  binding_malformed: entry(badToken, 'The binding of the token is malformed', 'RFC 7800 §3.1, RFC 8705 §3.1',
    '`cnf` or the identity claim is not of the form its specification asks for.'),
  binding_mismatch: entry(badToken, 'The token is bound to another workload', 'RFC 8705 §3, RFC 7800 §3',
    'THEFT, until shown otherwise: the token was presented by a workload that it was not issued to. Look up the presenter and the token’s subject, and revoke.'),
  binding_rotated: entry(badToken, 'The token is bound to an earlier certificate of this workload', 'RFC 8705 §6.3',
    'Same workload, other certificate: it rotated, or a sibling replica presents the token. Have the client fetch a new token after rotation.'),
  scheme_mismatch: entry(badToken, 'The token does not go with this authorization scheme', 'RFC 9449 §7.1, §7.2',
    'A DPoP-bound token came under Bearer, or an unbound one under DPoP.'),
  actor_mismatch: entry(badToken, 'The current actor of the token is not the presenter', 'RFC 8693 §4.1; policy `delegation`',
    '`act.sub`, the current actor, is not the SPIFFE ID of the workload that presents the token.'),
  delegation_refused: entry(badToken, 'This delegation is not taken here', 'RFC 8693 §4.1; policy `delegation`',
    'The token has `act`, and the route takes none such, not so many actors, or not this one; `detail` says which.'),
  proof_missing: entry(badProof, 'A DPoP proof is required', 'RFC 9449 §4.3',
    'The token is bound to a key (`cnf.jkt`), and the request has no `DPoP` header.'),
  proof_invalid: entry(badProof, 'The DPoP proof is not valid', 'RFC 9449 §4.3',
    'One of the checks of RFC 9449 §4.3 failed; `detail` says which. After a start with `--state memory`, and after Redis came back empty, proofs that may have been spent before are refused for the length of `clockSkew`.'),
  proof_replayed: entry(badProof, 'The DPoP proof was used before', 'RFC 9449 §11.1',
    'The same proof came twice: a replay, or a retry that did not sign a new proof.'),
  proof_nonce_required: entry({ ...badProof, challenge: 'use_dpop_nonce' }, 'The DPoP proof needs a nonce', 'RFC 9449 §9',
    'The client must repeat the request with the nonce of the `DPoP-Nonce` header. One such answer per client and nonce lifetime is normal.'),
  workload_token_missing: entry(unusable, 'A workload identity token is required', 'WIMSE workload-creds',
    'The route takes `wimse`, and the request has no `Workload-Identity-Token` header.'),
  workload_token_invalid: entry(unusable, 'The workload identity token is not valid', 'WIMSE workload-creds',
    'The WIT failed a check; `detail` says which.'),
  workload_token_mismatch: entry(unusable, 'The workload identity token is of another workload', 'WIMSE workload-creds; policy `wimse`',
    'THEFT, until shown otherwise: the WIT was presented by a workload that mTLS shows to be another. Look up the presenter, and revoke the workload that the WIT names.'),
  workload_proof_missing: entry(unusable, 'A workload proof token is required', 'WIMSE wpt',
    'A WIT came without a `Workload-Proof-Token` header.'),
  workload_proof_invalid: entry(unusable, 'The workload proof token is not valid', 'WIMSE wpt',
    'The WPT failed a check; `detail` says which.'),
  workload_proof_replayed: entry(unusable, 'The workload proof token was used before', 'WIMSE wpt',
    'The same WPT came twice.'),
  caller_refused: entry(forbidden, 'This workload may not call here', 'policy `require.callers`',
    'Token and workload belong together, but the route does not list the workload. Add it to `callers` if it should be there.'),
  claim_refused: entry(forbidden, 'A claim of the token does not allow this', 'policy `require.claims`',
    'A claim that the route requires is absent or has another value.'),
  scope_insufficient: entry({ ...forbidden, challenge: 'insufficient_scope' }, 'The token lacks a scope', 'RFC 6750 §3.1',
    'The route needs scopes that the token does not carry. Have the client ask for them.'),
  route_unmatched: entry(forbidden, 'No route of the policy takes this request', 'policy `unmatched`',
    'Write a route for this host, method and path, or fix the one that was meant to match.'),
  path_not_canonical: entry(forbidden, 'The path is not in its canonical spelling', 'RFC 3986 §6.2.2',
    'Dot segments, `//`, `;`, encoded unreserved characters and the like have a second spelling that a backend may read differently. Normalise at the edge, or fix the client.'),
  keys_unavailable: entry(unavailable, 'The keys to verify the token cannot be had', 'policy `issuers.*.keys`',
    'The issuer’s key source failed for longer than the last good keys may be used. Look at the key fetch errors in the log.'),
  introspection_unavailable: entry(unavailable, 'The token cannot be introspected', 'RFC 7662',
    'The introspection endpoint failed or was slower than the deadline.'),
  state_unavailable: entry(unavailable, 'The shared state cannot be reached', '`--state`',
    'What remembers spent proofs did not answer in time, is full, or does not know the nonce key yet: look at the server of `--state`, and at what its user may do. Requests with proofs are touched, and all with a token while the revocations have never been read.'),
  revocation_stale: entry(unavailable, 'The revocation data is stale', 'policy `revocation`',
    'No fresh status list could be had for the token, or the shared revocations have not been read for five minutes: `detail` says which.'),
  overloaded: entry(unavailable, 'The authorization service is overloaded', '`--max-in-flight`',
    'More checks are in flight than `--max-in-flight`. Add replicas, or find what floods this one.'),
  deadline_exceeded: entry(unavailable, 'The authorization service did not decide in time', '`--deadline`',
    'The check took longer than `--deadline` or Envoy’s own timeout. Look at CPU starvation first.'),
  not_ready: entry(unavailable, 'The authorization service is not ready', '`/readyz`',
    'No valid policy is loaded, or the key sources have not been tried yet: see `/readyz`.'),
  request_malformed: entry(unusable, 'The request is malformed', 'Envoy ext_authz v3 CheckRequest',
    'Envoy’s question has no method, path or host that can be judged, or is not a CheckRequest at all.'),
  internal_error: entry(broken, 'The authorization service failed', 'fail closed',
    'A bug in meshbind: the request was refused. Please report the log line with the same decision id.'),
})

export type Reason = keyof typeof reasons
