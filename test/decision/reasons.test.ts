import test from 'ava'
import { challengeOf, quote } from '../../src/decision/challenge.ts'
import { bearerOnly } from '../../src/decision/decision.ts'
import { type Reason, type ReasonEntry, reasons } from '../../src/decision/reasons.ts'

const entries = Object.entries(reasons) as [Reason, ReasonEntry][]
const context = { realm: 'shop', ...bearerOnly, scopes: ['payments.write', 'payments.read'] }

/** Contract §5, written down once more: HTTP, gRPC, challenge of each reason. */
const contract: { readonly [answer: string]: readonly Reason[] } = {
  '401 16 bare': ['credential_missing'],
  '400 3 invalid_request': ['credential_malformed', 'credential_ambiguous'],
  '401 16 invalid_token': [
    'token_malformed',
    'token_type_refused',
    'token_algorithm_refused',
    'token_key_unknown',
    'token_signature_invalid',
    'token_expired',
    'token_not_yet_valid',
    'token_lifetime_exceeded',
    'token_too_old',
    'token_revoked',
    'token_inactive',
    'issuer_unknown',
    'audience_mismatch',
    'claim_invalid',
    'presenter_missing',
    'presenter_invalid',
    'presenter_expired',
    'presenter_revoked',
    'trust_domain_refused',
    'evidence_conflict',
    'forward_broken',
    'forward_too_long',
    'binding_missing',
    'binding_unsupported',
    'binding_malformed',
    'binding_mismatch',
    'binding_rotated',
    'scheme_mismatch',
    'actor_mismatch',
    'delegation_refused',
  ],
  '401 16 invalid_dpop_proof': ['proof_missing', 'proof_invalid', 'proof_replayed'],
  '401 16 use_dpop_nonce': ['proof_nonce_required'],
  '400 3 none': [
    'workload_token_missing',
    'workload_proof_missing',
    'workload_proof_invalid',
    'workload_proof_replayed',
    'workload_token_invalid',
    'workload_token_mismatch',
    'request_malformed',
  ],
  '403 7 none': ['caller_refused', 'claim_refused', 'route_unmatched', 'path_not_canonical'],
  '403 7 insufficient_scope': ['scope_insufficient'],
  '503 14 none': [
    'keys_unavailable',
    'introspection_unavailable',
    'state_unavailable',
    'revocation_stale',
    'overloaded',
    'deadline_exceeded',
    'not_ready',
  ],
  '500 13 none': ['internal_error'],
}

test('contract §5: the table holds exactly the contract’s reasons, each with its codes', (t) => {
  const expected = Object.entries(contract).flatMap(([answer, names]) =>
    names.map((name) => [name, answer]),
  )
  const actual = entries.map(([name, { http, grpc, challenge }]) => [
    name,
    `${http} ${grpc} ${challenge}`,
  ])
  t.deepEqual(Object.fromEntries(actual), Object.fromEntries(expected))
})

test('architecture §9: no refusal carries gRPC code 0 or an HTTP status below 400', (t) => {
  for (const [name, { http, grpc }] of entries) {
    t.true(grpc > 0, name)
    t.true(http >= 400, name)
  }
})

test('RFC 6750 §3: public texts need no escape, and every reason has a source and advice', (t) => {
  for (const [name, { title, spec, advice }] of entries) {
    t.regex(title, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, name)
    t.true(spec.length > 0 && advice.length > 0, name)
  }
})

test('RFC 6750 §3: challenges are one Bearer challenge with each parameter once', (t) => {
  t.is(challengeOf('credential_missing', context), 'Bearer realm="shop"')
  t.is(
    challengeOf('token_expired', context),
    'Bearer realm="shop", error="invalid_token", error_description="The token has expired"',
  )
  t.is(
    challengeOf('scope_insufficient', context),
    'Bearer realm="shop", error="insufficient_scope", error_description="The token lacks a scope", scope="payments.write payments.read"',
  )
  t.is(challengeOf('caller_refused', context), undefined)
})

test('catalogue 270: quotes, backslashes, newlines and non-ASCII cannot leave a quoted string', (t) => {
  t.is(quote('a"b\\c\r\nd\u2028é\u0000'), '"abcd"')
})

test('reasons come from a frozen table without inherited names', (t) => {
  t.true(Object.isFrozen(reasons))
  for (const [, entry] of entries) t.true(Object.isFrozen(entry))
})
