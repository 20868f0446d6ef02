/**
 * Attack group P, 266, 267 and 277: a real server with everything on, a secret in every part of a check, and all that it says.
 * p-operator-secrets.test.ts does the same with what an operator and a transmitter of events give it.
 *
 * | case | also in |
 * |---|---|
 * | 266 | observe/decision-log, observe/traces and observe/trace-exporter (a line, a span, its bytes), e2e/envoy.test.ts |
 * | 267 | p-log-lines.test.ts (each text of a line), observe/rollout-page.test.ts (hostile logs) |
 */

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { z } from 'zod'
import { createCheckClient } from '../support/check-client.ts'
import { type CheckRequestParts, encodeCheckRequest } from '../support/check-request.ts'
import { mountConfigMap } from '../support/config-map.ts'
import { createDpopClient } from '../support/dpop.ts'
import { audience, createTestIssuer } from '../support/issuer.ts'
import { startMeshbind } from '../support/meshbind.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { canRunRedis, startRedis } from '../support/redis.ts'
import { ordersId } from '../support/world.ts'

const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(new URL('../../docs/decision-log.schema.json', import.meta.url), 'utf8')),
)

/** One word that nothing may repeat: every secret here holds it, in the form that it is sent in. */
const secret = 'canary-7f3a9c'
const password = `${secret}-password`

const policy = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer:
    evidence: [certificate, principal, xfcc]
    trustBundles: { mesh.example: { file: mesh.pem } }
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [${audience}]
      keys: { file: jwks.json }
      identity: { claim: sub }
    unreachable:
      issuer: https://unreachable.example
      audiences: [${audience}]
      keys: { url: 'http://127.0.0.1:1/jwks' }
      identity: { claim: sub }
  revocation:
    denylist: { file: revoked.yaml }
    statusList: { hosts: [127.0.0.1] }
    events:
      corp: { issuer: https://idp.example, audience: https://meshbind.mesh.example, keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example] }
  routes:
    - name: open
      match: { paths: [/public/*] }
      require: none
    - name: any
      match: { paths: [/v1/payments, /v1/payments/*] }
      require: { issuers: [corp, unreachable], bindings: ["x5t#S256", spiffe, dpop] }
`

async function startCollector() {
  const posts: { body: string; authorization: string | undefined }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { authorization } = request.headers
      posts.push({ body: Buffer.concat(chunks).toString('latin1'), authorization })
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, posts, close: () => server.close() }
}

/** Every input of a check, sound and broken, each with a secret. */
async function* questions(
  issuer: Awaited<ReturnType<typeof createTestIssuer>>,
  orders: Leaf,
): AsyncGenerator<CheckRequestParts> {
  const client = await createDpopClient()
  const claims = { jti: `${secret}-jti`, scope: `${secret}-scope`, [`${secret}-claim`]: secret }
  const token = await issuer.sign({ ...claims, cnf: { jkt: client.jkt } })
  const bound = await issuer.sign({ ...claims, cnf: { 'x5t#S256': orders.x5tS256 } })
  const proof = (more: object = {}, header: object = {}) =>
    client.proof(
      token,
      { [`${secret}-claim`]: secret, ...more },
      header as { [name: string]: string },
    )
  const headers = {
    cookie: `session=${secret}-cookie`,
    'x-api-key': `${secret}-header`,
    [`x-${secret}-name`]: 'a',
    [`x-meshbind-forged`]: `${secret}-forged`,
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  }
  const path = `/v1/payments?access_token=${secret}-query`
  const peer = { certificate: orders.envoyText, principal: orders.spiffeId }
  const usual = { path, headers, ...peer }
  yield { ...usual, token: bound }
  yield { ...usual, path: `/public/page?${secret}-query` }
  yield { ...usual }
  yield { ...usual, path: `/public/page#${secret}-fragment` }
  const good = await proof()
  for (let twice = 0; twice < 2; twice++)
    yield { ...usual, token, scheme: 'DPoP', headers: { ...headers, dpop: good } }
  const proofs = [
    `${secret}-proof`,
    `${good.slice(0, -4)}AAAA`,
    await proof({ htu: `https://${secret}.example/` }),
    await proof({ jti: `${secret}-jti`.repeat(100) }),
    await proof({ nonce: `${secret}-nonce` }),
    await proof({}, { typ: `${secret}-typ` }),
    await proof({}, { kid: `${secret}-kid`, jku: `https://${secret}.example` }),
  ]
  for (const dpop of proofs)
    yield { ...usual, token, scheme: 'DPoP', headers: { ...headers, dpop } }
  const tokens = [
    `${secret}-token`,
    `${bound.slice(0, -4)}AAAA`,
    await issuer.sign(claims, { typ: `${secret}-typ` }),
    await issuer.sign(claims, { jku: `https://${secret}.example/` }),
    await issuer.sign(claims, { kid: `${secret}-unknown` }),
    await issuer.sign({ ...claims, iss: `https://${secret}.example` }),
    await issuer.sign({ ...claims, iss: 'https://unreachable.example' }),
    await issuer.sign({ ...claims, aud: `https://${secret}.example` }),
    await issuer.sign({ ...claims, exp: secret }),
    await issuer.sign({ ...claims, cnf: { 'x5t#S256': `${secret}-thumbprint` } }),
    await issuer.sign({ ...claims, cnf: { 'x5t#S256': 'A'.repeat(43) } }),
    await issuer.sign({ ...claims, act: { sub: ordersId, note: `${secret}-actor` } }),
    await issuer.sign({
      ...claims,
      status: { status_list: { idx: 1, uri: `http://127.0.0.1:1/${secret}-list` } },
    }),
  ]
  for (const one of tokens) yield { ...usual, token: one }
  for (const authorization of [`Basic ${secret}`, `Bearer ${secret} ${secret}`, `${secret}`])
    yield { ...usual, headers: { ...headers, authorization } }
  const own = `By=${ordersId};Hash=${secret};Subject="CN=${secret}";URI=${ordersId}`
  for (const xfcc of [own, secret, `Cert="${secret}"`, `[{"by":"${secret}"}]`])
    yield { ...usual, token: bound, headers: { ...headers, 'x-forwarded-client-cert': xfcc } }
  for (const certificate of [secret, `-----BEGIN CERTIFICATE-----%0A${secret}`])
    yield { ...usual, token: bound, certificate }
  yield { ...usual, token: bound, principal: `${secret}-principal` }
  yield { ...usual, token: bound, principal: `spiffe://${secret}.example/a` }
}

/** Identifiers that the log is meant to show, made of what would break a line, a page or an exposition. */
const shown = `shown-5e1d"\\\n<script>alert(1)</script>{}=`

const runs = canRunRedis() ? test : test.skip

runs('P266, P267, P277: no secret of any input is in any output, at log level debug', async (t) => {
  const issuer = await createTestIssuer('https://idp.example', { keyId: shown })
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId, subject: `CN=${secret}-subject` })
  const redis = await startRedis(['--requirepass', password])
  t.teardown(() => redis.stop())
  // Remembering for an hour already: proofs issued before that are refused unseen (policy.md, Proofs and replay).
  const since = String(Math.floor(Date.now() / 1000) - 3600)
  await redis.cli('-a', password, '--no-auth-warning', 'SET', 'meshbind:since', since)
  const collector = await startCollector()
  t.teardown(() => collector.close())
  const files = {
    'policy.yaml': policy,
    'jwks.json': JSON.stringify(issuer.jwks),
    'mesh.pem': authority.certificatePem,
    'revoked.yaml': `- { issuer: https://idp.example, jti: ${secret}-revoked }\n`,
    'nonce.key': `${secret}-nonce-key-of-32-bytes-or-more`,
  }
  const map = await mountConfigMap(files)
  t.teardown(() => map.remove())
  Object.assign(process.env, {
    MESHBIND_STATE: redis.url.replace('//', `//:${password}@`),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}-collector`,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  })
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--nonce-key-file', map.path('nonce.key')],
    ...['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--events', '127.0.0.1:0'],
    ...['--deadline', '10s', '--log-level', 'debug'],
  ])
  t.teardown(() => meshbind.stop())
  const { admin } = await meshbind.waitFor(({ message }) => message === 'listening')
  await meshbind.waitFor(({ message }) => message === 'shared state connected')
  const client = createCheckClient(meshbind.port)
  t.teardown(() => client.close())

  const told: string[] = []
  const reasons = new Set<string>()
  const ask = async (question: CheckRequestParts) => {
    const answer = await client.ask(encodeCheckRequest(question))
    told.push(JSON.stringify(answer))
    reasons.add(String(JSON.parse(answer.denied_response?.body || '{}').code ?? 'allow'))
  }

  for await (const question of questions(issuer, orders)) await ask(question)
  told.push(JSON.stringify(await client.ask(Buffer.from(secret))))
  const hostile = await issuer.sign({ sub: shown, cnf: { 'x5t#S256': orders.x5tS256 } })
  const names = { id: shown, host: 'shown.example', path: '/v1/payments/shown-path' }
  const peer = { certificate: orders.envoyText, principal: orders.spiffeId }
  await ask({ ...names, ...peer, token: hostile })
  await ask({ ...names, host: shown, path: `/${shown}`, method: shown })

  const pages = ['/livez', '/readyz', '/metrics', '/policy', '/evidence', '/', `/${secret}`]
  for (const page of pages) {
    const headers = { cookie: secret, authorization: `Bearer ${secret}` }
    const answer = await fetch(`http://${admin}${page}?${secret}`, { headers })
    told.push(await answer.text(), JSON.stringify([...answer.headers]))
  }
  t.is(await meshbind.stop(), 0)

  // Without these, nothing would have been shown: each part of the way was walked, each output written.
  const walked = [
    ...['allow', 'credential_missing', 'credential_malformed', 'token_malformed', 'issuer_unknown'],
    ...['token_signature_invalid', 'token_key_unknown', 'token_type_refused', 'audience_mismatch'],
    ...['proof_replayed', 'proof_invalid', 'binding_rotated', 'evidence_conflict'],
    ...['presenter_invalid', 'keys_unavailable', 'revocation_stale'],
  ]
  t.deepEqual(
    walked.filter((reason) => !reasons.has(reason)),
    [],
  )
  const bodies = collector.posts.map(({ body }) => body)
  t.true(bodies.join('').includes('/v1/payments/shown-path'))
  t.true(collector.posts.every(({ authorization }) => authorization === `${secret}-collector`))
  const decisions = meshbind.decisions()
  t.true(decisions.some((line) => JSON.stringify(line['token']).includes('shown-5e1d')))

  const encoded = (text: string) => Buffer.from(text).toString('base64')
  const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('hex')]
  // Base64 by where the word begins; the letters at the ends depend on its neighbours.
  const inBase64 = [0, 1, 2].map((before) => encoded(`${' '.repeat(before)}${secret}`).slice(4, -4))
  for (const output of [meshbind.output(), ...told, ...bodies])
    for (const form of [...forms, ...inBase64]) {
      const at = output.indexOf(form)
      t.true(at < 0, output.slice(Math.max(0, at - 200), at + 60))
    }
  for (const line of decisions) t.true(schema.safeParse(line).success, JSON.stringify(line))
})
