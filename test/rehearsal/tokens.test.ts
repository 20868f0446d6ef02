import test from 'ava'
import { algorithms } from '../../src/token/algorithms.ts'
import { failures, policyText, rehearse, testText } from './rehearse.ts'

const peers = `
peers:
  orders: { spiffeId: spiffe://mesh.example/ns/shop/sa/orders }
  thief: { spiffeId: spiffe://mesh.example/ns/web/sa/blog }
`
const bound = 'issuer: corp, bind: { x5t#S256: orders }'

test('policy.md, Tests of a policy: what a test does not list is expected to be denied', async (t) => {
  const source = testText(
    `${peers}\ntokens:\n  t: { ${bound} }`,
    'x | allow | peer: orders, token: t',
  )
  const silent = source.replace('expect: allow, ', '')
  const { tests } = await rehearse(policyText('bindings: ["x5t#S256"]'), silent)
  t.like(tests[0], { passed: false, expected: { verdict: 'deny' }, got: { verdict: 'allow' } })
})

test('a test fails where the verdict is as expected and the reason is another', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256"]'),
    testText(
      `${peers}\ntokens:\n  t: { ${bound} }`,
      'any reason | deny | peer: thief, token: t',
      'the reason | { deny: binding_mismatch } | peer: thief, token: t',
      'another reason | { deny: binding_rotated } | peer: thief, token: t',
      'an allow | allow | peer: thief, token: t',
    ),
  )
  t.deepEqual(failures(result), ['another reason: binding_mismatch', 'an allow: binding_mismatch'])
})

test('a token is valid from little: first audience, now, 5 minutes, and the bound peer as its subject', async (t) => {
  const result = await rehearse(
    policyText('bindings: [spiffe], maxLifetime: 5m, maxAge: 1s'),
    testText(`${peers}\ntokens:\n  t: { ${bound} }`, 'x | allow | peer: orders, token: t'),
  )
  // Both bindings hold: the one in cnf, and the identity that the route asks for.
  t.deepEqual(failures(result), [])
})

test('a token lives no longer than issuer and routes allow', async (t) => {
  const source = testText(
    `${peers}\ntokens:\n  t: { ${bound} }`,
    'x | allow | peer: orders, token: t',
  )
  const byRoute = policyText('bindings: ["x5t#S256"], maxLifetime: 30s')
  const byIssuer = policyText('bindings: ["x5t#S256"]', '', ', maxLifetime: 45s')
  t.deepEqual(failures(await rehearse(byRoute, source)), [])
  t.deepEqual(failures(await rehearse(byIssuer, source)), [])
})

test('times are points in time, or relative to now', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256"], maxAge: 5m', 'clockSkew: 0s'),
    testText(
      `${peers}
tokens:
  last-second: { ${bound}, issuedAt: -1m, expiresAt: +1s }
  over: { ${bound}, issuedAt: -1m, expiresAt: +0s }
  absolute: { ${bound}, issuedAt: "2026-01-01T11:55:00Z", expiresAt: "2026-01-01T12:01:00Z" }
  too-old: { ${bound}, issuedAt: "2026-01-01T11:54:59Z", expiresAt: "2026-01-01T12:01:00Z" }
  early: { ${bound}, issuedAt: +1s }`,
      'a | allow | peer: orders, token: last-second',
      'b | { deny: token_expired } | peer: orders, token: over',
      'c | allow | peer: orders, token: absolute',
      'd | { deny: token_too_old } | peer: orders, token: too-old',
      'e | { deny: token_not_yet_valid } | peer: orders, token: early',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('claims and header members take the place of the sound ones; null leaves them out', async (t) => {
  const result = await rehearse(
    policyText('bindings: ["x5t#S256"]', '', ', types: [at+jwt]'),
    testText(
      `${peers}
tokens:
  no-exp: { ${bound}, claims: { exp: null } }
  other-iss: { ${bound}, claims: { iss: https://evil.example } }
  other-aud: { ${bound}, claims: { aud: https://b.example } }
  id-token: { ${bound}, header: { typ: JWT } }
  no-type: { ${bound}, header: { typ: null } }
  other-key: { ${bound}, header: { kid: gone } }
  no-key: { ${bound}, header: { kid: null } }
  unbound: { ${bound}, claims: { cnf: null } }
  forged: { ${bound}, signedBy: stranger }`,
      'a | { deny: claim_invalid } | peer: orders, token: no-exp',
      'b | { deny: issuer_unknown } | peer: orders, token: other-iss',
      'c | { deny: audience_mismatch } | peer: orders, token: other-aud',
      'd | { deny: token_type_refused } | peer: orders, token: id-token',
      'e | { deny: token_type_refused } | peer: orders, token: no-type',
      'f | { deny: token_key_unknown } | peer: orders, token: other-key',
      'g | allow | peer: orders, token: no-key',
      'h | { deny: binding_missing } | peer: orders, token: unbound',
      'i | { deny: token_signature_invalid } | peer: orders, token: forged',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('the Authorization header can be written out', async (t) => {
  const headers = (value: string) =>
    `peer: orders, request: { method: GET, host: a.example, path: /, headers: { authorization: "${value}" } }`
  const result = await rehearse(
    policyText('bindings: ["x5t#S256"]'),
    testText(
      peers,
      `a | { deny: credential_missing } | ${headers('Basic dXNlcjpwYXNz')}`,
      `b | { deny: credential_malformed } | ${headers('Bearer')}`,
      `c | { deny: credential_ambiguous } | ${headers('Bearer a,Bearer b')}`,
      `d | { deny: token_malformed } | ${headers('Bearer a')}`,
    ),
  )
  t.deepEqual(failures(result), [])
})

for (const algorithm of algorithms) {
  test(`an issuer with ${algorithm} alone has keys and tokens of that algorithm`, async (t) => {
    const result = await rehearse(
      policyText('bindings: ["x5t#S256"]', '', `, algorithms: [${algorithm}]`),
      testText(`${peers}\ntokens:\n  t: { ${bound} }`, 'x | allow | peer: orders, token: t'),
    )
    t.deepEqual(failures(result), [])
  })
}
