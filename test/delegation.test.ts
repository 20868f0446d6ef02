/** Attack catalogue, group I: chains of actors (RFC 8693 §4.1), through the whole way of a check. */

import test from 'ava'
import { edit } from './support/policy-text.ts'
import { basePolicy, createWorld, ordersId, type Question, thiefId } from './support/world.ts'

const webId = 'spiffe://mesh.example/ns/web/sa/storefront'
const policy = edit(
  basePolicy,
  '  routes:\n',
  `  routes:
    - name: acting
      match: { paths: [/acting] }
      require: { issuers: [corp], bindings: ["x5t#S256", spiffe], delegation: { maxDepth: 2 } }
    - name: acting-alone
      match: { paths: [/acting-alone] }
      require: { issuers: [corp], bindings: ["x5t#S256"], delegation: {} }
    - name: acting-shop
      match: { paths: [/acting-shop] }
      require: { issuers: [corp], bindings: [spiffe], delegation: { actors: [spiffe://mesh.example/ns/shop/*] } }
    - name: acting-rotated
      match: { paths: [/acting-rotated] }
      require: { issuers: [corp], bindings: ["x5t#S256"], delegation: {}, rotation: { grace: 10m } }
`,
)
const world = await createWorld({ policy })

/** A token for alice, bound to orders; asked about by orders. */
async function asked(act: unknown, more: object = {}, question: Question = {}) {
  const token = await world.token({ sub: 'alice', act, ...more })
  const verdict = await world.ask({ token, path: '/acting', ...question })
  return { ...verdict, logged: JSON.parse(verdict.line) }
}

const chain = (...ids: readonly string[]): object | undefined =>
  ids.reduceRight<object | undefined>(
    (act, sub) => ({ sub, ...(act === undefined ? {} : { act }) }),
    undefined,
  )

test('I160: a chain whose current actor presents the token is allowed, and the log names all actors in order', async (t) => {
  const { allowed, logged } = await asked(chain(ordersId, webId))
  t.true(allowed)
  t.deepEqual(logged.actors, [ordersId, webId])
  t.is(logged.token.subject, 'alice')
  t.is(logged.method, 'x5t#S256')
})

const long = (depth: number) => chain(ordersId, ...Array.from({ length: depth - 1 }, () => webId))

const refusals: readonly (readonly [
  what: string,
  reason: string,
  act: unknown,
  more?: object,
  question?: Question,
])[] = [
  ['I161: the current actor is another workload', 'actor_mismatch', chain(webId)],
  ['I162: the order is reversed', 'actor_mismatch', chain(webId, ordersId)],
  ['I163: the hop of the presenter is missing', 'actor_mismatch', chain(webId, thiefId)],
  ['I164: a forged hop stands in front', 'actor_mismatch', chain(thiefId, ordersId)],
  ['I165: one actor more than maxDepth', 'delegation_refused', chain(ordersId, webId, webId)],
  ['I165: 15 actors', 'delegation_refused', long(15)],
  ['I167: act is a list', 'claim_invalid', [{ sub: ordersId }]],
  ['I167: act is a text', 'claim_invalid', ordersId],
  ['I167: act is null', 'claim_invalid', null],
  ['I167: act is empty', 'claim_invalid', {}],
  ['I167: sub is a number', 'claim_invalid', { sub: 7 }],
  ['I167: sub is empty', 'claim_invalid', { sub: '' }],
  ['I167: sub is too long', 'claim_invalid', { sub: 'a'.repeat(2049) }],
  ['I167: an actor before is no object', 'claim_invalid', { sub: ordersId, act: webId }],
  ['I167: an actor before has no sub', 'claim_invalid', { sub: ordersId, act: { iss: 'x' } }],
  [
    'I169: may_act names the presenter, act another',
    'actor_mismatch',
    chain(webId),
    { may_act: { sub: ordersId } },
  ],
  [
    'the top-level claim names the presenter, act another',
    'actor_mismatch',
    chain(webId),
    { sub: ordersId },
  ],
  ['the actor is the presenter in another spelling', 'actor_mismatch', chain(`${ordersId}/`)],
  ['nobody presents', 'presenter_missing', chain(ordersId), {}, { as: null }],
  [
    'the thief presents the token of its actor',
    'actor_mismatch',
    chain(ordersId),
    {},
    { as: world.thief },
  ],
  [
    'the presenter is the actor of a token that is bound to another certificate',
    'binding_rotated',
    chain(thiefId),
    {},
    { as: world.thief },
  ],
  [
    'two actors where maxDepth is left out',
    'delegation_refused',
    chain(ordersId, webId),
    {},
    { path: '/acting-alone' },
  ],
  [
    'the actor is not among the route’s actors',
    'delegation_refused',
    chain(thiefId),
    { cnf: undefined },
    { as: world.thief, path: '/acting-shop' },
  ],
  [
    'the route has no delegation',
    'delegation_refused',
    chain(ordersId),
    { sub: ordersId },
    { path: '/any' },
  ],
]

for (const [what, reason, act, more, question] of refusals) {
  test(`RFC 8693 §4.1, refused as ${reason}: ${what}`, async (t) => {
    t.is((await asked(act, more, question)).reason, reason)
  })
}

test('I166: 16, 100 or 10,000 actors are refused before the signature, and nothing overflows', async (t) => {
  const encode = (text: string) => Buffer.from(text).toString('base64url')
  const header = encode('{"alg":"ES256","kid":"key-1","typ":"at+jwt"}')
  for (const depth of [16, 100, 10_000]) {
    const claims = `${'{"sub":"a","act":'.repeat(depth)}{"sub":"a"}${'}'.repeat(depth)}`
    const token = `${header}.${encode(claims)}.${'A'.repeat(86)}`
    t.is((await world.ask({ token, path: '/acting' })).reason, 'token_malformed', `${depth}`)
  }
})

test('I168: an actor that comes twice is information only, within maxDepth', async (t) => {
  t.true((await asked(chain(ordersId, ordersId))).allowed)
})

test('policy.md, Delegation: on a token without cnf, spiffe compares with act.sub and never with sub', async (t) => {
  const unbound = { cnf: undefined }
  const { allowed, logged } = await asked(chain(ordersId), { ...unbound, sub: thiefId })
  t.true(allowed)
  t.is(logged.method, 'spiffe')
  t.true((await asked(chain(ordersId), unbound, { path: '/acting-shop' })).allowed)
})

test('policy.md, Delegation: rotation goes by act.sub', async (t) => {
  const { authority } = world
  const renewed = await authority.issue({ spiffeId: ordersId })
  const path = '/acting'
  const rotated = await asked(chain(ordersId), {}, { as: renewed, path: '/acting-alone' })
  t.is(rotated.reason, 'binding_rotated')
  t.is(
    (await asked(chain(ordersId), { sub: thiefId }, { as: renewed, path })).reason,
    'binding_rotated',
  )
})

test('I170: delegation is judged on every request: one token, cached, on a route with it and one without', async (t) => {
  const token = await world.token({ sub: ordersId, act: chain(ordersId) })
  for (let i = 0; i < 3; i++) {
    t.true((await world.ask({ token, path: '/acting' })).allowed)
    t.is((await world.ask({ token, path: '/any' })).reason, 'delegation_refused')
  }
})
