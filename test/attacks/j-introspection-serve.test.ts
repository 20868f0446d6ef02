/** Contract §5 and §7, threats J174, J176, P266: opaque tokens at a running server, asked over gRPC. */

import test from 'ava'
import { createCheckClient, metadataOf } from '../support/check-client.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { mountConfigMap } from '../support/config-map.ts'
import { createGate, startIntrospector } from '../support/introspector.ts'
import { audience } from '../support/issuer.ts'
import { startMeshbind } from '../support/meshbind.ts'
import { createAuthority } from '../support/pki.ts'
import { ordersId } from '../support/world.ts'

const canary = 'canary-5c1e77'

const policyOf = (url: string) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    partner:
      issuer: https://partner.example
      audiences: [${audience}]
      introspection: { url: "${url}", clientId: m, clientSecretFile: secret }
  routes:
    - { name: pay, require: { issuers: [partner], bindings: ["x5t#S256"] } }
`

test('a slow endpoint is introspection_unavailable before the deadline, its answer serves the next; no token or secret is told', async (t) => {
  const introspector = await startIntrospector(t)
  const orders = await (await createAuthority()).issue({ spiffeId: ordersId })
  const files = { 'policy.yaml': policyOf(introspector.url), secret: `${canary}-secret\n` }
  const map = await mountConfigMap(files)
  t.teardown(() => map.remove())
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--listen', '127.0.0.1:0'],
    ...['--admin', '127.0.0.1:0', '--deadline', '1s', '--log-level', 'debug'],
  ])
  t.teardown(() => meshbind.stop())
  const { admin } = await meshbind.waitFor(({ message }) => message === 'listening')
  const client = createCheckClient(meshbind.port)
  t.teardown(() => client.close())
  const ask = async (token: string) => {
    const answer = await client.ask(
      encodeCheckRequest({ certificate: orders.envoyText, token: `${canary}-${token}` }),
    )
    return metadataOf(answer, 'reason') ?? ''
  }

  const gate = createGate()
  introspector.answer(async () => {
    await gate.passed
    const iat = Math.floor(Date.now() / 1000)
    const cnf = { 'x5t#S256': orders.x5tS256 }
    const sound = { active: true, sub: 's', aud: audience, iat, exp: iat + 60 }
    return { json: { ...sound, cnf, jti: `${canary}-jti`, scope: canary } }
  })
  t.is(await ask('slow'), 'introspection_unavailable')
  const slow = await meshbind.waitFor(({ type }) => type === 'decision')
  t.is(slow['detail'], 'no answer within the time of a check')
  gate.open()
  while ((await ask('slow')) !== '') t.is(introspector.calls.length, 1)
  t.is(introspector.calls.length, 1)

  introspector.answer(() => ({ status: 401, body: canary }))
  t.is(await ask('other'), 'introspection_unavailable')
  const told = await meshbind.waitFor(({ result }) => result === 'unauthorized')
  t.regex(String(told['message']), /^tokens could not be introspected/)
  t.is(told['issuer'], 'partner')
  introspector.answer(() => ({ json: { active: false, detail: canary } }))
  t.is(await ask('gone'), 'token_inactive')

  const page = await (await fetch(`http://${admin}/metrics`)).text()
  for (const result of ['active', 'inactive', 'unauthorized'])
    t.regex(
      page,
      new RegExp(`^meshbind_introspection_total{issuer="partner",result="${result}"} 1$`, 'm'),
    )
  t.regex(page, /^meshbind_cache_entries\{cache="token"\} 1$/m)
  t.is(await meshbind.stop(), 0)
  t.false(meshbind.output().includes(canary))
  t.false(page.includes(canary))
})
