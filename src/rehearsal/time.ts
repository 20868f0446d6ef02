/** Times as a test writes them: a point in time, or one relative to the test's own `now`. */

import { durationSeconds } from '../policy/duration.ts'

/** RFC 3339 in UTC, whole seconds. */
export const instantGrammar = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
/** An instant, or `-10m`, `+1h`: before and after `now`. */
export const timeGrammar = /^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|[+-](?:0|[1-9][0-9]{0,6})[smh])$/

/** Unix seconds of a text that `instantGrammar` accepted; NaN where it is no day of the calendar. */
export function instantSeconds(text: string): number {
  const date = new Date(text)
  // The 30th of February would become the 2nd of March.
  const same = !Number.isNaN(date.getTime()) && date.toISOString() === text.replace('Z', '.000Z')
  return same ? date.getTime() / 1000 : Number.NaN
}

/**
 * Unix seconds of a text that `timeGrammar` accepted; NaN where it is no day of the calendar, which meaning.ts reports.
 *
 * @param now Unix seconds.
 */
export function timeSeconds(text: string, now: number): number {
  if (instantGrammar.test(text)) return instantSeconds(text)
  const seconds = durationSeconds(text.slice(1))
  return text.startsWith('-') ? now - seconds : now + seconds
}
