import test from 'ava'
import { compilePolicy, type IssuerPlan } from '../../src/policy/compile.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit, placeOf, problemsOf } from '../support/policy-text.ts'

const good = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  clockSkew: 10s
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { file: jwks.json }
    partner:
      issuer: https://partner.example
      audiences: [https://a.example]
      maxLifetime: 1h
      introspection: { url: "https://partner.example/introspect", clientId: m, clientSecretFile: s }
    second:
      issuer: https://second.example
      audiences: [https://a.example]
      introspection: { url: "https://second.example/introspect", clientId: m, clientSecretFile: s }
  routes:
    - name: first
      match: { paths: [/v1/*] }
      require: { issuers: [corp, partner], bindings: [jwk] }
    - name: other
      match: { paths: [/v2/*] }
      require: { issuers: [second], bindings: [jwk] }
`

const whole = '{ url: "https://partner.example/introspect", clientId: m, clientSecretFile: s }'
const withPartner = (introspection: string) => edit(good, whole, introspection)
const client = 'url: "https://partner.example/i", clientId: m'

test('policy.md: an issuer is asked with basic unless said otherwise, for 2s, and believed for 10s', (t) => {
  t.deepEqual(problemsOf(good), [])
  const plans = plansOf(good)
  t.deepEqual(plans.get('partner')?.introspection, {
    url: 'https://partner.example/introspect',
    auth: 'basic',
    clientId: 'm',
    clientSecretFile: 's',
    clientKeyFile: undefined,
    clientCertFile: undefined,
    caFile: undefined,
    timeoutMs: 2000,
    cacheForSeconds: 10,
    signed: undefined,
  })
  t.is(plans.get('corp')?.introspection, undefined)
})

test('policy.md: what is written is taken, the clock skew of the policy with it', (t) => {
  const text = withPartner(
    `{ ${client}, auth: mtls, clientKeyFile: k, clientCertFile: c, caFile: ca, timeout: 10s, cacheFor: 5m, signed: { keys: { file: j } } }`,
  )
  t.deepEqual(problemsOf(text), [])
  t.deepEqual(plansOf(text).get('partner')?.introspection, {
    url: 'https://partner.example/i',
    auth: 'mtls',
    clientId: 'm',
    clientSecretFile: undefined,
    clientKeyFile: 'k',
    clientCertFile: 'c',
    caFile: 'ca',
    timeoutMs: 10_000,
    cacheForSeconds: 300,
    signed: { keys: { file: 'j' }, clockSkewSeconds: 10 },
  })
})

function plansOf(text: string): ReadonlyMap<string, IssuerPlan> {
  const parsed = parsePolicy(text)
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('\n'))
  const { issuers } = compilePolicy(parsed.policy, text, {
    issuer: (plan) => plan,
    trust: () => undefined,
    workloads: () => undefined,
    revocation: () => undefined,
  })
  return new Map(issuers.map((plan) => [plan.name, plan]))
}

const fine = [
  `{ ${client}, auth: post, clientSecretFile: s }`,
  `{ ${client}, auth: private_key_jwt, clientKeyFile: k }`,
  `{ ${client}, clientSecretFile: s, timeout: 1s, cacheFor: 0s }`,
  '{ url: "http://127.0.0.1:8080/i", clientId: m, clientSecretFile: s }',
  `{ ${client}, clientSecretFile: s, signed: { keys: { discovery: true } } }`,
]

const secret = 'clientSecretFile: s'
/** The introspection, the piece that the problem is placed at, the message. */
const broken: readonly (readonly [introspection: string, at: string, message: string])[] = [
  [`{ ${client} }`, `{ ${client}`, 'auth `basic` needs `clientSecretFile`'],
  [`{ ${client}, auth: post }`, `{ ${client}`, 'auth `post` needs `clientSecretFile`'],
  [
    `{ ${client}, auth: private_key_jwt }`,
    `{ ${client}`,
    'auth `private_key_jwt` needs `clientKeyFile`',
  ],
  [
    `{ ${client}, auth: mtls, clientKeyFile: k }`,
    `{ ${client}`,
    'auth `mtls` needs `clientCertFile`',
  ],
  [
    `{ ${client}, auth: mtls, clientCertFile: c }`,
    `{ ${client}`,
    'auth `mtls` needs `clientKeyFile`',
  ],
  [`{ ${client}, ${secret}, clientKeyFile: k }`, 'clientKeyFile', 'is not used with auth `basic`'],
  [
    `{ ${client}, auth: private_key_jwt, clientKeyFile: k, ${secret} }`,
    'clientSecretFile: s }\n    second',
    'is not used with auth `private_key_jwt`',
  ],
  [
    `{ ${client}, ${secret}, clientCertFile: c }`,
    'clientCertFile',
    'is not used with auth `basic`',
  ],
  [
    '{ url: "http://127.0.0.1/i", clientId: m, auth: mtls, clientCertFile: c, clientKeyFile: k }',
    '"http://127',
    'must be https: auth `mtls` shows a certificate',
  ],
  [
    '{ url: "http://partner.example/i", clientId: m, clientSecretFile: s }',
    '"http://partner',
    'must be https (http is for loopback alone)',
  ],
  [
    '{ url: "https://169.254.169.254/i", clientId: m, clientSecretFile: s }',
    '"https://169',
    'must not be a link-local address',
  ],
  [`{ ${client}, ${secret}, timeout: 11s }`, '11s', 'must be from 1s to 10s'],
  [`{ ${client}, ${secret}, timeout: 0s }`, '0s }', 'must be from 1s to 10s'],
  [`{ ${client}, ${secret}, cacheFor: 301s }`, '301s', 'must be at most 5m'],
  [
    `{ ${client}, ${secret}, signed: { keys: { file: f, url: "https://x.example" } } }`,
    '{ file: f, url',
    'must have exactly one of file, url, discovery',
  ],
  [
    `${whole}\n      keys: { file: partner.json }`,
    'keys: { file: partner',
    '`keys` is about signed tokens, and goes without `introspection`',
  ],
  [
    `${whole}\n      algorithms: [RS512]`,
    'algorithms',
    '`algorithms` is about signed tokens, and goes without `introspection`',
  ],
  [
    `${whole}\n      types: [at+jwt]`,
    'types',
    '`types` is about signed tokens, and goes without `introspection`',
  ],
]

test('policy.md: every way to authenticate the client, with the files that it takes', (t) => {
  for (const introspection of fine)
    t.deepEqual(problemsOf(withPartner(introspection)), [], introspection)
})

for (const [introspection, at, message] of broken)
  test(`policy.md: introspection ${introspection.replaceAll(/\s+/g, ' ')}: ${message}`, (t) => {
    const text = withPartner(introspection)
    t.deepEqual(problemsOf(text), [`${placeOf(text, at)} ${message}`])
  })

test('policy.md: at most one introspector a route, whatever stands between them', (t) => {
  for (const [issuers, at] of [
    ['[partner, second]', 'second]'],
    ['[second, corp, partner]', 'partner]'],
  ] as const) {
    const text = edit(good, '[corp, partner]', issuers)
    const [, first = '', other = ''] = /\[(\w+).*?(\w+)\]/.exec(issuers) ?? []
    t.deepEqual(problemsOf(text), [
      `${placeOf(text, at)} \`${other}\` is a second issuer with introspection, beside \`${first}\``,
    ])
  }
})

test('policy.md: one `iss` may have an entry with keys and one that is introspected: its tokens are of two kinds', (t) => {
  const text = edit(good, 'issuer: https://partner.example\n', 'issuer: https://idp.example\n')
  t.deepEqual(problemsOf(text), [])
})
