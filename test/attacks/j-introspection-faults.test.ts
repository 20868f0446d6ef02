/**
 * Attack group J, 174-176 and 186, and what a slow or broken endpoint may not do: hold a check beyond its time, hold
 * other routes, push good facts out, or be flooded.
 */

import { gzipSync } from 'node:zlib'
import test from 'ava'
import { createGate, type Reply, startIntrospector } from '../support/introspector.ts'
import { createOpaqueWorld, opaquePolicy, secret } from '../support/opaque-world.ts'
import { createAuthority } from '../support/pki.ts'

const unavailable = 'introspection_unavailable'

const faults: { readonly [what: string]: readonly [reply: Reply, result: string] } = {
  '500': [{ status: 500, body: '{"active":true}' }, 'failed'],
  '502': [{ status: 502 }, 'failed'],
  '503': [{ status: 503 }, 'failed'],
  '400': [{ status: 400, body: '{"error":"invalid_request"}' }, 'failed'],
  '204': [{ status: 204 }, 'failed'],
  'an answer that is cut off': [
    { headers: { 'content-length': '100' }, body: '{"active":true}', cutAfter: 5 },
    'failed',
  ],
  'a reset connection': ['reset', 'failed'],
  'no answer': ['hang', 'timeout'],
}

test('J174: 5xx, a timeout, a reset and an answer that is cut off are introspection_unavailable, and are not remembered', async (t) => {
  for (const [what, [reply, result]] of Object.entries(faults)) {
    const world = await createOpaqueWorld(t, result === 'timeout' ? { more: 'timeout: 1s' } : {})
    world.introspector.answer(() => reply)
    t.like(await world.decide({ token: 'a' }), { reason: unavailable, detail: result }, what)
    t.deepEqual(
      world.told.map(([issuer, told]) => [issuer, told]),
      [['partner', result]],
    )
    world.introspector.answer(() => world.active())
    t.is(await world.ask({ token: 'a' }), '', what)
    t.is(world.introspector.callsFor('a'), 2)
  }
})

test('J174: an endpoint that is not there, or that no CA vouches for, is introspection_unavailable', async (t) => {
  const gone = await createOpaqueWorld(t)
  gone.introspector.close()
  t.like(await gone.decide({ token: 'a' }), { reason: unavailable, detail: 'failed' })

  const authority = await createAuthority()
  const { pem, keyPem } = await authority.issue({ names: [{ type: 'ip', value: '127.0.0.1' }] })
  const tls = { cert: pem, key: keyPem }
  const untrusted = await startIntrospector(t, { tls })
  const world = await createOpaqueWorld(t, { introspector: untrusted })
  t.is(await world.ask({ token: 'a' }), unavailable)
  t.regex(world.told[0]?.[2] ?? '', /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/)
  t.is(untrusted.calls.length, 0)

  const trusted = await createOpaqueWorld(t, {
    introspector: await startIntrospector(t, { tls }),
    more: 'caFile: ca.pem',
    files: { 'ca.pem': authority.certificatePem },
  })
  t.is(await trusted.ask({ token: 'a' }), '')
})

test('J175: HTML, truncated JSON, 10 MB, gzip, an array and no JSON at all are introspection_unavailable', async (t) => {
  const good = JSON.stringify({ active: true })
  const gzip = { 'content-encoding': 'gzip', 'content-type': 'application/json' }
  const bodies: { readonly [what: string]: Reply } = {
    html: { headers: { 'content-type': 'text/html' }, body: '<html>active: true</html>' },
    truncated: { body: good.slice(0, -1) },
    '10 MB': { body: `{"active":true,"pad":"${'x'.repeat(10_000_000)}"}` },
    '64 KiB and one': { body: good.padEnd(64 * 1024 + 1) },
    gzip: { headers: gzip, body: gzipSync(good) },
    'a gzip bomb': { headers: gzip, body: gzipSync(`{"active":true,"a":"${' '.repeat(5e6)}"}`) },
    'an array': { body: `[${good}]` },
    'a key twice': { body: '{"active":false,"active":true}' },
    'a fraction': { body: '{"active":true,"exp":1e400}' },
    nothing: { body: '' },
    'not UTF-8': { body: Buffer.from([0x7b, 0xff, 0x7d]) },
    'a JWT': { body: 'eyJhbGciOiJub25lIn0.eyJhY3RpdmUiOnRydWV9.' },
  }
  for (const [what, reply] of Object.entries(bodies)) {
    const world = await createOpaqueWorld(t)
    world.introspector.answer(() => reply)
    t.like(await world.decide({ token: 'a' }), { reason: unavailable, detail: 'unusable' }, what)
    t.is(world.told[0]?.[1], 'unusable')
  }
})

test('J175: a redirect is not followed', async (t) => {
  const target = await startIntrospector(t)
  target.answer(() => ({ json: { active: true } }))
  for (const status of [301, 302, 303, 307, 308]) {
    const world = await createOpaqueWorld(t)
    world.introspector.answer(() => ({ status, headers: { location: target.url } }))
    t.like(await world.decide({ token: 'a' }), { reason: unavailable, detail: 'failed' })
  }
  t.is(target.calls.length, 0)
})

test('J176: 401 and 403 to our client are introspection_unavailable, and told as unauthorized', async (t) => {
  for (const status of [401, 403]) {
    const world = await createOpaqueWorld(t)
    world.introspector.answer(({ headers }) =>
      headers.authorization === undefined ? world.active() : { status },
    )
    t.like(await world.decide({ token: 'a' }), { reason: unavailable, detail: 'unauthorized' })
    const [issuer, result, error = ''] = world.told[0] ?? []
    t.deepEqual([issuer, result], ['partner', 'unauthorized'])
    t.regex(error, new RegExp(`^answered ${status}`))
    t.false(error.includes(secret))
  }
})

test.serial(
  'J186: of 10,000 unknown tokens at once 64 are asked about, the others are refused; good facts stay',
  async (t) => {
    const gate = createGate()
    const world = await createOpaqueWorld(t)
    t.is(await world.ask({ token: 'good' }), '')
    world.introspector.answer(async () => {
      await gate.passed
      return { json: { active: false } }
    })
    const asked = Array.from({ length: 10_000 }, (_, i) => world.decide({ token: `junk-${i}` }))
    await world.introspector.arrived(65)
    t.is((await world.decide({ token: 'good' })).cache, 'hit')
    gate.open()
    const answers = await Promise.all(asked)
    const count = (reason: string) => answers.filter((answer) => answer.reason === reason).length
    t.is(count('token_inactive'), 64)
    t.is(count(unavailable), 10_000 - 64)
    t.is(answers.find(({ reason }) => reason === unavailable)?.detail, '64 calls are under way')
    t.is(world.introspector.calls.length, 65)
    t.is(world.told.filter(([, result]) => result === 'refused').length, 10_000 - 64)
  },
)

test('contract §5: an endpoint that outlasts the check is introspection_unavailable, and its answer serves the next', async (t) => {
  const gate = createGate()
  const world = await createOpaqueWorld(t)
  world.introspector.answer(async () => {
    await gate.passed
    return world.active()
  })
  const late = await world.decide({ token: 'slow', budgetMs: 50 })
  t.like(late, { reason: unavailable, detail: 'no answer within the time of a check' })
  // The second waits for the same call, with more time.
  const second = world.decide({ token: 'slow' })
  gate.open()
  t.is((await second).reason, '')
  t.is((await world.decide({ token: 'slow', budgetMs: 1 })).cache, 'hit')
  t.is(world.introspector.calls.length, 1)
})

test('contract §5: a check with almost no time asks, and does not wait', async (t) => {
  const gate = createGate()
  const world = await createOpaqueWorld(t)
  world.introspector.answer(async () => {
    await gate.passed
    return world.active()
  })
  t.is(await world.ask({ token: 'a', budgetMs: 3 }), unavailable)
  await world.introspector.arrived(1)
  gate.open()
  t.is(await world.ask({ token: 'a' }), '')
  t.is(world.introspector.calls.length, 1)
})

test('single flight: a hundred checks of one new token make one call', async (t) => {
  const gate = createGate()
  const world = await createOpaqueWorld(t)
  world.introspector.answer(async () => {
    await gate.passed
    return world.active()
  })
  const asked = Array.from({ length: 100 }, (_, i) =>
    world.ask({ token: 'one', as: i % 2 === 0 ? world.orders : world.thief }),
  )
  await world.introspector.arrived(1)
  gate.open()
  const reasons = await Promise.all(asked)
  t.is(reasons.filter((reason) => reason === '').length, 50)
  t.is(reasons.filter((reason) => reason === 'binding_mismatch').length, 50)
  t.is(world.introspector.calls.length, 1)
})

test('an endpoint that hangs with 200 checks under way holds no other route, and no signed token on its own', async (t) => {
  const world = await createOpaqueWorld(t)
  world.introspector.answer(() => 'hang')
  const hanging = Array.from({ length: 200 }, (_, i) => world.ask({ token: `h-${i}` }))
  await world.introspector.arrived(64)
  const token = await world.issuer.sign({ cnf: { 'x5t#S256': world.orders.x5tS256 } })
  t.is(await world.ask({ token, path: '/jwt' }), '')
  t.is(await world.ask({ token }), '')
  world.keeper.close()
  const reasons = await Promise.all(hanging)
  t.deepEqual([...new Set(reasons)], [unavailable])
})

test('a reload that leaves the issuer as it is keeps what was learned; one that changes it does not', async (t) => {
  const world = await createOpaqueWorld(t)
  const { introspector } = world
  t.is(await world.ask({ token: 'known' }), '')
  const policy = opaquePolicy(introspector.url)
  await world.put('policy.yaml', `${policy}# more\n`)
  await world.reloaded(1)
  t.is((await world.decide({ token: 'known' })).cache, 'hit')
  t.is(introspector.calls.length, 1)
  await world.put('policy.yaml', opaquePolicy(introspector.url, { more: 'cacheFor: 20s' }))
  await world.reloaded(2)
  t.is((await world.decide({ token: 'known' })).cache, 'miss')
  t.is(introspector.calls.length, 2)
})

test('a check that waits for an answer when the policy is replaced has its answer', async (t) => {
  const gate = createGate()
  const world = await createOpaqueWorld(t)
  const { introspector } = world
  introspector.answer(async () => {
    await gate.passed
    return world.active()
  })
  const waiting = world.ask({ token: 'a' })
  await introspector.arrived(1)
  await world.put('policy.yaml', opaquePolicy(introspector.url, { more: 'cacheFor: 20s' }))
  await world.reloaded(1)
  gate.open()
  t.is(await waiting, '')
  t.is(introspector.calls.length, 1)
})

test('a secret that is replaced is in force; one that cannot be read fails the call, and is named', async (t) => {
  const world = await createOpaqueWorld(t, {
    more: 'cacheFor: 0s',
    client: 'auth: post, clientSecretFile: hidden',
  })
  t.is(await world.ask({ token: 'a' }), unavailable)
  t.regex(world.told.at(-1)?.[2] ?? '', /hidden: there is no such file$/)
  t.is(world.introspector.calls.length, 0)
  await world.put('hidden', 'first')
  while ((await world.ask({ token: 'a' })) !== '') await new Promise((next) => setTimeout(next, 50))
  t.is(world.introspector.calls.at(-1)?.form.get('client_secret'), 'first')
  t.is(world.introspector.calls.at(-1)?.form.get('client_id'), 'mesh:bind')
  await world.put('hidden', 'second\r\n')
  while (world.introspector.calls.at(-1)?.form.get('client_secret') !== 'second') {
    t.is(await world.ask({ token: 'a' }), '')
    await new Promise((next) => setTimeout(next, 50))
  }
})
