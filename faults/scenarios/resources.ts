/** Memory and CPU run short (F10, F11). */

import { setTimeout as sleep } from 'node:timers/promises'
import { createControlGroup, whyNoControlGroup } from '../cgroup.ts'
import type { Wire } from '../craft.ts'
import { type Claim, claim, type Scenario, type Stage } from '../scenario.ts'

const bigTokenBytes = 40_000

/** Tokens of 40 kB, each another one, as fast as they are answered. */
async function floodWithBigTokens({ rig }: Stage, forMs: number): Promise<number> {
  let sent = 0
  const until = performance.now() + forMs
  const one = async () => {
    while (performance.now() < until) {
      const text = `eyJ${sent++}${'a'.repeat(bigTokenBytes)}.e30.AA`
      const headers = [['host', 'payments.mesh.example'] as const]
      const wire: Wire = {
        holder: 'thief',
        method: 'POST',
        path: '/x5t',
        headers: [...headers, ['authorization', `Bearer ${text}`]],
      }
      await rig.sender.send(wire, rig.port('strict'))
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
  return sent
}

const memory: Scenario = {
  ...{ name: 'memory', covers: ['F10'], short: false, recoverySeconds: 4 },
  title: 'memory limited to 1.2 times what it uses, a flood of 40 kB tokens, then a real OOM kill',
  impossible: () => whyNoControlGroup('memory'),
  async fault(stage) {
    const { rig, many } = stage
    const [service] = rig.services
    if (service === undefined) throw new Error('there is no meshbind')
    const group = createControlGroup('memory')
    try {
      const used = service.rssBytes()
      group.add(service.pid)
      group.limitBytes(used * 1.2)
      const sent = await floodWithBigTokens(stage, many(5000, 60_000))
      const survived = service.running()
      const grown = survived ? service.rssBytes() : 0
      if (survived) {
        // More than the limit allows: the kernel ends it, and no order is reported done.
        service.order({ hoardBytes: used * 2 }).catch(() => {})
      }
      const code = await service.exited
      await sleep(500)
      await rig.startService(0)
      const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
      return [
        claim(
          'it lives through the flood',
          survived,
          `${sent} tokens; ${mebibytes(used)} → ${mebibytes(grown)} MiB`,
        ),
        claim('the kernel killed it in the end', code === null, `exit code ${code}`),
      ]
    } finally {
      await group.remove()
    }
  },
}

const starved: Scenario = {
  ...{ name: 'cpu', covers: ['F11'], short: false, lenient: true, recoverySeconds: 4 },
  title: 'four hundredths of a core',
  without: 'a tenth of a core: at this rate that is enough',
  impossible: () => whyNoControlGroup('cpu'),
  async fault({ rig, many }) {
    const [service] = rig.services
    const group = createControlGroup('cpu')
    try {
      group.limitCores(0.04)
      group.add(service?.pid ?? 0)
      await sleep(many(4000, 30_000))
      group.limitCores(2)
      await sleep(1500)
      const inFlight = (await service?.metric('meshbind_in_flight')) ?? -1
      const waits = group.throttled()
      return [
        claim('it had to wait for its share', waits > 5, `${waits} times`),
        claim('nothing is left in flight afterwards', inFlight < 20, `${inFlight} checks`),
      ]
    } finally {
      if (service?.running() === true) group.release(service.pid)
      await group.remove()
    }
  },
}

const blocked: Scenario = {
  ...{ name: 'blocked', covers: ['F11'], short: false, lenient: true, recoverySeconds: 3 },
  title: 'the event loop is blocked for 500 ms, again and again',
  async fault({ rig, many }): Promise<readonly Claim[]> {
    for (let n = 0; n < many(4, 40); n++) {
      await rig.services[0]?.order({ blockMs: 500 })
      await sleep(500)
    }
    return []
  },
}

export const resourceScenarios = [memory, starved, blocked]
