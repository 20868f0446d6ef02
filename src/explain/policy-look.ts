/** What in the policy each reason hangs on, and how it is written there. */

import type { Reason } from '../decision/reasons.ts'
import type { PolicyDocument } from '../policy/schema.ts'
import type { DecisionLine } from './line.ts'

export interface PolicyKey {
  /** Such as `spec.routes[payments].require.callers`. */
  readonly path: string
  /** Undefined where it is not set: the default is in force. */
  readonly value: unknown
}

/** Keys of the spec; `route.` and `require.` are the line's route, `issuer.` the issuers in play. */
const bindings = ['require.bindings', 'issuer.identity']
const proofs = ['require.bindings', 'dpop', 'require.dpop']
const workloads = ['require.bindings', 'wimse']
const evidence = ['peer.evidence', 'peer.forwarders', 'trustDomains']
const keys = ['issuer.keys', 'issuer.algorithms']

const lookAt: { readonly [reason in Reason]: readonly string[] } = {
  request_malformed: [],
  overloaded: [],
  not_ready: [],
  deadline_exceeded: [],
  internal_error: [],
  route_unmatched: ['routes', 'unmatched'],
  path_not_canonical: [],
  credential_missing: ['route.match', 'require.bindings'],
  credential_malformed: [],
  credential_ambiguous: [],
  presenter_missing: [...evidence, 'require.bindings', 'require.callers'],
  presenter_invalid: [...evidence, 'peer.trustBundles'],
  presenter_expired: ['peer.evidence'],
  presenter_revoked: ['revocation'],
  trust_domain_refused: ['trustDomains'],
  evidence_conflict: evidence,
  forward_broken: ['peer.forwarders', 'peer.evidence'],
  forward_too_long: ['peer.maxForwards', 'peer.forwarders'],
  token_malformed: [],
  token_type_refused: ['issuer.types'],
  token_algorithm_refused: ['issuer.algorithms'],
  token_key_unknown: keys,
  token_signature_invalid: keys,
  token_expired: ['clockSkew'],
  token_not_yet_valid: ['clockSkew'],
  token_lifetime_exceeded: ['issuer.maxLifetime', 'require.maxLifetime'],
  token_too_old: ['require.maxAge'],
  token_revoked: ['revocation'],
  token_inactive: ['issuer.introspection.url'],
  issuer_unknown: ['require.issuers', 'issuer.issuer'],
  audience_mismatch: ['issuer.audiences', 'require.audiences'],
  claim_invalid: ['issuer.identity'],
  keys_unavailable: ['issuer.keys'],
  introspection_unavailable: ['issuer.introspection.url', 'issuer.introspection.timeout'],
  revocation_stale: ['revocation'],
  binding_missing: bindings,
  binding_unsupported: ['require.bindings', 'dpop'],
  binding_malformed: bindings,
  binding_mismatch: bindings,
  binding_rotated: ['require.rotation', 'require.bindings'],
  scheme_mismatch: ['require.bindings'],
  actor_mismatch: ['require.delegation'],
  delegation_refused: ['require.delegation'],
  proof_missing: proofs,
  proof_invalid: proofs,
  proof_replayed: proofs,
  proof_nonce_required: ['dpop'],
  workload_token_missing: workloads,
  workload_token_invalid: workloads,
  workload_token_mismatch: workloads,
  workload_proof_missing: workloads,
  workload_proof_invalid: workloads,
  workload_proof_replayed: workloads,
  caller_refused: ['require.callers'],
  claim_refused: ['require.claims'],
  scope_insufficient: ['require.scopes'],
  state_unavailable: [],
}

/** A policy may have thousands. */
const maxRoutes = 20

export function lookUp(line: DecisionLine, { spec }: PolicyDocument): readonly PolicyKey[] {
  if (line.reason === null) return []
  const route = spec.routes.find(({ name }) => name === line.route)
  const require = route === undefined || route.require === 'none' ? undefined : route.require
  const issuers = line.token === null ? (require?.issuers ?? []) : [line.token.issuer]
  return lookAt[line.reason].flatMap((key): PolicyKey[] => {
    const [root = '', ...names] = key.split('.')
    const rest = names.join('.')
    if (key === 'routes')
      return spec.routes
        .slice(0, maxRoutes)
        .map(({ name, match }) => ({ path: `spec.routes[${name}].match`, value: match }))
    if (root === 'route' || root === 'require') {
      if (route === undefined) return []
      const inside = root === 'route' ? rest : key
      return [{ path: `spec.routes[${route.name}].${inside}`, value: valueAt(route, inside) }]
    }
    if (root === 'issuer')
      return issuers.map((name) => ({
        path: `spec.issuers.${name}.${rest}`,
        value: valueAt(valueAt(spec.issuers, name), rest),
      }))
    return [{ path: `spec.${key}`, value: valueAt(spec, key) }]
  })
}

/** Own members only: an issuer may be called `constructor`. */
function valueAt(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce(
      (found: unknown, name) =>
        typeof found === 'object' && found !== null && Object.hasOwn(found, name)
          ? (found as { readonly [name: string]: unknown })[name]
          : undefined,
      value,
    )
}
