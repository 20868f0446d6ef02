/** The fuzzer: replays the corpus, then generates and mutates until its time is over, and keeps what came out in a new way. */

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { mutate } from './mutate.ts'
import { createRandom, type Random } from './random.ts'
import type { Target } from './target.ts'

export interface Run {
  readonly seed: number
  /** Milliseconds; the corpus is replayed whole, whatever it takes. */
  readonly budgetMs: number
  /** Told of every input before it is judged: what hangs was the last. */
  readonly onInput: (input: Buffer) => void
}

export interface Report {
  readonly executions: number
  readonly replayed: number
  /** How often each outcome was met. */
  readonly outcomes: ReadonlyMap<string, number>
  /** Inputs whose outcome no other had before. */
  readonly novel: readonly Buffer[]
  readonly finding: Finding | undefined
  readonly slowest: { readonly milliseconds: number; readonly bytes: number }
}

export interface Finding {
  readonly input: Buffer
  readonly error: string
}

const corpus = fileURLToPath(new URL('./corpus/', import.meta.url))
const freshInputs = 64

export function readCorpus(name: string): Buffer[] {
  try {
    const folder = `${corpus}${name}/`
    return readdirSync(folder)
      .sort()
      .map((file) => readFileSync(folder + file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Where the input stands from now on: named by its content, so nothing stands there twice. */
export function keepInCorpus(name: string, input: Buffer): string {
  const folder = `${corpus}${name}/`
  mkdirSync(folder, { recursive: true })
  const file = `${folder}${createHash('sha256').update(input).digest('hex').slice(0, 16)}.bin`
  writeFileSync(file, input)
  return file
}

export async function fuzz(target: Target, { seed, budgetMs, onInput }: Run): Promise<Report> {
  const random = createRandom(seed)
  const population: Buffer[] = readCorpus(target.name)
  const replayed = population.length
  const outcomes = new Map<string, number>()
  const novel: Buffer[] = []
  let slowest = { milliseconds: 0, bytes: 0 }
  let executions = 0

  /** The finding, if it is one. */
  async function execute(input: Buffer): Promise<Finding | undefined> {
    onInput(input)
    const began = performance.now()
    let outcome: string
    try {
      outcome = await target.judge(input)
    } catch (error) {
      const smaller = await minimise(target, input, onInput)
      return { input: smaller, error: String(error instanceof Error ? error.stack : error) }
    }
    const milliseconds = performance.now() - began
    if (milliseconds > slowest.milliseconds) slowest = { milliseconds, bytes: input.length }
    executions++
    const met = outcomes.get(outcome) ?? 0
    outcomes.set(outcome, met + 1)
    if (met === 0 && executions > replayed) {
      novel.push(input)
      population.push(input)
    }
    return undefined
  }

  const report = (finding: Finding | undefined): Report => ({
    executions,
    replayed,
    outcomes,
    novel,
    finding,
    slowest,
  })

  for (const input of [...population]) {
    const finding = await execute(input)
    if (finding !== undefined) return report(finding)
  }
  const until = performance.now() + budgetMs
  for (let i = 0; i < freshInputs || performance.now() < until; i++) {
    const input = i < freshInputs ? target.generate(random) : next(target, random, population)
    const finding = await execute(input)
    if (finding !== undefined) return report(finding)
  }
  return report(undefined)
}

function next(target: Target, random: Random, population: readonly Buffer[]): Buffer {
  const known = () =>
    population.length > 0 && random.chance(2) ? random.pick(population) : target.generate(random)
  const input = known()
  if (random.chance(8)) return input
  const reshaped =
    target.reshape !== undefined && random.chance(2)
      ? target.reshape(input, random, known)
      : undefined
  return reshaped ?? mutate(input, random, known, target.dictionary)
}

/** The same kind of failure from less: pieces are left out, from halves down to single bytes. */
async function minimise(
  target: Target,
  input: Buffer,
  onInput: (input: Buffer) => void,
): Promise<Buffer> {
  let smallest = input
  let tries = 0
  for (let size = input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < smallest.length && tries < 5000; tries++) {
      const shorter = Buffer.concat([smallest.subarray(0, at), smallest.subarray(at + size)])
      onInput(shorter)
      if (await fails(target, shorter)) smallest = shorter
      else at += size
    }
  }
  return smallest
}

async function fails(target: Target, input: Buffer): Promise<boolean> {
  try {
    await target.judge(input)
    return false
  } catch {
    return true
  }
}
