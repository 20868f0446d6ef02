import test from 'ava'
import fc from 'fast-check'
import { createEvidenceSeen } from '../../src/observe/evidence-seen.ts'
import { createRollout, type Observation } from '../../src/observe/rollout.ts'
import { reportRollout } from '../../src/observe/rollout-report.ts'
import { countTogether } from '../../src/observe/together.ts'
import { observation, orders, start, thief } from '../support/rollout.ts'

const live = { kind: 'live', since: start } as const

const seen = fc.record({
  route: fc.constantFrom('payments', 'other', null),
  mode: fc.constantFrom('audit', 'enforce', 'disabled'),
  reason: fc.constantFrom(undefined, 'binding_mismatch', 'binding_missing'),
  presenter: fc.constantFrom(orders, thief, null),
  method: fc.constantFrom('x5t#S256', 'none'),
  revision: fc.constantFrom('r1', 'r2', ''),
  after: fc.integer({ min: 0, max: 100 }),
  worker: fc.integer({ min: 0, max: 2 }),
})

test('the report of three workers is that of one process that had seen it all (docs/scale.md, Workers)', (t) => {
  fc.assert(
    fc.property(fc.array(seen, { minLength: 1, maxLength: 60 }), (all) => {
      const one = createRollout(live)
      const workers = [createRollout(live), createRollout(live), createRollout(live)]
      let time = start
      for (const { worker, after, reason, ...more } of all) {
        // No two at once: whose mode is the last one is then no question.
        time += 1 + after
        const given = { ...more, time, ...(reason === undefined ? {} : { reason }) }
        const told = observation(given as Partial<Observation>)
        one.observe(told)
        workers[worker]?.observe(told)
      }
      const before = structuredClone(workers.map(({ tally }) => tally))
      const tally = workers.map((worker) => worker.tally).reduce(countTogether)
      t.deepEqual(reportRollout(tally, live), one.report())
      t.deepEqual(
        workers.map((worker) => worker.tally),
        before,
      )
    }),
    { numRuns: 200 },
  )
})

test('what two have seen of evidence adds up, from the first to the last', (t) => {
  const kinds = (count: number, firstAt: number | null, lastAt: number | null) => ({
    ...createEvidenceSeen(0).summary().kinds,
    certificate: { count, firstAt, lastAt },
  })
  const counts = (since: number, certificate: ReturnType<typeof kinds>) => ({
    ...createEvidenceSeen(since).summary(),
    checks: certificate.certificate.count,
    kinds: certificate,
  })
  const idle = counts(5, kinds(0, null, null))
  const early = counts(10, kinds(2, 20, 30))
  const late = counts(12, kinds(3, 25, 40))
  t.deepEqual(countTogether(early, late), counts(10, kinds(5, 20, 40)))
  t.deepEqual(countTogether(late, early), counts(10, kinds(5, 20, 40)))
  t.deepEqual([idle, late].reduce(countTogether), counts(5, kinds(3, 25, 40)))
})
