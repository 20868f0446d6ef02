import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import test from 'ava'
import { decodeProtectedHeader, jwtVerify } from 'jose'
import {
  type ClientFiles,
  type ClientMethod,
  createClientProof,
} from '../../src/token/client-authentication.ts'

const audience = 'https://partner.example'
const clientId = 'mesh:bind & co'
const now = 1_800_000_000

const absent = () => Promise.reject(new Error('the file: there is no such file'))

function proofBy(method: ClientMethod, files: Partial<ClientFiles>) {
  const all = { secret: absent, key: absent, certificate: absent, ...files }
  return createClientProof({ method, clientId, audience }, all, () => now)
}

const text = (value: string) => async () => value

test('RFC 6749 §2.3.1: basic form-encodes id and secret before base64, so that nothing in them divides', async (t) => {
  const cases: readonly (readonly [secret: string, encoded: string])[] = [
    ['plain', 'plain'],
    ['a:b', 'a%3Ab'],
    ['a b+c%d', 'a+b%2Bc%25d'],
    ['ü&=', '%C3%BC%26%3D'],
  ]
  for (const [secret, encoded] of cases) {
    const { headers, parameters, certificate } = await proofBy('basic', { secret: text(secret) })()
    const [scheme, credentials = ''] = (headers['authorization'] ?? '').split(' ')
    t.is(scheme, 'Basic')
    t.is(Buffer.from(credentials, 'base64').toString(), `mesh%3Abind+%26+co:${encoded}`)
    t.deepEqual(parameters, [])
    t.is(certificate, undefined)
  }
})

test('RFC 6749 §2.3.1: post puts id and secret into the form, and nothing into a header', async (t) => {
  const proof = await proofBy('post', { secret: text('s&c=r t') })()
  t.deepEqual(proof, {
    headers: {},
    parameters: [
      ['client_id', clientId],
      ['client_secret', 's&c=r t'],
    ],
  })
})

test('a secret loses one newline at its end and nothing else; an empty one is an error', async (t) => {
  const cases = { 'a\n': 'a', 'a\r\n': 'a', 'a\n\n': 'a\n', ' a ': ' a ', '\na': '\na' }
  for (const [file, secret] of Object.entries(cases)) {
    const { parameters } = await proofBy('post', { secret: text(file) })()
    t.deepEqual(parameters.at(-1), ['client_secret', secret])
  }
  for (const file of ['', '\n', '\r\n'])
    await t.throwsAsync(proofBy('basic', { secret: text(file) }), {
      message: 'the client secret is empty',
    })
})

const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()

const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: generateKeyPairSync('ed25519'),
}

for (const [algorithm, { privateKey, publicKey }] of Object.entries(pairs)) {
  test(`RFC 7523 §3: private_key_jwt signs an assertion of its own for the issuer, with ${algorithm} by the key`, async (t) => {
    const prove = proofBy('private_key_jwt', { key: text(pem(privateKey)) })
    const { headers, parameters } = await prove()
    t.deepEqual(headers, {})
    const form = new Map(parameters)
    t.is(form.get('client_id'), clientId)
    t.is(
      form.get('client_assertion_type'),
      'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    )
    const assertion = form.get('client_assertion') ?? ''
    const { payload, protectedHeader } = await jwtVerify(assertion, publicKey, {
      currentDate: new Date(now * 1000),
      issuer: clientId,
      subject: clientId,
      audience,
    })
    t.is(payload.aud, audience)
    t.is(payload.iat, now)
    t.is(payload.exp, now + 60)
    t.deepEqual(protectedHeader, { alg: algorithm, typ: 'JWT' })
    const again = new Map((await prove()).parameters).get('client_assertion') ?? ''
    const { payload: second } = await jwtVerify(again, publicKey, {
      currentDate: new Date(now * 1000),
    })
    t.not(second.jti, payload.jti)
  })
}

test('a private JWK names its key, and may name its algorithm', async (t) => {
  const { privateKey } = pairs.RS256
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'key-7', alg: 'PS256' }
  const prove = proofBy('private_key_jwt', { key: text(JSON.stringify(jwk)) })
  const assertion = new Map((await prove()).parameters).get('client_assertion') ?? ''
  t.deepEqual(decodeProtectedHeader(assertion), { alg: 'PS256', typ: 'JWT', kid: 'key-7' })
})

test('a key that is replaced signs the next assertion', async (t) => {
  let file = pem(pairs.ES256.privateKey)
  const prove = proofBy('private_key_jwt', { key: async () => file })
  const next = async () => new Map((await prove()).parameters).get('client_assertion') ?? ''
  t.is(decodeProtectedHeader(await next()).alg, 'ES256')
  file = pem(pairs.EdDSA.privateKey)
  t.is(decodeProtectedHeader(await next()).alg, 'EdDSA')
})

test('a key file that cannot be used is an error that quotes nothing of it', async (t) => {
  const { privateKey, publicKey } = pairs.ES256
  const hidden = 'TOPSECRET'
  const noKey = 'the client key is neither PKCS#8 PEM nor a private JWK'
  const noAlgorithm = 'the client key fits no signature algorithm, or not the `alg` that it names'
  const jwk = privateKey.export({ format: 'jwk' })
  const x25519 = generateKeyPairSync('x25519').privateKey
  const cases: readonly (readonly [file: string, message: string])[] = [
    ['', noKey],
    [hidden, noKey],
    [`{"d":"${hidden}`, noKey],
    [JSON.stringify({ kty: 'oct', k: hidden }), noKey],
    [JSON.stringify(publicKey.export({ format: 'jwk' })), noKey],
    [publicKey.export({ type: 'spki', format: 'pem' }).toString(), noKey],
    [JSON.stringify({ ...jwk, alg: 'RS256' }), noAlgorithm],
    [JSON.stringify({ ...jwk, alg: 'HS256' }), noAlgorithm],
    [pem(x25519), noAlgorithm],
  ]
  for (const [file, message] of cases)
    await t.throwsAsync(proofBy('private_key_jwt', { key: text(file) }), { message }, file)
})

test('RFC 8705 §2: mtls shows a certificate on the connection and names the client in the form', async (t) => {
  const proof = await proofBy('mtls', { certificate: text('CERT'), key: text('KEY') })()
  t.deepEqual(proof, {
    headers: {},
    parameters: [['client_id', clientId]],
    certificate: { cert: 'CERT', key: 'KEY' },
  })
})

test('each method fails where its file cannot be read, with the reason', async (t) => {
  const files = { basic: 'secret', post: 'secret', private_key_jwt: 'key', mtls: 'key' } as const
  for (const [method, missing] of Object.entries(files)) {
    const rest = { certificate: text('CERT'), secret: text('s'), key: text('k'), [missing]: absent }
    await t.throwsAsync(proofBy(method as ClientMethod, rest), {
      message: 'the file: there is no such file',
    })
  }
})
