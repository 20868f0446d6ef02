/** What the commands share: how examples are shown, and the options that several take. */

import { Option } from 'commander'

/** Hands the exit code of a command to the process. */
export type Exit = (code: number) => void

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`
}

export const outputOption = () =>
  new Option('--output <format>', 'text for people, json for programs')
    .choices(['text', 'json'])
    .default('text')
