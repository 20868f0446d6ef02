import test from 'ava'
import { failures, policyText, rehearse, testText } from './rehearse.ts'

const fixtures = `
keys:
  phone: {}
  ed: { algorithm: Ed25519 }
  thief: {}
tokens:
  phone: { issuer: corp, bind: { dpop: phone } }
  ed: { issuer: corp, bind: { dpop: ed } }
  unbound: { issuer: corp }
`
const bindings = 'bindings: [dpop]'

test('RFC 9449 §4.3: a proof is sound from its key alone, and each flaw is seen', async (t) => {
  const flaw = (claim: string) => `token: phone, proof: { key: phone, claims: { ${claim} } }`
  const result = await rehearse(
    policyText(bindings, 'clockSkew: 0s\ndpop: { origins: [https://api.example] }'),
    testText(
      fixtures,
      'sound | allow | token: phone, proof: phone',
      'Ed25519 | allow | token: ed, proof: ed',
      'another key | { deny: binding_mismatch } | token: phone, proof: thief',
      'none | { deny: proof_missing } | token: phone',
      'replayed | { deny: proof_replayed } | token: phone, proof: { key: phone, replayed: true }',
      'Bearer | { deny: scheme_mismatch } | token: phone, proof: phone, scheme: Bearer',
      'unbound | { deny: scheme_mismatch } | token: unbound, proof: phone, scheme: DPoP',
      `htu | { deny: proof_invalid } | ${flaw('htu: https://evil.example/')}`,
      `htm | { deny: proof_invalid } | ${flaw('htm: PUT')}`,
      `ath | { deny: proof_invalid } | ${flaw('ath: null')}`,
      `jti | { deny: proof_invalid } | ${flaw('jti: null')}`,
      `old | { deny: proof_invalid } | ${flaw(`iat: ${Date.parse('2026-01-01T11:58:59Z') / 1000}`)}`,
      `in time | allow | ${flaw(`iat: ${Date.parse('2026-01-01T11:59:00Z') / 1000}`)}`,
      'query | allow | token: phone, proof: phone, request: { method: GET, host: x.example, path: /a?b=c }',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('RFC 9449 §9: the client has the last nonce unless the test takes it away', async (t) => {
  const result = await rehearse(
    policyText(bindings, 'dpop: { origins: [https://api.example], nonce: required }'),
    testText(
      fixtures,
      'has it | allow | token: phone, proof: phone',
      'has none | { deny: proof_nonce_required } | token: phone, proof: { key: phone, claims: { nonce: null } }',
      'made one up | { deny: proof_nonce_required } | token: phone, proof: { key: phone, claims: { nonce: x } }',
    ),
  )
  t.deepEqual(failures(result), [])
})

test('the target of a proof is of the route’s own origins', async (t) => {
  const spec = 'dpop: { origins: [https://api.example, https://pay.example] }'
  const narrowed = `${bindings}, dpop: { origins: [https://pay.example] }`
  const result = await rehearse(
    policyText(narrowed, spec),
    testText(fixtures, 'x | allow | token: phone, proof: phone'),
  )
  t.deepEqual(failures(result), [])
})

test('no test depends on another: the same proof is new to each', async (t) => {
  const same = 'token: phone, proof: { key: phone, claims: { jti: same } }'
  const result = await rehearse(
    policyText(bindings, 'dpop: { origins: [https://api.example] }'),
    testText(fixtures, `a | allow | ${same}`, `b | allow | ${same}`),
  )
  t.deepEqual(failures(result), [])
})
