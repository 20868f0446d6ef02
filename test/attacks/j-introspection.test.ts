/** Attack group J, 171-173 and 177-182: opaque tokens through the real parts of the service, with a real endpoint. */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { startIntrospector } from '../support/introspector.ts'
import { audience } from '../support/issuer.ts'
import { createOpaqueWorld, opaquePolicy, partnerIssuer, secret } from '../support/opaque-world.ts'
import { ordersId, thiefId } from '../support/world.ts'

test('J171: active: true with all that a token must say is allowed, and the thief of it is not', async (t) => {
  const world = await createOpaqueWorld(t)
  const answer = await world.decide({ token: 'opaque-1' })
  t.deepEqual(answer, { reason: '', detail: '', cache: 'miss', subject: ordersId })
  t.is(await world.ask({ token: 'opaque-1', as: world.thief }), 'binding_mismatch')
  t.is((await world.decide({ token: 'opaque-1' })).cache, 'hit')
  t.is(world.introspector.calls.length, 1)
  const [call] = world.introspector.calls
  t.is(call?.method, 'POST')
  t.is(call?.headers['content-type'], 'application/x-www-form-urlencoded')
  t.is(call?.headers.accept, 'application/json')
  t.is(call?.body, 'token=opaque-1&token_type_hint=access_token')
  const credential = Buffer.from(
    call?.headers.authorization?.slice('Basic '.length) ?? '',
    'base64',
  )
  t.is(
    credential.toString(),
    `mesh%3Abind:${new URLSearchParams({ '': secret }).toString().slice(1)}`,
  )
})

test('J171: aud may be a list; scope, identity and act are read as from a signed token', async (t) => {
  const world = await createOpaqueWorld(t)
  const { introspector, active } = world
  introspector.answer(() => active({ aud: ['https://other.example', audience] }))
  t.is(await world.ask({ token: 'listed' }), '')
  t.is(await world.ask({ token: 'scoped', path: '/scoped' }), '')
  introspector.answer(() => active({ scope: 'read' }))
  t.is(await world.ask({ token: 'unscoped', path: '/scoped' }), 'scope_insufficient')
  introspector.answer(() => active({ cnf: undefined }))
  t.is(await world.ask({ token: 'identity', path: '/partner' }), '')
  t.is(
    await world.ask({ token: 'identity', path: '/partner', as: world.thief }),
    'binding_mismatch',
  )
  introspector.answer(() => active({ act: { sub: thiefId } }))
  t.is(await world.ask({ token: 'acting' }), 'delegation_refused')
  introspector.answer(() => active({ act: { sub: 7 } }))
  t.is(await world.ask({ token: 'acted' }), 'claim_invalid')
})

test('J171: without sub the client is the subject (RFC 7662 §2.2); without either there is none', async (t) => {
  const world = await createOpaqueWorld(t)
  world.introspector.answer(() => world.active({ sub: undefined, client_id: 'batch-7' }))
  t.is((await world.decide({ token: 'a' })).subject, 'batch-7')
  world.introspector.answer(() => world.active({ client_id: 'batch-7' }))
  t.is((await world.decide({ token: 'b' })).subject, ordersId)
  world.introspector.answer(() => world.active({ sub: undefined }))
  t.like(await world.decide({ token: 'c' }), { reason: 'claim_invalid', detail: 'sub' })
  world.introspector.answer(() => world.active({ sub: null, client_id: 'batch-7' }))
  t.is(await world.ask({ token: 'd' }), 'claim_invalid')
})

test('J172: active: false is token_inactive, whatever else the answer says', async (t) => {
  const world = await createOpaqueWorld(t)
  world.introspector.answer(() => world.active({ active: false }))
  t.is(await world.ask({ token: 'revoked' }), 'token_inactive')
  world.introspector.answer(() => ({ json: { active: false } }))
  t.is(await world.ask({ token: 'unknown' }), 'token_inactive')
})

test('J173: active that is not exactly true is token_inactive', async (t) => {
  const world = await createOpaqueWorld(t)
  const values = ['true', 1, 'TRUE', null, {}, [true], 'active', undefined]
  for (const [i, active] of values.entries()) {
    world.introspector.answer(() => world.active({ active }))
    t.is(await world.ask({ token: `t-${i}` }), 'token_inactive', JSON.stringify(active))
  }
  t.is(world.introspector.calls.length, values.length)
})

test('J177: exp or iat that is missing is claim_invalid; exp past with active: true is token_expired', async (t) => {
  const world = await createOpaqueWorld(t)
  const now = world.now()
  const cases: readonly (readonly [members: object, reason: string])[] = [
    [{ exp: undefined }, 'claim_invalid'],
    [{ iat: undefined }, 'claim_invalid'],
    [{ exp: String(now + 300) }, 'claim_invalid'],
    [{ iat: now - 400, exp: now - 100 }, 'token_expired'],
    [{ iat: now - 60, exp: now - 30 }, 'token_expired'],
    [{ iat: now - 60, exp: now - 29 }, ''],
    [{ nbf: now + 100 }, 'token_not_yet_valid'],
    [{ iat: now + 100 }, 'token_not_yet_valid'],
    [{ exp: now + 25 * 3600 }, 'token_lifetime_exceeded'],
    [{ exp: now + 300.5 }, 'introspection_unavailable'],
  ]
  for (const [i, [members, reason]] of cases.entries()) {
    world.introspector.answer(() => world.active({ ...members }))
    t.is(await world.ask({ token: `t-${i}` }), reason, JSON.stringify(members))
  }
})

test('J178: cnf that is missing, or not what the route takes, is refused as of any token', async (t) => {
  const world = await createOpaqueWorld(t)
  const cases: readonly (readonly [cnf: unknown, reason: string])[] = [
    [undefined, 'binding_missing'],
    [{}, 'binding_malformed'],
    [{ jkt: world.orders.x5tS256 }, 'binding_unsupported'],
    // The same identity under another certificate: as a rotation looks.
    [{ 'x5t#S256': world.thief.x5tS256 }, 'binding_rotated'],
    [null, 'binding_malformed'],
  ]
  for (const [i, [cnf, reason]] of cases.entries()) {
    world.introspector.answer(() => world.active({ cnf }))
    t.is(await world.ask({ token: `t-${i}` }), reason, JSON.stringify(cnf))
  }
})

test('J179: iss of another is issuer_unknown, aud of others or none audience_mismatch; without iss the endpoint speaks for its own', async (t) => {
  const world = await createOpaqueWorld(t)
  const cases: readonly (readonly [members: object, reason: string])[] = [
    [{ iss: undefined }, ''],
    [{ iss: 'https://idp.example' }, 'issuer_unknown'],
    [{ iss: `${partnerIssuer}/` }, 'issuer_unknown'],
    [{ iss: null }, 'issuer_unknown'],
    [{ iss: [partnerIssuer] }, 'issuer_unknown'],
    [{ aud: undefined }, 'audience_mismatch'],
    [{ aud: 'https://other.example' }, 'audience_mismatch'],
    [{ aud: ['https://other.example'] }, 'audience_mismatch'],
    [{ aud: [] }, 'claim_invalid'],
    [{ aud: null }, 'claim_invalid'],
  ]
  for (const [i, [members, reason]] of cases.entries()) {
    world.introspector.answer(() => world.active({ ...members }))
    t.is(await world.ask({ token: `t-${i}` }), reason, JSON.stringify(members))
  }
})

test('RFC 7662 §4: a refresh token is active too, and refused by its token_type', async (t) => {
  const world = await createOpaqueWorld(t)
  const cases: readonly (readonly [type: unknown, reason: string])[] = [
    ['bearer', ''],
    ['BEARER', ''],
    [undefined, ''],
    ['refresh_token', 'token_type_refused'],
    ['N_A', 'token_type_refused'],
    ['mac', 'token_type_refused'],
    ['', 'token_type_refused'],
    [null, 'token_type_refused'],
    [['Bearer'], 'token_type_refused'],
    ['DPoP', 'claim_invalid'],
  ]
  for (const [i, [type, reason]] of cases.entries()) {
    world.introspector.answer(() => world.active({ token_type: type }))
    t.is(await world.ask({ token: `t-${i}` }), reason, JSON.stringify(type))
  }
})

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

test('J180: a signed token of another issuer is judged here or refused, and never sent, on whatever route', async (t) => {
  const world = await createOpaqueWorld(t)
  const { issuer, orders } = world
  const bound = { cnf: { 'x5t#S256': orders.x5tS256 } }
  const good = await issuer.sign(bound)
  t.is(await world.ask({ token: good }), '')
  t.is(await world.ask({ token: good, path: '/partner' }), 'issuer_unknown')
  t.is(await world.ask({ token: good, path: '/jwt' }), '')
  for (const iss of ['https://elsewhere.example', 'https://nobody.example', `${partnerIssuer}/`]) {
    const token = await issuer.sign({ ...bound, iss })
    for (const path of ['/v1/payments', '/partner'])
      t.is(await world.ask({ token, path }), 'issuer_unknown', iss)
  }
  const [header = '', payload = '', signature = ''] = good.split('.')
  const broken: readonly (readonly [text: string, reason: string])[] = [
    [`${header}.${payload}.${signature}=`, 'token_malformed'],
    [`${header}=.${payload}.${signature}`, 'credential_malformed'],
    [`${header}.${payload}.`, 'token_signature_invalid'],
    [`${header}.${payload}`, 'token_malformed'],
    [`${good}.`, 'token_malformed'],
    [`${good}.x`, 'token_malformed'],
    [`${header}.${payload}~.${signature}`, 'token_malformed'],
    [`${header}.${Buffer.from('{"iss":1,"iss":2}').toString('base64url')}.AA`, 'token_malformed'],
    [`${base64url({ alg: 'ES256', crit: ['x'] })}.${payload}.${signature}`, 'token_malformed'],
    [`${base64url({ alg: 'none' })}.${base64url({ iss: 7 })}.AA`, 'claim_invalid'],
    [`${header}.${'A'.repeat(17 * 1024)}.${signature}`, 'token_malformed'],
    ['A'.repeat(17 * 1024), 'token_malformed'],
  ]
  for (const [token, reason] of broken)
    t.is(await world.ask({ token }), reason, token.slice(0, 300))
  t.is(world.introspector.calls.length, 0)
})

test('J180: a signed token that names the introspected issuer, or nobody, is asked about; a JWE is opaque', async (t) => {
  const world = await createOpaqueWorld(t)
  const { issuer, introspector } = world
  const tokens = [
    await issuer.sign({ iss: partnerIssuer }),
    await issuer.sign({ iss: undefined }),
    `${base64url({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.AA.AA.AA.AA`,
    'opaque.with.dots',
    'b3BhcXVl',
    'A'.repeat(16 * 1024),
  ]
  for (const [i, token] of tokens.entries()) {
    t.is(await world.ask({ token }), '', String(i))
    t.is(introspector.callsFor(token), 1)
  }
  t.is(await world.ask({ token: 'opaque', path: '/jwt' }), 'token_malformed')
  t.is(introspector.calls.length, tokens.length)
})

test('J181: what one introspector says of a text is nothing to another', async (t) => {
  const other = await startIntrospector(t)
  other.answer(() => ({ json: { active: false } }))
  const world = await createOpaqueWorld(t, {
    policy: (url) =>
      opaquePolicy(url)
        .replace(
          '    partner:\n',
          `    second: { issuer: https://second.example, audiences: [${audience}], introspection: { url: "${other.url}", clientId: m, clientSecretFile: secret } }\n    partner:\n`,
        )
        .replace(
          '    - { name: jwt,',
          '    - { name: second, match: { paths: [/second] }, require: { issuers: [second], bindings: ["x5t#S256"] } }\n    - { name: jwt,',
        ),
  })
  t.is(await world.ask({ token: 'same' }), '')
  t.is(await world.ask({ token: 'same', path: '/second' }), 'token_inactive')
  t.is(await world.ask({ token: 'same' }), '')
  t.is(await world.ask({ token: 'same', path: '/second' }), 'token_inactive')
  t.is(world.introspector.calls.length, 1)
  t.is(other.calls.length, 1)
})

test('J182: whatever a token is made of, it stays one form parameter; what no header may hold is refused before', async (t) => {
  const world = await createOpaqueWorld(t)
  const tokens = ['a+b/c==', 'a~b-c_d.e', '//++==', 'token_type_hint=']
  for (const token of tokens) {
    t.is(await world.ask({ token }), '', token)
    const call = world.introspector.calls.at(-1)
    t.is(call?.token, token)
    t.deepEqual([...(call?.form.keys() ?? [])], ['token', 'token_type_hint'])
  }
  const before = world.introspector.calls.length
  for (const token of ['a&client_id=x', 'a\r\nb', 'a=b', 'a b', 'a%26b'])
    t.is(await world.ask({ token }), 'credential_malformed', token)
  t.is(world.introspector.calls.length, before)
})

test('J183: what is revoked here is refused at once, remembered or not, also where the answer names no iss', async (t) => {
  const entry = (what: string) => `- { issuer: ${partnerIssuer}, ${what} }\n`
  const world = await createOpaqueWorld(t, {
    policy: (url) =>
      opaquePolicy(url).replace(
        '  routes:\n',
        '  revocation: { denylist: { file: revoked.yaml } }\n  routes:\n',
      ),
    files: { 'revoked.yaml': entry('jti: gone') + entry('subject: batch-7') },
  })
  const ask = async (members: object) => {
    const token = `t-${world.introspector.calls.length}`
    world.introspector.answer(() => world.active({ iss: undefined, ...members }))
    return world.ask({ token })
  }
  t.is(await ask({ jti: 'gone' }), 'token_revoked')
  t.is(await ask({ jti: 'other' }), '')
  t.is(await ask({ sub: 'batch-7' }), 'token_revoked')
  t.is(await ask({ sub: undefined, client_id: 'batch-7' }), 'token_revoked')
  t.is(await world.ask({ token: 't-1' }), '')
  await world.put('revoked.yaml', entry('jti: other'))
  while ((await world.ask({ token: 't-1' })) === '') await sleep(20)
  t.like(await world.decide({ token: 't-1' }), { reason: 'token_revoked', cache: 'hit' })
  t.is(world.introspector.callsFor('t-1'), 1)
})
