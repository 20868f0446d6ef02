/** What RFC 9449, RFC 7638 and RFC 8037 publish, through this room's own judgement of proofs. */

import { createHash } from 'node:crypto'
import test from 'ava'
import { judgeProof } from '../../src/confirmation/dpop-proof.ts'
import type { ConfirmationInput } from '../../src/confirmation/method.ts'
import { createNonceKeeper } from '../../src/confirmation/nonce.ts'
import { createProofKeys } from '../../src/confirmation/proof-keys.ts'
import { readPublicKey, thumbprint } from '../../src/confirmation/public-key.ts'
import { challengeOf } from '../../src/decision/challenge.ts'
import { type AuthorizationScheme, isRefusal } from '../../src/decision/decision.ts'
import type { Reason } from '../../src/decision/reasons.ts'
import { decodeObject, splitJws } from '../../src/token/jws.ts'
import type { VerifiedToken } from '../../src/token/verify.ts'
import thumbprints from '../vectors/rfc7638.json' with { type: 'json' }
import rfc9449 from '../vectors/rfc9449.json' with { type: 'json' }

const proofOf = (name: string) => rfc9449.proofs.find((one) => one.name === name)?.proof ?? ''
const resourceProof = proofOf('resource_request')
const issuedAt = rfc9449.resource_request.verify_at
const maxAge = 60
const skew = 30

interface Changes {
  readonly proof?: string
  readonly token?: string
  readonly method?: string
  readonly path?: string
  readonly origin?: string
  readonly now?: number
  readonly boundTo?: unknown
  readonly algorithms?: readonly string[]
}

/** The reason and its detail, or the proof's replay key, for the RFC's resource request with these changes. */
async function judged({
  proof = resourceProof,
  token = rfc9449.opaque_access_token,
  method = rfc9449.resource_request.method,
  path = '/protectedresource',
  origin = 'https://resource.example.org',
  now = issuedAt,
  boundTo = rfc9449.jkt,
  algorithms = ['ES256'],
}: Changes = {}) {
  const input: ConfirmationInput = {
    token: { confirmation: { jkt: boundTo } } as unknown as VerifiedToken,
    credential: { scheme: 'DPoP', token },
    presenter: undefined,
    request: { method, path, dpop: { kind: 'one', value: proof } },
    rules: {
      policy: 'rfc9449',
      clockSkewSeconds: skew,
      rotation: undefined,
      dpop: { origins: new Set([origin]), maxAgeSeconds: maxAge, nonce: 'disabled', algorithms },
      wimse: undefined,
    },
    proofs: { keys: createProofKeys(), nonces: createNonceKeeper(() => undefined) },
    now,
  }
  const result = await judgeProof(boundTo, input)
  return isRefusal(result) ? `${result.refused} ${result.detail}` : result
}

test('RFC 9449 figure 13: the resource proof is taken at its time, with what it may be replayed until', async (t) => {
  const proof = await judged()
  if (typeof proof === 'string') return t.fail(proof)
  t.is(proof.takenFrom, 1562262618 - skew)
  t.is(proof.rememberUntil, 1562262618 + maxAge + 2 * skew)
  t.true(proof.replayKey.length > 0)
})

test('RFC 9449 §4.3: the resource proof is taken for nothing else than its request', async (t) => {
  const { claims, token } = rfc9449.jwt_access_token
  t.is(claims.cnf.jkt, rfc9449.jkt)
  t.is(await judged({ method: 'POST' }), 'proof_invalid htm')
  t.is(await judged({ method: 'get' }), 'proof_invalid htm')
  t.is(await judged({ path: '/protectedresource/' }), 'proof_invalid htu is of another path')
  t.is(
    await judged({ origin: 'https://server.example.com' }),
    'proof_invalid htu is of another origin',
  )
  t.is(await judged({ token }), 'proof_invalid ath')
  t.is(await judged({ algorithms: ['PS256'] }), 'proof_invalid alg is not taken here')
  const other = thumbprints.vectors[1]?.sha256
  t.is(await judged({ boundTo: other }), 'binding_mismatch proof by another key')
})

test('RFC 9449 §11.1: the resource proof is taken from its iat less the skew until lifetime and skew are over', async (t) => {
  const late = issuedAt + maxAge + skew
  t.is(await judged({ now: issuedAt - skew - 1 }), 'proof_invalid iat is in the future')
  t.is(typeof (await judged({ now: issuedAt - skew })), 'object')
  t.is(typeof (await judged({ now: late })), 'object')
  t.is(await judged({ now: late + 1 }), 'proof_invalid iat is too old')
})

test('RFC 9449 figures 2 and 5: the proofs for the token endpoint have no ath, so no resource takes them', async (t) => {
  for (const name of ['token_request_authorization_code', 'token_request_refresh']) {
    const proof = proofOf(name)
    const parts = splitJws(proof, 8192)
    if (typeof parts === 'string') return t.fail(parts)
    const claims = rfc9449.proofs.find((one) => one.name === name)?.claims
    t.deepEqual({ ...decodeObject(parts.payload) }, { ...claims })
    const found = await judged({
      proof,
      method: 'POST',
      path: '/token',
      origin: 'https://server.example.com',
      now: claims?.iat ?? 0,
    })
    t.is(found, 'proof_invalid ath')
  }
})

test('RFC 9449 §4.3 item 6: a signature of another of the RFC’s proofs does not go with the resource proof', async (t) => {
  const [header, payload] = resourceProof.split('.')
  const signature = proofOf('token_request_refresh').split('.')[2]
  t.is(await judged({ proof: `${header}.${payload}.${signature}` }), 'proof_invalid signature')
})

test('RFC 9449 §4.2: ath is the SHA-256 of the token’s ASCII in base64url', (t) => {
  const { opaque_access_token: token, ath } = rfc9449
  t.is(createHash('sha256').update(token, 'ascii').digest('base64url'), ath)
})

test('RFC 9449 §6.1: jkt is the thumbprint of the key in each proof’s header', (t) => {
  const key = readPublicKey(rfc9449.jwk)
  t.is(key && thumbprint(key), rfc9449.jkt)
  for (const { proof } of rfc9449.proofs) {
    const parts = splitJws(proof, 8192)
    if (typeof parts === 'string') return t.fail(parts)
    const header = createProofKeys().read(parts.header)
    t.is(typeof header === 'string' ? header : header.thumbprint, rfc9449.jkt)
  }
})

for (const { name, jwk, sha256 } of thumbprints.vectors) {
  test(`RFC 7638 §3: the thumbprint of ${name}, whatever else the key says and in whatever order`, (t) => {
    const reversed = Object.fromEntries(Object.entries(jwk).toReversed())
    for (const other of [jwk, reversed, { ...jwk, kid: 'x', use: 'sig', key_ops: ['verify'] }]) {
      const key = readPublicKey(other)
      t.is(key && thumbprint(key), sha256)
    }
    t.is(readPublicKey({ ...jwk, d: 'AQAB' }), undefined)
  })
}

/** `scheme error` of each challenge in a header value; realm and texts are each service's own. */
function errorsIn(value: string): string[] {
  return value.split(/, (?=Bearer|DPoP)/).map((part) => {
    const [scheme = ''] = part.split(' ')
    return `${scheme} ${/error="([^"]*)"/.exec(part)?.[1] ?? ''}`.trim()
  })
}

const examples: readonly (readonly [
  name: string,
  reason: Reason,
  schemes: readonly AuthorizationScheme[],
  used: AuthorizationScheme | undefined,
])[] = [
  ['no auth', 'credential_missing', ['DPoP'], undefined],
  ['key binding failed', 'binding_mismatch', ['DPoP'], 'DPoP'],
  ['nonce needed (RS)', 'proof_nonce_required', ['DPoP'], 'DPoP'],
  ['both schemes, no token', 'credential_missing', ['Bearer', 'DPoP'], undefined],
  ['both schemes, Bearer tried', 'token_expired', ['Bearer', 'DPoP'], 'Bearer'],
  ['two Authorization headers', 'credential_ambiguous', ['Bearer', 'DPoP'], undefined],
]
for (const [name, reason, schemes, used] of examples) {
  test(`RFC 9449 §7.1, §7.2, §9: the challenge for “${name}” has the schemes and errors of the RFC’s`, (t) => {
    const example = rfc9449.challenges.find((one) => one.case === name)
    const proofAlgorithms = ['ES256', 'PS256']
    const context = { realm: 'shop', scopes: [], schemes, used, proofAlgorithms }
    const challenge = challengeOf(reason, context) ?? ''
    t.deepEqual(errorsIn(challenge), errorsIn(example?.www_authenticate ?? ''))
    t.true(challenge.includes('algs="ES256 PS256"'))
  })
}
