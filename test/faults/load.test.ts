/** What the load counts while something changes: whatever is in doubt, a theft that is let through is a false allow. */

import test from 'ava'
import { createCast } from '../../faults/cast.ts'
import { startLoad } from '../../faults/load.ts'
import { createWorld } from '../../faults/policy.ts'
import type { Outcome } from '../../faults/send.ts'
import { createTraffic } from '../../faults/traffic.ts'

test('make faults: while it is in doubt whether a sound request passes, one that is stolen must not; only a change of the clock leaves both open', async (t) => {
  const cast = await createCast()
  const now = () => Date.now() / 1000
  const traffic = createTraffic(cast, { seed: 1, now })
  const passed: Outcome = {
    ...{ kind: 'answered', status: 200, opened: true, unjudged: false, reason: '' },
    milliseconds: 1,
  }
  const wire = { holder: undefined, method: 'POST', path: '/x5t', headers: [] }
  const load = startLoad({
    ...{ traffic, world: createWorld(), rate: 0, port: () => 0, now },
    craft: async () => wire,
    sender: { send: async () => passed, forget() {}, close() {} },
  })
  t.teardown(() => load.stop())
  const sound = traffic.sound('x5t', 'w0')
  const stolen = { ...sound, presenter: cast.presenter('thief') }
  const { warming } = load.tallies

  load.doubt(({ route }) => route === 'x5t')
  await load.ask(sound)
  await load.ask(stolen)
  t.like(warming, { open: 1, hostile: 1, falseAllows: 1 })

  load.doubtAll(true)
  await load.ask(stolen)
  t.like(warming, { open: 2, hostile: 1, falseAllows: 1 })

  load.doubtAll(false)
  await load.ask(stolen)
  t.like(warming, { open: 2, hostile: 2, falseAllows: 2 })
})
