/** Hours of it, with a reload every half minute (F20). */

import { setTimeout as sleep } from 'node:timers/promises'
import { fillCaches } from '../direct.ts'
import { envoyTimeoutMs } from '../envoy.ts'
import { claim, type Scenario } from '../scenario.ts'
import { latencyAt } from '../tally.ts'

const reloadSeconds = 30
const mebibyte = 2 ** 20
/** What the memory of one process may differ by between two looks at it. */
const noiseBytes = 4 * mebibyte

const minutes = Number(process.env['SOAK_MINUTES'] ?? 60)

const soak: Scenario = {
  ...{ name: 'soak', covers: ['F20'], short: false, recoverySeconds: 1, soundDuring: 0.999 },
  // Of the run that is published; a longer one takes this line away.
  known:
    'Builds, tests and the fuzzer ran on the same two cores meanwhile. The level was between 241 and 249 MiB from the first minute to the last; the claim compared two single looks then, and compares medians now.',
  // What the chart's come to with its memory limit.
  rig: { nodeOptions: '--max-old-space-size=384 --max-semi-space-size=16' },
  title: `${minutes} minutes of the whole mix, a reload of the policy every 30 s`,
  without: 'a limit on the drift of p99, which is told: load, Envoy and meshbind share the cores',
  // Code is compiled and caches are full: what memory reaches by then is no growth.
  async prepare({ rig, traffic, many }) {
    await fillCaches(rig, traffic, many(200, 20_000))
    await sleep(many(0, 360_000))
  },
  async fault({ rig, load, many, progress }) {
    const [service] = rig.services
    const seconds = many(20, minutes * 60)
    const samples: number[] = []
    const files = service?.openFiles() ?? 0
    const startedAt = performance.now()
    const elapsed = () => (performance.now() - startedAt) / 1000
    for (let n = 1; elapsed() < seconds; n++) {
      await sleep(Math.min(reloadSeconds, seconds / 4) * 1000)
      await rig.writePolicy(`${rig.policy()}# reload ${n}\n`)
      await service?.order({ collect: true })
      samples.push(service?.rssBytes() ?? 0)
      const { sent, falseAllows } = load.tallies.during
      const size = Math.round((samples.at(-1) ?? 0) / mebibyte)
      progress(
        `${Math.round(elapsed())} of ${seconds} s: ${sent} requests, ${falseAllows} false allows, ${size} MiB`,
      )
    }
    // The first third is a warm-up, too. One look beside another would tell of when garbage was collected.
    const each = Math.ceil(samples.length / 3)
    const [middle, end] = [samples.slice(each, 2 * each), samples.slice(-each)].map(medianOf)
    const grown = (end ?? 0) - (middle ?? 0)
    const hours = elapsed() / 3600 / 3
    const allowed = Math.max(noiseBytes, hours * mebibyte)
    const open = service?.openFiles() ?? 0
    const { before, during } = load.tallies
    const third = Math.ceil(during.latencies.length / 3)
    const p99 = (latencies: readonly number[]) => latencyAt({ latencies }, 0.99)
    const [first, last] = [during.latencies.slice(0, third), during.latencies.slice(-third)]
    return [
      claim(
        'memory does not grow from the second third to the last, by their medians (1 MiB an hour, and 4 MiB of noise)',
        grown <= allowed,
        `${(grown / mebibyte).toFixed(1)} MiB in ${(hours * 60).toFixed(0)} minutes`,
      ),
      claim('open files stay as they were', open <= files + 4, `${files} → ${open}`),
      claim(
        `p99 stays under ${envoyTimeoutMs} ms`,
        p99(during.latencies) < envoyTimeoutMs,
        `${p99(before.latencies).toFixed(1)} ms before, ${p99(first).toFixed(1)} ms in the first third, ${p99(last).toFixed(1)} ms in the last`,
      ),
    ]
  },
}

function medianOf(bytes: readonly number[]): number | undefined {
  return bytes.toSorted((a, b) => a - b)[Math.floor(bytes.length / 2)]
}

export const soakScenarios = [soak]
