/** Found by an attack: what the owner of one odd token can do to the tokens of all others (docs/decisions/0013, What counts as a failure of the endpoint). */

import test from 'ava'
import { createOpaqueWorld } from '../support/opaque-world.ts'

test('decision 0013: a token whose answer cannot be used stops the asking about no other token', async (t) => {
  const world = await createOpaqueWorld(t)
  world.introspector.answer(({ token }) =>
    // One fraction among its claims: a balance, a latitude, a version.
    token.startsWith('odd')
      ? {
          body: JSON.stringify({ ...world.active().json, latitude: 0.5 }),
          headers: { 'content-type': 'application/json' },
        }
      : world.active(),
  )
  t.is(await world.ask({ token: 'good-1' }), '')
  for (let i = 0; i < 5; i++) t.is(await world.ask({ token: 'odd' }), 'introspection_unavailable')
  t.is(await world.ask({ token: 'good-2' }), '')
})
