import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { readTest } from '../../src/rehearsal/document.ts'
import { findIdleHeaders } from '../../src/rehearsal/meaning.ts'
import { edit } from '../support/policy-text.ts'
import { failures, policyText, rehearse, testText } from './rehearse.ts'

const introspection =
  'introspection: { url: "https://no.example/introspect", clientId: m, clientSecretFile: no-such-file }'
const opaque = (require: string, spec = '') =>
  edit(policyText(require, spec), 'keys: { file: no-such-file.json }', introspection)

const fixtures = (...tokens: readonly string[]) => `
peers:
  orders: { spiffeId: spiffe://mesh.example/ns/shop/sa/orders }
  thief: { spiffeId: spiffe://mesh.example/ns/web/sa/blog }
keys:
  phone: {}
tokens:
${tokens.map((token) => `  ${token}`).join('\n')}
`

test('policy.md, Tests of a policy: tokens of an introspected issuer are opaque, and answered for in memory', async (t) => {
  const result = await rehearse(
    opaque('bindings: ["x5t#S256"], scopes: [pay]'),
    testText(
      fixtures(
        'bound: { issuer: corp, claims: { scope: pay }, bind: { x5t#S256: orders } }',
        'unscoped: { issuer: corp, bind: { x5t#S256: orders } }',
        'plain: { issuer: corp, claims: { scope: pay } }',
        'foreign: { issuer: corp, bind: { x5t#S256: orders }, claims: { iss: https://b.example } }',
        'elsewhere: { issuer: corp, bind: { x5t#S256: orders }, claims: { aud: https://b.example } }',
        'expired: { issuer: corp, bind: { x5t#S256: orders }, issuedAt: -10m, expiresAt: -5m }',
        'inactive: { issuer: corp, bind: { x5t#S256: orders }, claims: { active: false } }',
        'refresh: { issuer: corp, bind: { x5t#S256: orders }, claims: { token_type: refresh } }',
        'unknown: { issuer: corp, bind: { x5t#S256: orders }, signedBy: stranger }',
        'fraction: { issuer: corp, bind: { x5t#S256: orders }, claims: { exp: 1.5 } }',
      ),
      'the owner | allow | peer: orders, token: bound',
      'the thief | { deny: binding_mismatch } | peer: thief, token: bound',
      'no scope | { deny: scope_insufficient } | peer: orders, token: unscoped',
      'no cnf | { deny: binding_missing } | peer: orders, token: plain',
      'another issuer | { deny: issuer_unknown } | peer: orders, token: foreign',
      'another audience | { deny: audience_mismatch } | peer: orders, token: elsewhere',
      'too late | { deny: token_expired } | peer: orders, token: expired',
      'inactive | { deny: token_inactive } | peer: orders, token: inactive',
      'a refresh token | { deny: token_type_refused } | peer: orders, token: refresh',
      'nobody knows it | { deny: token_inactive } | peer: orders, token: unknown',
      'no whole number | { deny: introspection_unavailable } | peer: orders, token: fraction',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('an opaque token that is bound to a DPoP key is used with a proof of it', async (t) => {
  const result = await rehearse(
    opaque('bindings: [dpop]', 'dpop: { origins: [https://a.example] }'),
    testText(
      fixtures('bound: { issuer: corp, bind: { dpop: phone } }'),
      'a proof | allow | token: bound, proof: phone',
      'no proof | { deny: proof_missing } | token: bound',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('a header for a token that is opaque is a problem: it would change nothing', (t) => {
  const policy = parsePolicy(opaque('bindings: ["x5t#S256"]'))
  const signed = parsePolicy(policyText('bindings: ["x5t#S256"]'))
  const source = testText(fixtures('bad: { issuer: corp, header: { typ: JWT } }'), 'x | deny |')
  const read = readTest(source, () => [])
  if (!policy.ok || !signed.ok || !read.ok) return t.fail('all three are valid')
  t.deepEqual(
    findIdleHeaders(read.value, policy.policy.spec.issuers).map(({ path, message }) => [
      path.join('.'),
      message,
    ]),
    [['tokens.bad.header', 'is of signed tokens, and those of `corp` are opaque (introspection)']],
  )
  t.deepEqual(findIdleHeaders(read.value, signed.policy.spec.issuers), [])
  return undefined
})
