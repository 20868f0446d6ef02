/** The values of flags and environment variables, read strictly: a typo ends the start, it is never guessed at. */

import { CommandError } from '../exit.ts'
import type { DecisionLogMode } from '../observe/decision-log.ts'
import { isListenAddress } from '../wire/listen.ts'

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000 }
/** A timer of Node that is set for more than 2^31 - 1 ms fires at once; a tenth more than this is still less. */
const longestText = '28800m (20 days)'
const longestMs = 28_800 * 60_000
const shortestConnectionAgeMs = 1000

/** `150ms`, `10s`, `1m` in milliseconds. */
export function milliseconds(flag: string, text: string): number {
  const [, digits, unit] = /^([1-9]\d{0,5})(ms|s|m)$/.exec(text) ?? []
  const factor = unit === undefined ? undefined : unitMs[unit]
  if (digits === undefined || factor === undefined) {
    throw new CommandError(`${flag}: \`${text}\` is no duration; write it like 150ms, 10s or 1m`)
  }
  const value = Number(digits) * factor
  if (value > longestMs)
    throw new CommandError(`${flag}: \`${text}\` is too long; the longest is ${longestText}`)
  return value
}

/** As `milliseconds`, or `0s` for none. */
export function delayMilliseconds(flag: string, text: string): number {
  return /^0(?:ms|s|m)$/.test(text) ? 0 : milliseconds(flag, text)
}

/** A second at least: younger connections would cost more in handshakes than their checks. */
export function connectionAge(flag: string, text: string): number {
  const value = milliseconds(flag, text)
  if (value < shortestConnectionAgeMs)
    throw new CommandError(`${flag}: \`${text}\` is too short; write 1s or more, or off`)
  return value
}

export function positiveInteger(flag: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text))
    throw new CommandError(`${flag}: \`${text}\` is no positive whole number`)
  return Number(text)
}

const maxWorkers = 64

export function workerCount(flag: string, text: string): number {
  const count = positiveInteger(flag, text)
  if (count > maxWorkers) throw new CommandError(`${flag}: ${count} is more than ${maxWorkers}`)
  return count
}

export function listenAddress(flag: string, text: string): string {
  if (!isListenAddress(text)) {
    throw new CommandError(
      `${flag}: \`${text}\` is no address; write host:port (127.0.0.1:9191) or unix:/absolute/path`,
    )
  }
  return text
}

export function adminAddress(flag: string, text: string): string {
  if (!isListenAddress(text) || text.startsWith('unix:')) {
    throw new CommandError(
      `${flag}: \`${text}\` is no address; write host:port (127.0.0.1:9464) or off`,
    )
  }
  return text
}

export function decisionLogMode(flag: string, text: string): DecisionLogMode {
  const every = /^sample:([1-9]\d{0,6})$/.exec(text)?.[1]
  if (every !== undefined) return { kind: 'sample', every: Number(every) }
  if (text === 'all' || text === 'deny' || text === 'off') return { kind: text }
  throw new CommandError(`${flag}: \`${text}\` is none of all, deny, sample:N, off`)
}

/** `memory`, or a Redis URL. The text may hold a password, so it is never repeated. */
export function stateAddress(flag: string, text: string): string {
  if (text === 'memory') return text
  const url = URL.parse(text)
  if (url !== null && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname !== '')
    return text
  throw new CommandError(
    `${flag}: neither memory nor a Redis URL; write redis://host:6379 or rediss://user:password@host:6379/0`,
  )
}

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/

/** Unix seconds, with their fraction, of a time such as 2026-11-22T10:00:00Z (RFC 3339); NaN where it is none. */
export function instantSeconds(text: string): number {
  return instant.test(text) ? Date.parse(text) / 1000 : Number.NaN
}
