/** Nobody takes the log: the pipe is full, or the disk (F17). */

import { setTimeout as sleep } from 'node:timers/promises'
import { type Claim, claim, type Scenario, type Stage } from '../scenario.ts'

async function hold({ rig, many }: Stage): Promise<Claim[]> {
  await sleep(many(3000, 30_000))
  const dropped = (await rig.services[0]?.metric('meshbind_decision_log_dropped_total')) ?? 0
  return [claim('lines that were dropped are counted', dropped > 0, `${dropped} lines`)]
}

const atOnce = 16

const stalled: Scenario = {
  ...{ name: 'log-stalled', covers: ['F17'], short: false, recoverySeconds: 0, soundDuring: 0.999 },
  title: 'nobody reads standard output, from the start to the end',
  rig: { output: 'stalled' },
  async fault(stage) {
    const { load, traffic, many } = stage
    let left = many(1000, 10_000)
    const ask = async () => {
      while (left-- > 0) await load.ask(traffic.sound('spiffe'))
    }
    // The socket and meshbind's own buffer hold many lines: more than that must be asked for.
    await Promise.all(Array.from({ length: atOnce }, ask))
    return hold(stage)
  },
}

const full: Scenario = {
  ...{ name: 'log-full', covers: ['F17'], short: false, recoverySeconds: 0, soundDuring: 0.999 },
  title: 'every write to standard output fails: no space left',
  rig: { output: 'full' },
  without: 'a read-only root: meshbind writes no file',
  fault: (stage) => sleep(stage.many(3000, 30_000), [] as Claim[]),
}

export const logScenarios = [stalled, full]
