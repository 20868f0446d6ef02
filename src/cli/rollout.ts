/** `meshbind rollout`: the rollout report from decision logs, read as a stream. */

import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { Command } from 'commander'
import { CommandError, exitCode } from '../exit.ts'
import { createLineReader } from '../line-reader.ts'
import { createRollout, type Rollout } from '../observe/rollout.ts'
import { parseDecisionLine } from '../observe/rollout-line.ts'
import { renderRolloutPage } from '../observe/rollout-page.ts'
import type { RolloutReport } from '../observe/rollout-report.ts'
import { renderRolloutText } from '../observe/rollout-text.ts'
import { type Exit, examples, outputOption } from './options.ts'

export function rolloutCommand(exit: Exit): Command {
  return new Command('rollout')
    .exitOverride()
    .description('Show from decision logs which routes are safe to enforce, and who would break.')
    .argument(
      '<file...>',
      'logs of serve --decision-log all (or sample:N), or - for standard input',
    )
    .option('--html <file>', 'also write the report as one self-contained page')
    .addOption(outputOption())
    .addHelpText(
      'after',
      examples(
        'meshbind rollout decisions.log',
        'kubectl logs deploy/meshbind --since=24h | meshbind rollout - --html rollout.html',
        'meshbind rollout --output json decisions.log | jq ".routes[].verdict.level"',
      ),
    )
    .action(async (files: string[], options: Options) => exit(await reportLogs(files, options)))
}

interface Options {
  readonly html?: string
  readonly output: string
}

/** Lines that were read, by what became of them. */
interface Counts {
  lines: number
  decisions: number
  damaged: number
  tooLong: number
}

/** A decision line has a few thousand characters: every text in it is bounded. */
const maxLineBytes = 64 * 1024
const progressEvery = 250_000

async function reportLogs(files: readonly string[], { html, output }: Options): Promise<number> {
  if (html !== undefined && files.some((file) => resolve(file) === resolve(html)))
    throw new CommandError(`${html}: is one of the logs; give --html another file`)
  const rollout = createRollout({ kind: 'log' })
  const counts: Counts = { lines: 0, decisions: 0, damaged: 0, tooLong: 0 }
  for (const file of files) await readLog(file, rollout, counts)
  endProgress(counts)
  if (counts.decisions === 0) throw new CommandError(emptyMessage(files, counts))
  const report = rollout.report()
  process.stdout.write(
    output === 'json' ? `${asJson(report, counts)}\n` : renderRolloutText(report),
  )
  if (html !== undefined) await writePage(html, report)
  if (counts.damaged + counts.tooLong > 0)
    process.stderr.write(`${skippedMessage(counts)} They are not counted.\n`)
  return exitCode.good
}

async function readLog(file: string, rollout: Rollout, counts: Counts): Promise<void> {
  const stream: Readable = file === '-' ? process.stdin : createReadStream(file)
  const reader = createLineReader(maxLineBytes, (line) => {
    counts.lines++
    if (counts.lines % progressEvery === 0) showProgress(counts)
    if (line === undefined) return void counts.tooLong++
    const read = parseDecisionLine(line)
    if (read === 'damaged') return void counts.damaged++
    if (read === 'other') return undefined
    counts.decisions++
    return rollout.observe(read)
  })
  try {
    for await (const chunk of stream) reader.push(chunk as Buffer)
    reader.end()
  } catch (error) {
    const name = file === '-' ? 'standard input' : file
    throw new CommandError(`${name}: ${describe(error as NodeJS.ErrnoException)}`)
  }
}

function describe({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'may not be read or written by this user'
  return code === 'EISDIR' ? 'is a directory' : message
}

async function writePage(file: string, report: RolloutReport): Promise<void> {
  try {
    await writeFile(file, renderRolloutPage(report, Date.now()))
  } catch (error) {
    const cause = error as NodeJS.ErrnoException
    const why = cause.code === 'ENOENT' ? 'there is no such directory' : describe(cause)
    throw new CommandError(`--html ${file}: ${why}`)
  }
}

function emptyMessage(files: readonly string[], counts: Counts): string {
  const where = files.map((file) => (file === '-' ? 'standard input' : file)).join(', ')
  const skipped = counts.damaged + counts.tooLong > 0 ? ` ${skippedMessage(counts)}` : ''
  return [
    `no decision line in ${where} (${counts.lines} lines read).${skipped}`,
    'Run `meshbind serve --decision-log all` and give this command its standard output, one JSON object a line.',
  ].join('\n')
}

function skippedMessage({ damaged, tooLong }: Counts): string {
  return `Lines that could not be read: ${damaged} that are no JSON or no decision line of version 1, ${tooLong} over ${maxLineBytes / 1024} KiB.`
}

function showProgress({ lines }: Counts): void {
  if (process.stderr.isTTY) process.stderr.write(`\r… ${lines} lines`)
}

function endProgress({ lines }: Counts): void {
  if (process.stderr.isTTY && lines >= progressEvery) process.stderr.write('\n')
}

/** Times as in the log itself. */
function asJson(report: RolloutReport, { lines, decisions, damaged, tooLong }: Counts): string {
  const input = { lines, decisions, damaged, tooLong }
  return JSON.stringify(
    { input, ...report },
    (key, value) =>
      (key === 'firstSeen' || key === 'lastSeen') && typeof value === 'number'
        ? new Date(value).toISOString()
        : value,
    2,
  )
}
