/**
 * Attack group P, 266 and 276: what an operator and a transmitter of events entrust to a server is in nothing that it says.
 *
 * state/redis.test.ts has a wrong password, policy/parse-issuers.test.ts user and password in a URL, admin/events.test.ts
 * one broken SET; observe/trace-exporter.test.ts the endpoint of the collector. Here all of them in a real server.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { mountConfigMap } from '../support/config-map.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { startMeshbind } from '../support/meshbind.ts'
import { canRunRedis, startRedis } from '../support/redis.ts'

/** One word that nothing may repeat. */
const secret = 'canary-91bd04'
const password = `${secret}-password`
const receiver = 'https://meshbind.mesh.example'

const policy = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [https://a.example]
      keys: { url: 'http://127.0.0.1:1/jwks?key=${secret}-url' }
  revocation:
    denylist: { file: revoked.yaml }
    events:
      corp: { issuer: https://idp.example, audience: ${receiver}, keys: { file: jwks.json } }
  routes:
    - name: rest
      require: { issuers: [corp], bindings: [jwk] }
`

/** What is written wrong in a policy stands beside what must not be repeated. */
const brokenPolicies = [
  policy.replace('audiences:', `clientSecret: ${secret}\n      audiences:`),
  policy.replace('http://127.0.0.1:1/', `https://user:${password}@idp.example/`),
  policy.replace('127.0.0.1:1', `169.254.0.1:1/${secret}`),
  policy.replace('https://a.example', `${secret}-audience, [`),
  policy.replace('name: rest', `name: '${secret} A'`),
  policy.replace('[jwk]', `[${secret}]`),
  `${policy}${secret}: *${secret}\n`,
]

const sessionRevoked = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const runs = canRunRedis() ? test : test.skip

runs(
  'P266, P276: no password, key, URL or SET is in the log, on a page or in an answer',
  async (t) => {
    const issuer = await createTestIssuer()
    const redis = await startRedis(['--requirepass', password])
    t.teardown(() => redis.stop())
    const files = {
      'policy.yaml': policy,
      'jwks.json': JSON.stringify(issuer.jwks),
      'revoked.yaml': `- { issuer: https://idp.example, jti: ${secret}-revoked }\n`,
      'nonce.key': `${secret}-nonce-key-of-32-bytes-or-more`,
    }
    const map = await mountConfigMap(files)
    t.teardown(() => map.remove())
    Object.assign(process.env, {
      MESHBIND_STATE: redis.url.replace('//', `//:${password}@`),
      // Nobody listens there, so that the exporter has a failure to tell of.
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:${password}@127.0.0.1:1/${secret}`,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}-collector`,
    })
    const meshbind = await startMeshbind([
      ...['--policy', map.path('policy.yaml'), '--nonce-key-file', map.path('nonce.key')],
      ...['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--events', '127.0.0.1:0'],
      ...['--log-level', 'debug'],
    ])
    t.teardown(() => meshbind.stop())
    const { admin, events } = await meshbind.waitFor(({ message }) => message === 'listening')
    await meshbind.waitFor(({ message }) => message === 'shared state connected')

    const told: string[] = []
    const hear = async (answer: Response) => {
      told.push(await answer.text(), JSON.stringify([...answer.headers]))
      return answer.status
    }
    const readPages = async () => {
      for (const page of ['/livez', '/readyz', '/metrics', '/policy', '/evidence', '/'])
        await hear(await fetch(`http://${admin}${page}`))
    }
    const send = async (body: string) => {
      const type = 'application/secevent+jwt'
      const headers = { 'content-type': type, authorization: `Bearer ${secret}` }
      return hear(await fetch(`http://${events}/events/corp`, { method: 'POST', body, headers }))
    }
    const sign = (claims: object, header: object = {}) => {
      const subject = { format: 'iss_sub', iss: issuer.issuer, sub: `${secret}-jane` }
      const event = { reason_admin: { en: `${secret}-reason` }, [secret]: secret }
      const sound = { aud: receiver, sub: undefined, exp: undefined, jti: `${secret}-set` }
      const all = { ...sound, sub_id: subject, events: { [sessionRevoked]: event }, ...claims }
      return issuer.sign(all, { typ: 'secevent+jwt', ...header })
    }

    t.is(await send(await sign({})), 202)
    for (const set of [
      ...[secret, `${secret}.${secret}.${secret}`, `${(await sign({})).slice(0, -4)}AAAA`],
      await sign({ aud: `https://${secret}.example` }),
      await sign({ iss: `https://${secret}.example` }),
      await sign({ sub_id: { format: secret } }),
      await sign({ events: { [secret]: secret } }),
      await sign({}, { typ: secret }),
    ])
      t.is(await send(set), 400)
    await readPages()

    const refusals = () => meshbind.lines.filter(({ result }) => result === 'invalid').length
    for (const [i, text] of brokenPolicies.entries()) {
      await map.swap({ ...files, 'policy.yaml': text, 'revoked.yaml': `- ${secret}: [${secret}\n` })
      while (refusals() <= i) await sleep(50)
      await readPages()
    }
    await meshbind.waitFor(({ message }) =>
      String(message).startsWith('denylist could not be read'),
    )
    await redis.restart(['--requirepass', `${secret}-other`])
    const lost = await meshbind.waitFor(({ message }) =>
      String(message).startsWith('shared state lost'),
    )
    t.truthy(lost['problem'])
    t.is(await send(await sign({})), 503)
    await readPages()
    t.is(await meshbind.stop(), 0)

    const encoded = [0, 1, 2].map((before) =>
      Buffer.from(`${' '.repeat(before)}${secret}`)
        .toString('base64')
        .slice(4, -4),
    )
    for (const output of [meshbind.output(), ...told])
      for (const form of [secret, ...encoded]) {
        const at = output.indexOf(form)
        t.true(at < 0, output.slice(Math.max(0, at - 300), at + 60))
      }
  },
)
