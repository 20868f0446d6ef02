/**
 * Loaded into meshbind before its own code (`--import`): on SIGUSR2 it reads an order from a file, and steps the clock,
 * blocks the event loop, or collects garbage. Without an order it changes nothing.
 */

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

export interface Order {
  readonly serial: number
  /** From now on the wall clock is this far from the machine's. */
  readonly clockOffsetSeconds?: number
  /** The wall clock gains this many seconds a second, from now on. */
  readonly clockDrift?: number
  readonly blockMs?: number
  readonly collect?: boolean
  /** Takes this much memory, and keeps it. */
  readonly hoardBytes?: number
}

const file = process.env['FAULTS_ORDERS']
if (file !== undefined && isMainThread) {
  const trueNow = Date.now
  let offsetMs = 0
  let drift = 0
  let since = 0
  const hoard: Buffer[] = []
  Date.now = () => {
    const now = trueNow()
    return Math.floor(now + offsetMs + (now - since) * drift)
  }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void

  process.on('SIGUSR2', () => {
    const order = JSON.parse(readFileSync(file, 'utf8')) as Order
    if (order.clockOffsetSeconds !== undefined || order.clockDrift !== undefined) {
      offsetMs = (order.clockOffsetSeconds ?? 0) * 1000
      drift = order.clockDrift ?? 0
      since = trueNow()
    }
    if (order.blockMs !== undefined) {
      const end = performance.now() + order.blockMs
      while (performance.now() < end);
    }
    if (order.collect === true) collect()
    if (order.hoardBytes !== undefined) hoard.push(Buffer.alloc(order.hoardBytes, 1))
    // Whole or not at all: it is read by its name while it is written.
    writeFileSync(`${file}.part`, String(order.serial))
    renameSync(`${file}.part`, `${file}.done`)
  })
}
