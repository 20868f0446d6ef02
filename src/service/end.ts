/** The end of the service: the signal that asks for it, and the time in which others learn of it. */

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const signals = ['SIGTERM', 'SIGINT'] as const

/** Resolves to the first one. */
export function waitForSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve(signal))
  })
}

/** Ends at a signal at the latest: who sends a second one is in a hurry. Those after it are not taken here. */
export async function waitUnlessSignalled(delayMs: number): Promise<void> {
  const over = new AbortController()
  const { signal } = over
  await Promise.race([
    sleep(delayMs, undefined, { signal }),
    ...signals.map((name) => once(process, name, { signal })),
  ])
  over.abort()
}

/**
 * A connection whose peer reads nothing keeps its socket, and with it the process, for as long as it likes: what is to be
 * ended has ended, so this waits no longer. Never what keeps the process alive.
 */
export function exitUnlessOver(code: number): void {
  setTimeout(() => process.exit(code), lingeringMs).unref()
}

/** Standard output and the sockets' last bytes are out long before. */
const lingeringMs = 500
