import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { generateKeyPair, SignJWT } from 'jose'
import type { ClientProof } from '../../src/token/client-authentication.ts'
import {
  createIntrospectionCall,
  type IntrospectionCallOptions,
  IntrospectionFailure,
} from '../../src/token/introspection-call.ts'
import { createKeySource } from '../../src/token/key-source.ts'
import { startIntrospector } from '../support/introspector.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { createOpaqueWorld, partnerIssuer } from '../support/opaque-world.ts'
import { createAuthority } from '../support/pki.ts'

const now = 1_800_000_000
const signer = await createTestIssuer(partnerIssuer, { now: () => now })
const nobody: ClientProof = { headers: {}, parameters: [] }
const signal = new AbortController().signal

function createCall(
  t: ExecutionContext,
  url: string,
  options: Partial<IntrospectionCallOptions> = {},
) {
  const call = createIntrospectionCall({
    url: new URL(url),
    timeoutMs: 5000,
    prove: async () => nobody,
    readCa: async () => undefined,
    signed: undefined,
    clock: () => 0,
    ...options,
  })
  t.teardown(() => call.close())
  return call
}

/** What came of it: the answer, or `result: message` of the failure. */
async function outcomeOf(asking: Promise<object>): Promise<object | string> {
  return asking.catch((error) =>
    error instanceof IntrospectionFailure ? `${error.result}: ${error.message}` : String(error),
  )
}

test('RFC 7662 §2.1: one form with the token, the hint and what the client adds; the query of the URL stays', async (t) => {
  const introspector = await startIntrospector(t)
  introspector.answer(() => ({ json: { active: true } }))
  const call = createCall(t, `${introspector.url}?tenant=a`, {
    prove: async () => ({
      headers: { authorization: 'Basic x' },
      parameters: [['client_id', 'a&b=c d\r\n']],
    }),
  })
  const strange = 'a&b=c\r\nX: y %26+ü'
  t.deepEqual(await call.ask(strange, signal), { active: true })
  const [asked] = introspector.calls
  t.deepEqual(
    [...(asked?.form ?? [])],
    [
      ['token', strange],
      ['token_type_hint', 'access_token'],
      ['client_id', 'a&b=c d\r\n'],
    ],
  )
  t.is(asked?.headers.authorization, 'Basic x')
  t.is(asked?.headers['accept-encoding'], 'identity')
})

test('a connection is kept for the next call; one that was closed meanwhile costs no answer', async (t) => {
  const introspector = await startIntrospector(t)
  introspector.answer(() => ({ json: { active: true } }))
  const call = createCall(t, introspector.url)
  for (let i = 0; i < 3; i++) await call.ask('a', signal)
  t.deepEqual(
    introspector.calls.map(({ connection }) => connection),
    [0, 0, 0],
  )
  for (let i = 0; i < 20; i++) {
    introspector.cut()
    t.deepEqual(await outcomeOf(call.ask('b', signal)), { active: true })
  }
})

test('close ends the connections that were kept, a little later', async (t) => {
  const introspector = await startIntrospector(t)
  const call = createCall(t, introspector.url)
  await call.ask('a', signal)
  t.is(await introspector.open(), 1)
  call.close()
  while ((await introspector.open()) > 0) await sleep(10)
  t.is(introspector.calls.length, 1)
})

test('a kept connection that is reset while it is asked on is tried once more on a new one, and no further', async (t) => {
  const introspector = await startIntrospector(t)
  let resets = 0
  introspector.answer(({ token }) => {
    if (token === 'a') return { json: { active: true } }
    resets++
    return token === 'always' || resets === 1 ? 'reset' : { json: { active: true } }
  })
  const call = createCall(t, introspector.url)
  await call.ask('a', signal)
  t.deepEqual(await outcomeOf(call.ask('once', signal)), { active: true })
  t.is(introspector.callsFor('once'), 2)
  await call.ask('a', signal)
  t.is(await outcomeOf(call.ask('always', signal)), 'failed: ECONNRESET')
  t.is(introspector.callsFor('always'), 2)
  const fresh = createCall(t, introspector.url)
  t.is(await outcomeOf(fresh.ask('always', signal)), 'failed: ECONNRESET')
  t.is(introspector.callsFor('always'), 3)
})

test('only what says something of the endpoint counts as its failure', async (t) => {
  const introspector = await startIntrospector(t)
  const call = createCall(t, introspector.url)
  for (const status of [302, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503]) {
    introspector.answer(() => ({ status }))
    const failure = await call.ask('a', signal).catch((error: IntrospectionFailure) => error)
    const ofToken = [400, 404, 413, 422].includes(status)
    t.is(failure instanceof IntrospectionFailure && failure.general, !ofToken, String(status))
  }
})

test('RFC 7009 §2.2.1: `unsupported_token_type` is about the token, any other error about the request', async (t) => {
  const introspector = await startIntrospector(t)
  const call = createCall(t, introspector.url)
  const answered = async (body: string) => {
    introspector.answer(() => ({ status: 400, body }))
    return outcomeOf(call.ask('a', signal))
  }
  t.deepEqual(await answered('{"error":"unsupported_token_type"}'), { active: false })
  for (const body of [
    '{"error":"invalid_request"}',
    '{"error":"invalid_client"}',
    '{"error":["unsupported_token_type"]}',
    '{"error":"unsupported_token_type"',
    'unsupported_token_type',
    '{"active":true}',
    '',
  ])
    t.is(await answered(body), 'failed: answered 400; 200 is needed', body)
})

test('addresses are judged as those of key sources: link-local never, http to loopback alone', async (t) => {
  for (const url of ['https://169.254.169.254/', 'http://10.0.0.1/', 'http://[fe80::1]/'])
    t.regex(String(await outcomeOf(createCall(t, url).ask('a', signal))), /^failed: the URL must/)
})

test('RFC 8705 §2: with auth mtls the endpoint sees the certificate of the file, and the next one after it changed', async (t) => {
  const authority = await createAuthority()
  const server = await authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  const [first, second] = [
    await authority.issue({ names: [{ type: 'dns', value: 'meshbind.example' }] }),
    await authority.issue({ names: [{ type: 'dns', value: 'meshbind.example' }] }),
  ]
  const ca = authority.certificatePem
  const introspector = await startIntrospector(t, {
    tls: { cert: server.pem, key: server.keyPem, ca, requestCert: true, rejectUnauthorized: true },
  })
  const world = await createOpaqueWorld(t, {
    introspector,
    client: 'auth: mtls, clientCertFile: tls.crt, clientKeyFile: tls.key, caFile: ca.pem',
    more: 'cacheFor: 0s',
    files: { 'tls.crt': first.pem, 'tls.key': first.keyPem, 'ca.pem': ca },
  })
  const fingerprint = (der: Buffer) =>
    createHash('sha256').update(der).digest('hex').toUpperCase().match(/../g)?.join(':')
  t.is(await world.ask({ token: 'a' }), '')
  t.is(introspector.calls[0]?.certificate, fingerprint(first.der))
  t.is(introspector.calls[0]?.form.get('client_id'), 'mesh:bind')
  t.is(introspector.calls[0]?.headers.authorization, undefined)
  await world.put('tls.key', second.keyPem)
  await world.put('tls.crt', second.pem)
  const shown = () => introspector.calls.at(-1)?.certificate
  while (shown() !== fingerprint(second.der)) {
    await world.ask({ token: 'a' })
    await new Promise((next) => setTimeout(next, 50))
  }
  t.is(await world.ask({ token: 'a' }), '')
})

test('RFC 8705 §2: a certificate, key or CA that is none fails the call by a name, and quotes nothing of it', async (t) => {
  const authority = await createAuthority()
  const server = await authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  const tls = { cert: server.pem, key: server.keyPem }
  const introspector = await startIntrospector(t, { tls })
  const ca = authority.certificatePem
  const sound = { cert: server.pem, key: server.keyPem }
  const cases = [
    { ca, certificate: { ...sound, key: 'TOPSECRET' } },
    { ca, certificate: { ...sound, cert: 'TOPSECRET' } },
    { ca: 'TOPSECRET', certificate: sound },
  ]
  for (const { ca, certificate } of cases) {
    const call = createCall(t, introspector.url, {
      prove: async () => ({ ...nobody, certificate }),
      readCa: async () => ca,
    })
    const outcome = await outcomeOf(call.ask('a', signal))
    t.regex(String(outcome), /^failed: (ERR_OSSL|ERR_TLS|UNABLE_TO|SELF_SIGNED)\w+$/)
  }
  t.is(introspector.calls.length, 0)
})

const clientId = 'meshbind'
const answer = { active: true, sub: 'a' }

function signedCall(t: ExecutionContext, url: string) {
  const keys = createKeySource({
    load: async () => ({ bytes: Buffer.from(JSON.stringify(signer.jwks)) }),
    algorithms: ['ES256'],
    clock: () => now,
    refreshSeconds: 300,
  })
  t.teardown(() => keys.close())
  const signed = { issuer: partnerIssuer, clientId, keys, clockSkewSeconds: 30 }
  return keys.tried.then(() => createCall(t, url, { signed, clock: () => now }))
}

const sound = { aud: clientId, token_introspection: answer, sub: undefined, exp: undefined }
const header = { typ: 'token-introspection+jwt' }

test('RFC 9701 §5: a signed response is taken where the policy has signed, and asked for by its media type', async (t) => {
  const introspector = await startIntrospector(t)
  const call = await signedCall(t, introspector.url)
  const fine: readonly (readonly [claims: object, header: object])[] = [
    [{}, header],
    [{ aud: ['other', clientId] }, { typ: 'application/Token-Introspection+JWT' }],
    [{ iat: now + 30 }, header],
    [{ iat: now - 300 }, header],
  ]
  for (const [claims, typ] of fine) {
    const body = await signer.sign({ ...sound, ...claims }, { ...typ })
    introspector.answer(() => ({ headers: { 'content-type': 'application/json' }, body }))
    t.deepEqual(await outcomeOf(call.ask('a', signal)), answer)
  }
  t.is(introspector.calls[0]?.headers.accept, 'application/token-introspection+jwt')
})

test('RFC 9701 §5: unsigned, of another kind, issuer, audience, time or key is unusable', async (t) => {
  const introspector = await startIntrospector(t)
  const call = await signedCall(t, introspector.url)
  const { privateKey } = await generateKeyPair('ES256')
  const forged = await new SignJWT({
    iss: partnerIssuer,
    iat: now,
    aud: clientId,
    token_introspection: answer,
  })
    .setProtectedHeader({ alg: 'ES256', kid: 'key-1', ...header })
    .sign(privateKey)
  const unsigned = `${Buffer.from('{"alg":"none","typ":"token-introspection+jwt"}').toString('base64url')}.${forged.split('.')[1]}.`
  const signed = (claims: object, own: object = header) =>
    signer.sign({ ...sound, ...claims }, { ...own })
  const bodies: readonly (readonly [body: string, said: RegExp])[] = [
    [JSON.stringify({ active: true }), /token_malformed/],
    [forged, /token_signature_invalid/],
    [unsigned, /token_algorithm_refused/],
    [await signed({}, { typ: 'JWT' }), /token_type_refused/],
    [await signed({}, { typ: 'at+jwt' }), /token_type_refused/],
    [await signed({}, { ...header, kid: 'key-2' }), /token_key_unknown/],
    [await signed({ iss: 'https://idp.example' }), /another `iss`/],
    [await signed({ iss: undefined }), /another `iss`/],
    [await signed({ aud: 'other' }), /`aud`/],
    [await signed({ aud: undefined }), /`aud`/],
    [await signed({ aud: [[clientId]] }), /`aud`/],
    [await signed({ iat: now + 31 }), /`iat`/],
    [await signed({ iat: undefined }), /`iat`/],
    [await signed({ iat: now - 301 }), /over 5 minutes/],
    [await signed({ token_introspection: undefined, active: true }), /`token_introspection`/],
    [await signed({ token_introspection: 'active' }), /`token_introspection`/],
  ]
  for (const [body, said] of bodies) {
    introspector.answer(() => ({ body }))
    const outcome = String(await outcomeOf(call.ask('a', signal)))
    t.regex(outcome, /^unusable: the answer is /)
    t.regex(outcome, said)
  }
})

test('RFC 9701: signed responses through the policy, with keys from a file; a response is no access token', async (t) => {
  const partner = await createTestIssuer(partnerIssuer)
  const world = await createOpaqueWorld(t, {
    more: 'signed: { keys: { file: partner.json } }',
    files: { 'partner.json': JSON.stringify(partner.jwks) },
  })
  t.is(await world.ask({ token: 'plain' }), 'introspection_unavailable')
  const { json } = world.active()
  const body = await partner.sign(
    { ...sound, aud: 'mesh:bind', token_introspection: json },
    { ...header },
  )
  world.introspector.answer(() => ({ body }))
  t.is(await world.ask({ token: 'opaque' }), '')
  t.is(await world.ask({ token: 'opaque', as: world.thief }), 'binding_mismatch')
  world.introspector.answer(() => ({ json: { active: false } }))
  t.is(await world.ask({ token: body }), 'introspection_unavailable')
})
