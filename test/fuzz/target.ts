/** What a grammar says of itself to the fuzzer. */

import { inspect, isDeepStrictEqual } from 'node:util'
import type { Random } from './random.ts'

export interface Target {
  /** Of its folder in corpus/. */
  readonly name: string
  /** Where its rules come from. */
  readonly source: string
  /** Words of the grammar, which mutations put in. */
  readonly dictionary: readonly string[]
  /** An input that is well-formed, or nearly. */
  generate(random: Random): Buffer
  /** A change that knows the grammar, with pieces of another input; undefined where this input is not of it. */
  reshape?(input: Buffer, random: Random, other: () => Buffer): Buffer | undefined
  /**
   * Reads the input with the code under test, holds what came of it against the slow reading, and gives it a short name:
   * `taken`, or why not. Throws where they differ; so does a fault of the code under test.
   */
  judge(input: Buffer): string | Promise<string>
}

/** What a target throws where two readings differ. */
export class Disagreement extends Error {}

export function agree(what: string, fast: unknown, slow: unknown): void {
  if (isDeepStrictEqual(fast, slow)) return
  const show = (value: unknown) => inspect(value, { depth: 6, maxStringLength: 200 })
  throw new Disagreement(`${what}: ${show(fast)}, not ${show(slow)}`)
}

export function demand(what: string, holds: boolean): void {
  if (!holds) throw new Disagreement(what)
}
