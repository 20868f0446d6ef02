/**
 * Keeps what was measured: bench/results/latest.json, the chart beside it, and the figures in docs/performance.md and docs/scale.md.
 * `BENCH_RESULTS=directory` keeps the first two there instead and leaves the pages alone.
 */

import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { arch, cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { drawChart } from './chart.ts'
import { fillPage, sectionText } from './report.ts'
import { type Made, type Results, type Section, type SectionName, sectionNames } from './results.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const elsewhere = process.env['BENCH_RESULTS']
const directory = elsewhere ?? join(root, 'bench', 'results')
const pages = ['performance.md', 'scale.md'].map((name) => join(root, 'docs', name))

export const repetitions = Number(process.env['BENCH_REPETITIONS'] ?? 5)
/** A part of the usual counts and durations, for those who work on a bench. */
export const scale = Number(process.env['BENCH_SCALE'] ?? 1)

export const say = (text: string) => process.stderr.write(`… ${text}\n`)

export async function describeRun(notes: readonly string[], times = repetitions): Promise<Made> {
  const scaled = scale === 1 ? [] : [`A trial at ${scale} of the usual size, not to be quoted.`]
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: await describeCommit(),
    node: process.versions.node,
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown processor',
      cores: cpus().length,
      memoryGibibytes: Math.round(totalmem() / 2 ** 30),
      system: `${type()} ${release().replace(/-.*/, '')} ${arch()}`,
    },
    repetitions: times,
    notes: [...scaled, ...notes],
  }
}

/** Of what is measured, and of what measures it: a page that changes makes no figure an old one. */
async function describeCommit(): Promise<string> {
  const paths = ['--', 'src', 'protos', 'bench', ':!bench/results', 'package-lock.json']
  const git = async (...args: readonly string[]) =>
    (await run('git', ['-C', root, ...args, ...paths])).stdout.trim()
  try {
    const changed = await git('status', '--porcelain')
    return `${await git('log', '-1', '--format=%h')}${changed === '' ? '' : ' with changes'}`
  } catch {
    return 'unknown'
  }
}

async function readResults(): Promise<Results> {
  const text = await readFile(join(directory, 'latest.json'), 'utf8').catch(() => '{}')
  return JSON.parse(text) as Results
}

/** Prints a section and puts it in the place of the one before. */
export async function keepSection(name: SectionName, section: Section): Promise<void> {
  process.stdout.write(`\n${sectionText(section)}\n\n`)
  const kept: Results = { ...(await readResults()), [name]: section }
  const results = Object.fromEntries(
    sectionNames.flatMap((each) => (kept[each] === undefined ? [] : [[each, kept[each]]])),
  )
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'latest.json'), `${JSON.stringify(results, null, 1)}\n`)
  await writeFromResults()
}

/** The chart and the pages anew from latest.json, with nothing measured. */
export async function writeFromResults(): Promise<void> {
  const results = await readResults()
  await writeFile(join(directory, 'latest.svg'), drawChart(results))
  if (elsewhere === undefined)
    for (const page of pages) await writeFile(page, fillPage(await readFile(page, 'utf8'), results))
  say(`wrote ${join(directory, 'latest.json')}, latest.svg${elsewhere ? '' : ' and the pages'}`)
}
