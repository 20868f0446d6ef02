/** One JSON object from a file or standard input, read strictly; what was read is never part of a message. */

import { badInput, CommandError } from '../exit.ts'
import { readBoundedFile, readBoundedInput } from '../service/read-file.ts'
import { isJsonObject, type JsonObject, parseStrictJsonValue } from '../strict-json.ts'

/** Four times the largest question that a server reads: JSON and its white space take room. */
const maxInputBytes = 1024 * 1024

/** @param file A path, or `-` for standard input. */
export async function readJsonInput(file: string): Promise<JsonObject> {
  const bytes = await (file === '-'
    ? readBoundedInput(maxInputBytes)
    : readBoundedFile(file, maxInputBytes)
  ).catch(badInput)
  const name = file === '-' ? 'standard input' : file
  const text = bytes.toString('utf8')
  if (text.trim() === '') throw new CommandError(`${name}: is empty`)
  const value = parseStrictJsonValue(text)
  if (isJsonObject(value)) return value
  throw new CommandError(`${name}: ${describeProblem(text)}`)
}

function describeProblem(text: string): string {
  const [first = '', ...others] = text.split('\n').filter((line) => line.trim() !== '')
  if (others.length > 0 && isJsonObject(parseStrictJsonValue(first)))
    return 'holds more than one JSON object; give one, such as one line of a log: grep DECISION_ID'
  try {
    JSON.parse(text)
    return 'must be one JSON object without duplicate keys, fractions and deep nesting'
  } catch (error) {
    // V8 quotes the text around a mistake, which may be a token; the place is all that is passed on.
    const place = /\(line \d+ column \d+\)/.exec(error instanceof Error ? error.message : '')?.[0]
    return `is not JSON${place === undefined ? '' : ` ${place}`}`
  }
}
