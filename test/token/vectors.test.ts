/** Published signatures and thumbprints through this room's own key import and verification. */

import test from 'ava'
import { calculateJwkThumbprint, compactVerify, exportJWK } from 'jose'
import { isRefusal } from '../../src/decision/decision.ts'
import { type Algorithm, algorithms } from '../../src/token/algorithms.ts'
import { readJws } from '../../src/token/jws.ts'
import { importKeySet, selectKey } from '../../src/token/key-set.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { createTokenIssuer } from '../../src/token/token-issuer.ts'
import signatures from '../vectors/jws_rfc7515_rfc8037.json' with { type: 'json' }
import thumbprints from '../vectors/rfc7638.json' with { type: 'json' }

const bytesOf = (...keys: readonly object[]) => Buffer.from(JSON.stringify({ keys }))

async function issuerWith(jwk: object) {
  const keys = createKeySource({
    load: async () => ({ bytes: bytesOf(jwk) }),
    algorithms,
    clock: () => 1_300_819_000,
    refreshSeconds: 300,
  })
  await keys.tried
  const types = ['absent']
  const settings = { name: 'joe', issuer: 'joe', algorithms, types, identity: undefined }
  return createTokenIssuer(settings, keys)
}

/** The reason that an issuer with the one key has against the text. */
async function reasonAgainst(text: string, jwk: object): Promise<string> {
  const jws = readJws(text)
  if (isRefusal(jws)) return jws.refused
  const facts = await (await issuerWith(jwk)).verify(text, jws)
  return isRefusal(facts) ? `${facts.refused} ${facts.detail}`.trim() : ''
}

function flipped(text: string, index: number): string {
  return text.slice(0, index) + (text[index] === 'A' ? 'B' : 'A') + text.slice(index + 1)
}

test('RFC 7515 A.3: the ES256 example is read as published', (t) => {
  t.deepEqual(readJws(signatures.es256.jws), {
    algorithm: 'ES256',
    keyId: undefined,
    type: undefined,
    claims: { iss: 'joe', exp: 1300819380, 'http://example.com/is_root': true },
  })
})

test('RFC 7515 A.3: the ES256 example verifies, and is refused for the claims it lacks', async (t) => {
  const { jws, jwk } = signatures.es256
  t.is(await reasonAgainst(jws, jwk), 'claim_invalid sub')
  const signatureAt = jws.lastIndexOf('.') + 1
  t.is(await reasonAgainst(flipped(jws, signatureAt), jwk), 'token_signature_invalid')
  const anotherKey = thumbprints.vectors.find(({ name }) => name === 'RFC9449 P-256')?.jwk ?? {}
  t.is(await reasonAgainst(jws, anotherKey), 'token_signature_invalid')
})

test('RFC 8037 A.4: the Ed25519 example verifies under the imported key', async (t) => {
  const { jws, jwk } = signatures.eddsa
  const keys = (await importKeySet(bytesOf(jwk), algorithms)) ?? []
  t.deepEqual(
    keys.map(({ algorithm }) => algorithm),
    ['EdDSA', 'Ed25519'],
  )
  const key = selectKey(keys, undefined, 'EdDSA')
  if (key === undefined) return t.fail()
  const { payload } = await compactVerify(jws, key.key, { algorithms: [key.algorithm] })
  t.is(Buffer.from(payload).toString(), 'Example of Ed25519 signing')
  const broken = flipped(jws, jws.lastIndexOf('.') + 1)
  await t.throwsAsync(compactVerify(broken, key.key, { algorithms: [key.algorithm] }))
})

test('RFC 7519 §7.2: the Ed25519 example is no token, its payload is no JSON', async (t) => {
  t.is(await reasonAgainst(signatures.eddsa.jws, signatures.eddsa.jwk), 'token_malformed')
})

for (const { name, jwk, sha256 } of thumbprints.vectors) {
  test(`RFC 7638 §3: the key of ${name} is imported as the key that was published`, async (t) => {
    const algorithm = ({ RSA: 'RS256', EC: 'ES256', OKP: 'Ed25519' } as const)[jwk.kty]
    const keys = (await importKeySet(bytesOf(jwk), algorithms)) ?? []
    const key = keys.find((candidate) => candidate.algorithm === algorithm)
    if (key === undefined) return t.fail()
    t.is(await calculateJwkThumbprint(await exportJWK(key.key)), sha256)
  })
}

test('RFC 7638 §3: all published keys in one set stay apart', async (t) => {
  const jwks = thumbprints.vectors.map(({ jwk }, index) => ({ ...jwk, kid: `key-${index}` }))
  const taken: readonly Algorithm[] = ['RS256', 'ES256', 'Ed25519']
  const keys = (await importKeySet(bytesOf(...jwks), taken)) ?? []
  t.is(keys.length, jwks.length)
  const prints = keys.map(async ({ key }) => calculateJwkThumbprint(await exportJWK(key)))
  t.deepEqual(
    await Promise.all(prints),
    thumbprints.vectors.map(({ sha256 }) => sha256),
  )
})
