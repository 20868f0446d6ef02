/** The rig of `make faults` sees what it is there to see. The scenarios themselves are run by `make faults`. */

import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { runScenario } from '../../faults/run.ts'
import type { Scenario } from '../../faults/scenario.ts'
import { canRunEnvoy } from '../support/e2e.ts'

const e2e = (await canRunEnvoy()) ? test.serial : test.serial.skip

const watch: Scenario = {
  ...{ name: 'watch', covers: [], title: 'nothing happens', short: false, recoverySeconds: 0 },
  fault: () => sleep(500, []),
}
const options = { long: false, rate: 60, seed: 1, commit: 'under test', progress: () => {} }

e2e('make faults: against a policy that only audits, the rig counts false allows', async (t) => {
  const result = await runScenario({ ...watch, rig: { policy: { mode: 'audit' } } }, options)
  t.false(result.ok)
  t.true((result.phases.after?.falseAllows ?? 0) > 20)
  const missed = result.criteria.filter(({ ok }) => !ok).map(({ claim }) => claim)
  t.true(missed.includes('no false allow, in any phase'), missed.join('; '))
  t.true(result.examples.some((text) => text.includes('FALSE ALLOW: ')))
})

e2e('make faults: while meshbind is gone, refusals and its end are seen', async (t) => {
  const gone: Scenario = {
    ...watch,
    async fault({ rig }) {
      rig.services[0]?.kill('SIGKILL')
      await rig.services[0]?.exited
      return []
    },
  }
  const result = await runScenario(gone, options)
  t.false(result.ok)
  t.is(result.phases.after?.soundPassed, 0)
  t.true((result.phases.after?.soundRefused['envoy 403'] ?? 0) > 20)
  t.is(result.phases.after?.falseAllows, 0)
  const missed = result.criteria.filter(({ ok }) => !ok).map(({ claim }) => claim)
  t.true(missed.includes('meshbind runs at the end'), missed.join('; '))
  t.true(missed.some((text) => text.startsWith('sound requests pass 0 s after it')))
})
