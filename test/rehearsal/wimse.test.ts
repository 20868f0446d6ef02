/** Policy tests with workloads that prove themselves: WITs and WPTs that are minted sound, and broken where a test says so. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import { readTest } from '../../src/rehearsal/document.ts'
import { findTestProblems } from '../../src/rehearsal/meaning.ts'
import { edit } from '../support/policy-text.ts'
import { failures, ordersId, policyText, rehearse, testText } from './rehearse.ts'

const wimse = `wimse:
  audiences: [https://pay.example, urn:shop]
  trustAnchors:
    mesh.example: { keys: { url: https://wit.example/never-asked }, schemes: [spiffe, wimse] }
`
/** A route for access tokens, and one that takes none. */
const withTokens = policyText('bindings: [wimse]', wimse)
const free = policyText('bindings: [wimse]', wimse).replace('issuers: [corp], ', '')
const callers = free.replace('bindings: [wimse]', `bindings: [wimse], callers: [${ordersId}]`)

const fixtures = `
peers:
  orders: { spiffeId: ${ordersId} }
  blog: { spiffeId: spiffe://mesh.example/ns/web/sa/blog }
keys:
  held: {}
  es384: { algorithm: ES384 }
  thief: {}
tokens:
  owners: { issuer: corp, claims: { sub: ${ordersId} } }
wits:
  orders: { sub: ${ordersId} }
  held: { sub: ${ordersId}, key: held }
  es384: { sub: ${ordersId}, key: es384 }
  blog: { sub: spiffe://mesh.example/ns/web/sa/blog }
  other-scheme: { sub: wimse://mesh.example/orders }
  forged: { sub: ${ordersId}, signedBy: stranger }
  foreign: { sub: spiffe://other.example/x }
  broken: { sub: orders }
  old: { sub: ${ordersId}, expiresAt: -1m }
  long: { sub: ${ordersId}, expiresAt: 2026-01-03T00:00:00Z }
  nameless: { sub: ${ordersId}, header: { kid: null } }
  at: { sub: ${ordersId}, header: { typ: at+jwt } }
  unbound: { sub: ${ordersId}, claims: { cnf: null } }
`

test('draft-ietf-wimse-wpt §3.3: a WIT and its WPT are sound from the name of the WIT alone, and nothing is fetched', async (t) => {
  const result = await rehearse(
    free,
    testText(
      fixtures,
      'sound | allow | wit: orders',
      'a key of the file | allow | wit: held',
      'another algorithm | allow | wit: es384',
      'the other scheme | allow | wit: other-scheme',
      'the same workload by mTLS | allow | wit: orders, peer: orders',
      'another by mTLS | { deny: workload_token_mismatch } | wit: orders, peer: blog',
      'neither | { deny: workload_token_missing } | peer: orders',
      'below the audience | allow | wit: orders, wpt: { claims: { aud: https://pay.example/ } }',
      'a query | allow | wit: orders, request: { method: GET, host: x.example, path: /?a=b }',
    ),
  )
  t.deepEqual(failures(result), [])
  t.deepEqual(
    result.tests
      .filter(({ passed, got }) => passed && got.verdict === 'allow')
      .map(({ got }) => got.method),
    Array.from({ length: 7 }, () => 'wimse'),
  )
  t.is(result.tests[0]?.got.presenter, ordersId)
})

test('workload-creds §3.1: each flaw of a WIT is seen', async (t) => {
  const flaws = ['forged', 'foreign', 'broken', 'old', 'long', 'nameless', 'at', 'unbound']
  const result = await rehearse(
    free,
    testText(
      fixtures,
      ...flaws.map((name) => `${name} | { deny: workload_token_invalid } | wit: ${name}`),
    ),
  )
  t.deepEqual(failures(result), [])
  const details = result.tests.map(({ got }) => got.detail)
  t.deepEqual(details, [
    'signature',
    'there are no trust anchors for the domain of sub',
    'sub is no workload identifier',
    'expired',
    'exp is over a day ahead',
    'no kid',
    'typ is not wit+jwt',
    'cnf.jwk is no public key for signatures',
  ])
})

test('draft-ietf-wimse-wpt §3.3: each flaw of a WPT is seen', async (t) => {
  const flaw = (claim: string) => `wit: orders, wpt: { claims: { ${claim} } }`
  const seconds = (text: string) => Date.parse(text) / 1000
  const result = await rehearse(
    free,
    testText(
      fixtures,
      'none | { deny: workload_proof_missing } | wit: orders, wpt: none',
      'replayed | { deny: workload_proof_replayed } | wit: orders, wpt: { replayed: true }',
      'another key | { deny: workload_proof_invalid } | wit: held, wpt: { key: thief }',
      'its own key by name | allow | wit: held, wpt: { key: held }',
      `aud | { deny: workload_proof_invalid } | ${flaw('aud: https://evil.example')}`,
      `wth | { deny: workload_proof_invalid } | ${flaw('wth: x')}`,
      `jti | { deny: workload_proof_invalid } | ${flaw('jti: null')}`,
      `ath | { deny: workload_proof_invalid } | ${flaw('ath: x')}`,
      `exp | { deny: workload_proof_invalid } | ${flaw('exp: null')}`,
      `late | { deny: workload_proof_invalid } | ${flaw(`exp: ${seconds('2026-01-01T11:59:30Z')}`)}`,
      `early | { deny: workload_proof_invalid } | ${flaw(`exp: ${seconds('2026-01-01T12:02:31Z')}`)}`,
      `in time | allow | ${flaw(`exp: ${seconds('2026-01-01T12:02:30Z')}`)}`,
      `no iat | allow | ${flaw('iat: null')}`,
    ),
  )
  t.deepEqual(failures(result), [])
})

test('no test depends on another: the same WPT is new to each', async (t) => {
  const same = 'wit: orders, wpt: { claims: { jti: same } }'
  const result = await rehearse(
    free,
    testText(fixtures, `a | allow | ${same}`, `b | allow | ${same}`),
  )
  t.deepEqual(failures(result), [])
})

test('docs/wimse.md: a WIT proves its workload, and no access token that is stolen', async (t) => {
  const result = await rehearse(
    withTokens,
    testText(
      fixtures,
      'the owner | allow | wit: orders, token: owners',
      'a thief with a WIT of its own | { deny: binding_mismatch } | wit: blog, token: owners',
      'the same by mTLS too | { deny: binding_mismatch } | wit: blog, token: owners, peer: blog',
      'a WIT alone | { deny: credential_missing } | wit: orders',
      'a token alone | { deny: workload_token_missing } | token: owners, peer: orders',
      'a proof for no token | { deny: workload_proof_invalid } | wit: orders, token: owners, wpt: { claims: { ath: null } }',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('docs/wimse.md: a route without issuers takes no token; its callers are workloads that prove themselves', async (t) => {
  const result = await rehearse(
    callers,
    testText(
      fixtures,
      'the caller | allow | wit: orders',
      'another workload | { deny: caller_refused } | wit: blog',
      'a token comes along | { deny: issuer_unknown } | wit: orders, token: owners',
      'basic is nobody’s affair | allow | wit: orders, request: { method: GET, host: a.example, path: /, headers: { authorization: Basic eDp5 } }',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('the two headers can be written by hand, too', async (t) => {
  const request = (headers: string) =>
    `request: { method: GET, host: a.example, path: /, headers: { ${headers} } }`
  const result = await rehearse(
    free,
    testText(
      fixtures,
      `no JWS | { deny: workload_token_invalid } | ${request('workload-identity-token: x, workload-proof-token: x')}`,
      `no WIT | { deny: workload_token_missing } | ${request('workload-proof-token: x')}`,
      `a WPT by hand | { deny: workload_proof_invalid } | wit: orders, wpt: none, ${request('workload-proof-token: x')}`,
      `a transaction | { deny: workload_proof_invalid } | wit: orders, ${request('txn-token: x')}`,
    ),
  )
  t.deepEqual(failures(result), [])
})

test('docs/policy-tests.md: the example with WITs holds under the routes that it speaks of', async (t) => {
  const page = readFileSync(new URL('../../docs/policy-tests.md', import.meta.url), 'utf8')
  const [example = ''] = /(?<=```yaml\n)wits:\n[^`]*/.exec(page) ?? []
  const policy = withTokens.replace(
    '- { name: all,',
    '- { name: ledger, match: { paths: [/v1/ledger] }, require: { bindings: [wimse] } }\n    - { name: all,',
  )
  const tokens = `tokens:\n  of-orders: { issuer: corp, claims: { sub: ${ordersId} } }`
  const [head = ''] = testText(tokens).split('tests:')
  const { tests } = await rehearse(policy, head + example)
  t.deepEqual(
    tests.map(({ passed }) => passed),
    [true, true, true],
  )
})

const good = testText(
  'keys:\n  phone: {}\nwits:\n  orders: { sub: orders, key: phone }',
  'x | allow | wit: orders',
)

function problemsOf(text: string): string[] {
  const result = readTest(text, findTestProblems)
  return result.ok
    ? []
    : result.problems.map(({ message, advice }) => `${message} ${advice}`.trim())
}

const broken: readonly (readonly [from: string, to: string, problem: string])[] = [
  ['wit: orders }', 'wit: order }', 'there is no wit `order` Did you mean `orders`?'],
  ['wit: orders }', 'wpt: { replayed: true } }', 'goes with `wit`'],
  ['wit: orders }', 'wpt: none }', 'goes with `wit`'],
  [
    'wit: orders }',
    'wit: orders, wpt: { key: phon } }',
    'there is no key `phon` Did you mean `phone`?',
  ],
  [
    'wit: orders }',
    'wit: orders, wpt: phone }',
    'must be none, or a map with `key`, `claims`, `replayed`',
  ],
  ['wit: orders }', 'wit: orders, wpt: { kye: phone } }', 'unknown key `kye` Did you mean `key`?'],
  ['key: phone', 'key: phones', 'there is no key `phones` Did you mean `phone`?'],
  ['key: phone', 'expiresAt: 2026-02-30T00:00:00Z', 'is no day of the calendar, or no time of day'],
  [
    'key: phone',
    'expiresAt: soon',
    'must be a time such as 2026-01-01T00:00:00Z, or from now on: -10m, +1h',
  ],
  // Else one of the two would be dropped in silence, and the test would be about something else than it says.
  [
    'path: / }',
    'path: /, headers: { workload-identity-token: x } }',
    'goes without the header `workload-identity-token`, which it fills',
  ],
  [
    'path: / }',
    'path: /, headers: { workload-proof-token: x } }',
    'goes without the header `workload-proof-token`, which it fills, or with `wpt: none`',
  ],
  ['sub: orders, ', '', 'required key `sub` is missing'],
  ['key: phone', 'signedBy: somebody', 'must be stranger Known here: stranger.'],
]

test('a good test with a WIT has no problems', (t) => {
  t.deepEqual(problemsOf(good), [])
})

for (const [from, to, problem] of broken) {
  test(`a problem with its advice: ${JSON.stringify(to)}`, (t) => {
    t.deepEqual(problemsOf(edit(good, from, to)), [problem])
  })
}
