/** Found by an attack: one `iss` with keys and with introspection; what one route has learned of a signed text is no fact on another (docs/opaque-tokens.md). */

import test from 'ava'
import { audience } from '../support/issuer.ts'
import { createOpaqueWorld } from '../support/opaque-world.ts'

/** `idp.example` hands out both kinds of tokens: two issuers of the policy (docs/opaque-tokens.md). */
const policy = (url: string) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    signed: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json }, types: [at+jwt], maxLifetime: 15m }
    asked:
      issuer: https://idp.example
      audiences: [${audience}]
      maxLifetime: 15m
      introspection: { url: "${url}", clientId: meshbind, clientSecretFile: secret }
  routes:
    - { name: asked, match: { paths: [/asked] }, require: { issuers: [asked], bindings: ["x5t#S256"] } }
    - name: both
      match: { paths: [/both] }
      require: { issuers: [signed, asked], bindings: ["x5t#S256"], unbound: allow, scopes: [pay] }
    - { name: strict, match: { paths: [/strict] }, require: { issuers: [signed, asked], bindings: ["x5t#S256"] } }
`
const asWorld = (t: Parameters<typeof createOpaqueWorld>[0]) =>
  createOpaqueWorld(t, {
    policy,
    answer: (world) => world.active({ iss: undefined, cnf: undefined }),
  })

test('docs/opaque-tokens.md: on a route with the keys of an iss, those verify its signed tokens, whatever another route has asked about', async (t) => {
  const world = await asWorld(t)
  const bound = await world.issuer.sign({
    scope: 'pay',
    cnf: { 'x5t#S256': world.orders.x5tS256 },
  })
  const stolen = { token: bound, as: world.thief }
  t.is(await world.ask({ ...stolen, path: '/both' }), 'binding_mismatch')
  // A second text of the same kind, so that the keys have not remembered it.
  const fresh = await world.issuer.sign({
    jti: 'fresh',
    scope: 'pay',
    cnf: { 'x5t#S256': world.orders.x5tS256 },
  })
  t.is(await world.ask({ token: fresh, as: world.thief, path: '/asked' }), 'binding_missing')
  t.is(await world.ask({ token: fresh, as: world.thief, path: '/both' }), 'binding_mismatch')
})

test('docs/opaque-tokens.md: a signed token that the keys refuse is refused, whatever another route has asked about', async (t) => {
  const world = await createOpaqueWorld(t, {
    policy,
    answer: (made) => made.active({ iss: undefined }),
  })
  const idToken = await world.issuer.sign(
    { cnf: { 'x5t#S256': world.orders.x5tS256 } },
    { typ: 'JWT' },
  )
  t.is(await world.ask({ token: idToken, path: '/strict' }), 'token_type_refused')
  t.is(await world.ask({ token: idToken, path: '/asked' }), '')
  t.is(await world.ask({ token: idToken, path: '/strict' }), 'token_type_refused')
  const unknownKey = await world.issuer.sign(
    { cnf: { 'x5t#S256': world.orders.x5tS256 } },
    { kid: 'gone' },
  )
  t.is(await world.ask({ token: unknownKey, path: '/strict' }), 'token_key_unknown')
  t.is(await world.ask({ token: unknownKey, path: '/asked' }), '')
  t.is(await world.ask({ token: unknownKey, path: '/strict' }), 'token_key_unknown')
})
