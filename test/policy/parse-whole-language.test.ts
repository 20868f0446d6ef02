import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit } from '../support/policy-text.ts'

const good = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { file: jwks.json }
  routes:
    - name: first
      require: { issuers: [corp], bindings: [jwk] }
`

const edited = (from: string, to: string) => edit(good, from, to)

/** `line:col message` and the advice of every problem. */
function problemsOf(text: string): { said: string; advice: string }[] {
  const result = parsePolicy(text)
  return result.ok
    ? []
    : result.problems.map(({ line, column, message, advice }) => ({
        said: `${line}:${column} ${message}`,
        advice,
      }))
}

const spec = (line: string) => ['spec:\n', `spec:\n  ${line}\n`] as const
const route = (line: string) =>
  ['    - name: first\n', `    - name: first\n      ${line}\n`] as const
const requires = (more: string) => ['bindings: [jwk]', `bindings: [jwk], ${more}`] as const
const bindings = (list: string) => ['bindings: [jwk]', `bindings: [${list}]`] as const
const file = '{ file: k.json }'

test('policy.md: the policy that the following tests extend is valid', (t) => {
  t.deepEqual(problemsOf(good), [])
})

const gateway = 'spiffe://mesh.example/ns/istio-system/sa/gateway'
const dpopSection = 'dpop: { origins: [https://a.example], maxAge: 30s, nonce: required }'

test('policy.md: what this version has is not refused', (t) => {
  const edits = [
    spec('mode: enforce'),
    route('mode: enforce'),
    bindings('"x5t#S256", jwk'),
    spec('peer: { evidence: [certificate, principal] }'),
    spec('peer: { evidence: [certificate, xfcc] }'),
    spec(`peer: { evidence: [xfcc], forwarders: [${gateway}], maxForwards: 2 }`),
    spec(`peer: { evidence: [xfcc], forwarders: [{ id: ${gateway}, presents: true }] }`),
    spec(`peer: { trustBundles: { mesh.example: ${file} } }`),
    spec(dpopSection),
  ]
  for (const [from, to] of edits) t.deepEqual(problemsOf(edited(from, to)), [], to)
})

test('policy.md: waypoint, dpop on a route and rotation are in this version, together with what they need', (t) => {
  const withSpec = (line: string) => edited(...spec(line))
  const more = (text: string, ...[from, to]: readonly [string, string]) => edit(text, from, to)
  const identity = 'keys: { file: jwks.json }\n      identity: { claim: sub }'
  const texts = [
    more(withSpec(dpopSection), ...bindings('dpop')),
    more(withSpec(dpopSection), ...requires('dpop: { origins: [https://a.example] }')),
    more(
      more(withSpec('peer: { evidence: [waypoint] }'), 'keys: { file: jwks.json }', identity),
      ...bindings('spiffe'),
    ),
    more(
      edited('keys: { file: jwks.json }', identity),
      'bindings: [jwk]',
      'bindings: ["x5t#S256"], rotation: { grace: 10m, backdate: 1m }',
    ),
  ]
  for (const text of texts) t.deepEqual(problemsOf(text), [], text)
})
