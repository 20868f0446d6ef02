import test from 'ava'
import { createWorld } from './support/world.ts'

test('RFC 8705 §3: the workload that a token is bound to is allowed', async (t) => {
  const world = await createWorld()
  const verdict = await world.ask({ token: await world.token() })
  t.true(verdict.allowed, verdict.reason)
})
