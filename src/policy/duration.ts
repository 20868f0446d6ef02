/** Durations as a policy writes them: `30s`, `10m`, `1h`. */

export const durationGrammar = /^(?:0|[1-9][0-9]{0,6})(?:s|m|h)$/

const unitSeconds: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3600 }

/** Seconds of a text that `durationGrammar` accepted. */
export function durationSeconds(text: string): number {
  return Number(text.slice(0, -1)) * (unitSeconds[text.slice(-1)] ?? Number.NaN)
}
