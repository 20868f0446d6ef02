/** Fuzzes in a thread, and reports an input that does not end instead of hanging with it. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Report } from './engine.ts'
import { headBytes, type Order, type WorkerAnswer } from './order.ts'

const lookMs = 1000
/** No claim about speed: whatever takes this long for one input hangs for all that a caller can tell. */
const hangMs = 30_000
const maxInputBytes = 512 * 1024

export interface Fuzzer {
  run(order: Order): Promise<Report>
  close(): Promise<void>
}

export async function startFuzzer(): Promise<Fuzzer> {
  const shared = new SharedArrayBuffer(headBytes + maxInputBytes)
  const counts = new Int32Array(shared, 0, 2)
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { shared } })
  const failed = once(worker, 'error').then(([error]) => {
    throw error
  })
  failed.catch(() => {})
  await Promise.race([once(worker, 'message'), failed])

  function hang(): { readonly seen: Promise<Report>; readonly stop: () => void } {
    let last = -1
    let since = performance.now()
    let timer: NodeJS.Timeout | undefined
    const seen = new Promise<Report>((resolve) => {
      timer = setInterval(() => {
        const count = Atomics.load(counts, 0)
        if (count !== last) {
          last = count
          since = performance.now()
        } else if (performance.now() - since > hangMs) {
          const input = Buffer.from(new Uint8Array(shared, headBytes, Atomics.load(counts, 1)))
          const finding = { input, error: `does not end within ${hangMs / 1000} s` }
          const slowest = { milliseconds: hangMs, bytes: input.length }
          const none = { replayed: 0, outcomes: new Map(), novel: [] }
          resolve({ executions: count, ...none, finding, slowest })
        }
      }, lookMs)
    })
    return { seen, stop: () => clearInterval(timer) }
  }

  return {
    async run(order) {
      const { seen, stop } = hang()
      worker.postMessage(order)
      try {
        const answered = once(worker, 'message').then(([answer]: WorkerAnswer[]) => {
          if (answer === undefined || !('report' in answer)) throw new Error('no report')
          return answer.report
        })
        return await Promise.race([answered, seen, failed])
      } finally {
        stop()
      }
    },
    close: async () => void (await worker.terminate()),
  }
}
