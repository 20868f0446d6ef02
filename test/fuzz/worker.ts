/** The thread in which the fuzzer runs, so that an input that never ends can be told by another. */

import { parentPort, workerData } from 'node:worker_threads'
import { fuzz } from './engine.ts'
import { headBytes, type Order, type WorkerAnswer, type WorkerInput } from './order.ts'
import { targets } from './targets.ts'

const { shared } = workerData as WorkerInput
const counts = new Int32Array(shared, 0, 2)
const bytes = new Uint8Array(shared, headBytes)

function tell(input: Buffer): void {
  bytes.set(input.subarray(0, bytes.length))
  Atomics.store(counts, 1, Math.min(input.length, bytes.length))
  Atomics.add(counts, 0, 1)
}

parentPort?.on('message', async ({ name, seed, budgetMs }: Order) => {
  const target = targets.find((each) => each.name === name)
  if (target === undefined) throw new Error(`nothing called ${name} is fuzzed`)
  const report = await fuzz(target, { seed, budgetMs, onInput: tell })
  parentPort?.postMessage({ report } satisfies WorkerAnswer)
})
parentPort?.postMessage({ ready: true } satisfies WorkerAnswer)
