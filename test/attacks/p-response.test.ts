/**
 * Attack group P, 270-273 and 275: what an answer can say, and what it can never be made to say.
 *
 * | case | also in |
 * |---|---|
 * | 270 | decision/challenge.test.ts (the quoting), e2e/envoy.test.ts (`validate_mutations`: no answer was invalid) |
 * | 271 | e2e/envoy.test.ts and modes.test.ts (the upstream’s view, mode audit), wire/decode.test.ts (spellings) |
 * | 272 | wire/encode.test.ts (which names are written) |
 * | 275 | wire/server.test.ts (the health service of the data port) |
 */

import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { createTestIssuer } from '../support/issuer.ts'
import { basePolicy, createWorld, headerOf, thiefId, type Verdict } from '../support/world.ts'

const world = await createWorld()
const good = await world.token({ scope: 'admin.write', tenant: 'acme' })
const settings = { numRuns: 500 }

/** RFC 9110 §5.6.2 and §5.5, without obs-text: what Envoy’s `validate_mutations` takes, and every proxy after it. */
const headerName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const headerValue = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

function checkForm(t: ExecutionContext, { allowed, response }: Verdict, note: string): void {
  const { denied_response: denied, ok_response: ok } = response
  const headers = [
    ...(denied?.headers ?? []),
    ...(ok?.headers ?? []),
    ...(ok?.response_headers_to_add ?? []),
  ]
  for (const { header } of headers) {
    t.regex(header.key, headerName, note)
    t.regex(header.value, headerValue, note)
  }
  if (allowed) return
  const body = JSON.parse(denied?.body ?? '')
  t.deepEqual(Object.keys(body), ['type', 'title', 'status', 'code', 'decision_id'], note)
}

/** Any text, and texts made of what could end a header, a quoted string or a JSON string. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom(...'\r\n"\\\u2028\u0000\u007f;,= a:'), maxLength: 20 }),
)

test('P270: no text of a request makes an answer that is not well-formed (RFC 9110 §5.5)', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        id: anyText,
        host: anyText,
        path: anyText.map((text) => `/admin${text}`),
        principal: fc.oneof(fc.constant(world.orders.spiffeId), anyText),
        headers: fc.record({
          authorization: fc.oneof(anyText, fc.constant(`Bearer ${good}`)),
          dpop: anyText,
          'x-forwarded-client-cert': anyText,
        }),
      }),
      async (parts) => checkForm(t, await world.ask(parts), JSON.stringify(parts)),
    ),
    settings,
  )
})

test('P270: whatever scopes a policy names, the challenge is one well-formed line (RFC 6750 §3)', async (t) => {
  const policy = basePolicy.replace('scopes: [admin.write]', "scopes: ['admin.write!#$%&*+~;,=']")
  const strict = await createWorld({ policy })
  const token = await strict.token({ scope: 'other', tenant: 'acme' })
  const verdict = await strict.ask({ token, path: '/admin' })
  t.is(verdict.reason, 'scope_insufficient')
  t.regex(verdict.challenge, /^Bearer realm="[^"\\]*"(?:, [a-z_]+="[^"\\]*")*$/)
  t.true(verdict.challenge.endsWith('scope="admin.write!#$%&*+~;,="'))
  checkForm(t, verdict, 'scope_insufficient')
})

const spellings = [
  ...['x-meshbind-presenter', 'X-Meshbind-Presenter', 'X_MESHBIND_PRESENTER'],
  ...['x-meshbind_presenter', 'x-meshbind-role', 'x-meshbind-', 'x-meshbind-decision-id'],
]

for (const path of ['/public/page', '/any', '/admin']) {
  test(`P271: on an allow of ${path} no identity header of the client’s is left, in any spelling`, async (t) => {
    for (const map of ['headers', 'rawHeaders'] as const) {
      const forged = spellings.map((name) => [name, thiefId] as const)
      const token = ['authorization', `Bearer ${good}`] as const
      const sent = [...forged, token]
      const parts = map === 'headers' ? { headers: Object.fromEntries(sent) } : { rawHeaders: sent }
      const { response, reason } = await world.ask({ path, ...parts })
      t.is(reason, '')
      const set = headerOf(response, 'x-meshbind-presenter')
      t.is(set, path === '/admin' ? world.orders.spiffeId : '')
      const gone = new Set(response.ok_response?.headers_to_remove)
      // Envoy removes after it sets, so the one that is set here is overwritten and not removed.
      for (const name of spellings.map((text) => text.toLowerCase()))
        t.is(gone.has(name), !(name === 'x-meshbind-presenter' && set !== ''), name)
    }
  })
}

test('P272: whatever a client names its headers, no pseudo-header and no host is removed', async (t) => {
  const name = fc.oneof(
    fc.constantFrom(':path', ':authority', ':method', 'host', 'Host', 'cookie', 'content-length'),
    fc.constantFrom('', ':', '-host', 'x', 'a:b').map((rest) => `x-meshbind-${rest}`),
    anyText.map((text) => `x-meshbind-${text}`),
    anyText,
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(name, { maxLength: 12 }),
      fc.constantFrom('/admin', '/public/page'),
      async (names, path) => {
        const rawHeaders = names.map((text) => [text, 'forged'] as const)
        const authorization = ['authorization', `Bearer ${good}`] as const
        const { response } = await world.ask({ path, rawHeaders: [authorization, ...rawHeaders] })
        for (const removed of response.ok_response?.headers_to_remove ?? [])
          t.regex(removed, /^(?:x[-_]meshbind[-_].*|authorization|dpop)$/s)
      },
    ),
    settings,
  )
})

/** The answer without what names the reason: its code, title and error_description, which stand in the documentation. */
function shapeOf({ response, reason, challenge }: Verdict): string {
  const { title } = JSON.parse(response.denied_response?.body ?? '{}')
  const withoutReason = (text: string) => text.replaceAll(reason, '').replaceAll(title, '')
  const { status, denied_response: denied } = response
  return JSON.stringify([
    status,
    denied?.status,
    withoutReason(denied?.body ?? ''),
    withoutReason(challenge),
  ])
}

test('P273: refused before its signature held, a token changes nothing in the answer but the reason', async (t) => {
  const stranger = await createTestIssuer('https://stranger.example')
  const forger = await createTestIssuer('https://idp.example')
  const other = await createTestIssuer('https://idp.example', { keyId: 'no-such-key' })
  const expected = {
    issuer_unknown: [stranger, 'https://stranger.example'],
    token_signature_invalid: [forger, 'https://idp.example'],
    token_key_unknown: [other, 'https://idp.example'],
  } as const
  const shapes = new Set<string>()
  for (const [reason, [issuer, iss]] of Object.entries(expected)) {
    const answers = new Set<string>()
    for (const sub of [world.orders.spiffeId, thiefId, 'a', 'b'.repeat(3000)]) {
      const verdict = await world.ask({ token: await issuer.sign({ iss, sub, jti: sub }) })
      t.is(verdict.reason, reason)
      answers.add(JSON.stringify(verdict.response))
      shapes.add(shapeOf(verdict))
    }
    t.is(answers.size, 1, `${reason}: one answer whoever is named in the token`)
  }
  t.is(shapes.size, 1, 'status, challenge and body differ in the reason alone')
})

test('P273: how long an unknown issuer and a bad signature take is recorded', async (t) => {
  const stranger = await createTestIssuer('https://stranger.example')
  const forger = await createTestIssuer('https://idp.example')
  for (const [reason, issuer] of [
    ['issuer_unknown', stranger],
    ['token_signature_invalid', forger],
  ] as const) {
    const took: number[] = []
    for (let i = 0; i < 50; i++) {
      const token = await issuer.sign({ jti: `${i}` })
      const startedAt = performance.now()
      t.is((await world.ask({ token })).reason, reason)
      took.push(performance.now() - startedAt)
    }
    const median = took.toSorted((a, b) => a - b)[25] ?? 0
    t.log(`${reason}: ${(median * 1000).toFixed(0)} µs (median of 50)`)
  }
})

const probes = [
  ...['/livez', '/readyz', '/metrics', '/grpc.health.v1.Health/Check', '/health', '/ready'],
  '/envoy.service.auth.v3.Authorization/Check',
]

for (const path of probes) {
  test(`P275: ${path} is a path like any other: no route, no allow`, async (t) => {
    for (const agent of ['kube-probe/1.33', 'GoogleHC/1.0', 'Envoy/HC', 'grpc_health_probe']) {
      const headers = { 'user-agent': agent, 'x-envoy-internal': 'true' }
      for (const method of ['GET', 'POST', 'HEAD', 'OPTIONS']) {
        const { reason } = await world.ask({ path, method, headers, token: good })
        t.is(reason, 'route_unmatched', `${method} ${agent}`)
      }
    }
  })
}

test('P275, control: the probe path that the policy leaves open is open, and no path below it', async (t) => {
  t.true((await world.ask({ path: '/healthz', as: null })).allowed)
  for (const path of [
    '/healthz/',
    '/healthz/x',
    '/healthz/../v1/payments',
    '/healthz%2f',
    '/Healthz',
  ])
    t.false((await world.ask({ path, as: null })).allowed, path)
})
