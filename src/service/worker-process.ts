/** The process of a worker: the same command, with its share of the heap, and its lines in this process's log. */

import cluster, { type Worker as Child } from 'node:cluster'
import { createLineReader } from '../line-reader.ts'
import type { Log } from '../observe/log.ts'

/** More than any line has; what is longer is no line of ours. */
const maxLineBytes = 1024 * 1024

/** @param workers How many there are to be. */
export function startWorkerProcess(workers: number, log: Log): Child {
  // `advanced`: maps, bytes and Infinity arrive as what they are.
  cluster.setupPrimary({ serialization: 'advanced', stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  const child = cluster.fork({ NODE_OPTIONS: divideHeap(process.env['NODE_OPTIONS'], workers) })
  forwardLines(child, log)
  return child
}

/** What the container has is there once: `--max-old-space-size` and `-percentage` are for the service, and each worker gets its share. */
export function divideHeap(nodeOptions = '', workers: number): string {
  return nodeOptions.replace(
    /(--max[-_]old[-_]space[-_]size(?:[-_]percentage)?=)(\d+)/g,
    (_, option: string, whole: string) => option + Math.max(1, Math.floor(Number(whole) / workers)),
  )
}

/** Whole lines: two processes that wrote to one pipe would cut each other's in two. */
function forwardLines({ process: { stdout } }: Child, log: Log): void {
  const lines = createLineReader(maxLineBytes, (line) => {
    if (line !== undefined) log.writeLine(line)
  })
  stdout?.on('data', (chunk: Buffer) => lines.push(chunk))
  stdout?.on('end', () => lines.end())
}
