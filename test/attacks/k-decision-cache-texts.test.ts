/**
 * Attack group K, 194-196 and 199: texts that are alike stay apart, and junk pushes nothing out. The cache by itself is
 * tested in test/text-cache.test.ts.
 */

import { randomBytes } from 'node:crypto'
import test from 'ava'
import { createRevocationIndex } from '../../src/state/revocations.ts'
import { edit } from '../support/policy-text.ts'
import { rememberIn } from '../support/remembered.ts'
import { basePolicy, createWorld } from '../support/world.ts'

let revoked = createRevocationIndex([])
const world = await createWorld({ denylist: () => revoked })
const { ask, warm } = rememberIn(world)
const path = '/v1/payments'

const delimiters = ['|', ':', '\0', '\\u0000', ',', '"', '","', '\n', '/', '']

test.serial(
  'K194: values that would be one text if they were joined are revoked apart',
  async (t) => {
    const until = Number.POSITIVE_INFINITY
    t.teardown(() => {
      revoked = createRevocationIndex([])
    })
    for (const delimiter of delimiters) {
      const [one, other] = [`b${delimiter}c`, `c${delimiter}b`]
      const hit = await world.token({ jti: one, sub: other })
      const spared = await world.token({ jti: other, sub: one })
      const elsewhere = { issuer: `https://idp.example${delimiter}b`, jti: 'c' }
      revoked = createRevocationIndex([
        { revocation: { issuer: 'https://idp.example', jti: one }, until },
        { revocation: elsewhere, until },
      ])
      const note = JSON.stringify(delimiter)
      t.is((await ask(world.orders, hit)).reason, 'token_revoked', note)
      t.is((await ask(world.orders, spared)).reason, '', note)
    }
  },
)

test('K194: tokens that differ in where a value ends are remembered apart', async (t) => {
  for (const delimiter of delimiters) {
    const mine = { sub: `a${delimiter}b`, jti: 'c', tenant: 'acme', scope: 'admin.write' }
    const [first, second] = [
      await world.token(mine),
      await world.token({ ...mine, sub: 'a', jti: `b${delimiter}c`, tenant: 'other' }),
    ]
    for (const _ of [1, 2]) {
      t.is((await ask(world.orders, first, { path: '/admin' })).reason, '')
      t.is((await ask(world.orders, second, { path: '/admin' })).reason, 'claim_refused')
    }
  }
})

test('K195: names of the object prototype are values like any other', async (t) => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const token = await world.token({ sub: name, jti: name, [`x-${name}`]: name })
    t.is((await ask(world.orders, token)).reason, '', name)
    t.is((await ask(world.thief, token)).reason, 'binding_mismatch', name)
    const unknown = await world.token({ jti: name }, { kid: name })
    t.is((await ask(world.orders, unknown)).reason, 'token_key_unknown', name)
    const foreign = await world.token({ iss: name })
    t.is((await ask(world.orders, foreign)).reason, 'issuer_unknown', name)
    t.is((await ask(world.orders, name)).reason, 'token_malformed', name)
  }
})

test('K195: an issuer may be called constructor, and one that is not there is not found in the prototype', async (t) => {
  const named = basePolicy.replaceAll('corp', 'constructor')
  const other = await createWorld({ policy: named })
  t.true((await other.ask({ path, token: await other.token() })).allowed)
  await t.throwsAsync(
    createWorld({
      policy: edit(basePolicy, '    corp:\n', '    shop:\n').replaceAll('[corp]', '[constructor]'),
    }),
    { message: /there is no issuer `constructor`/ },
  )
})

test('K196: texts with the same header and the same end as a good one are refused, and do not push it out', async (t) => {
  const token = await warm()
  const [header = '', payload = '', signature = ''] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  for (let i = 0; i < 200; i++) {
    const forged = { ...claims, sub: `${i}`, cnf: { 'x5t#S256': world.thief.x5tS256 } }
    const text = `${header}.${Buffer.from(JSON.stringify(forged)).toString('base64url')}.${signature}`
    // Seen before or not, the answer is the same.
    for (const _ of [1, 2])
      t.is((await ask(world.thief, text)).reason, 'token_signature_invalid', String(i))
  }
  t.like(await ask(world.orders, token), { reason: '', cache: 'hit' })
})

test('K199: a flood of random signatures pushes no good token out, and good tokens none that are in use', async (t) => {
  const tokens = await Promise.all(Array.from({ length: 50 }, (_, i) => warm({ jti: `good-${i}` })))
  const body = tokens[0]?.split('.').slice(0, 2).join('.') ?? ''
  for (let i = 0; i < 5000; i += 50) {
    const junk = Array.from(
      { length: 50 },
      () => `${body}.${randomBytes(64).toString('base64url')}`,
    )
    const answers = await Promise.all(junk.map((text) => ask(world.orders, text)))
    t.true(answers.every(({ reason }) => reason === 'token_signature_invalid'))
  }
  const answers = await Promise.all(tokens.map((token) => ask(world.orders, token)))
  t.deepEqual(new Set(answers.map(({ cache }) => cache)), new Set(['hit']))
})
