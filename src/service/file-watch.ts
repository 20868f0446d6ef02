/** Keeps up with one file on disk: its content as it is, told once per change, whatever happens to the file meanwhile. */

import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readTextFile } from './read-file.ts'

export interface FileWatch {
  /** Resolves once the first content, or the want of it, has been taken. */
  readonly tried: Promise<void>
  close(): void
}

export interface FileWatchOptions {
  readonly path: string
  readonly maxBytes: number
  /**
   * A content that differs from the one before; with `again` it is told once more two seconds later. The next is not
   * read until this has ended; must not reject.
   */
  readonly onContent: (text: string) => Promise<'again' | undefined> | undefined
  /** The file cannot be read, told once per kind of trouble; undefined once it can again, with the content as it was. */
  readonly onTrouble: (problem: string | undefined) => void
}

/** Backs the events up: they differ by platform, and a network mount may have none. */
const pollMs = 1000
const settleMs = 50
/** Before the same content is told again. */
const retryMs = 2000
/** A file that is never the same twice is taken as it is: links that swap all the time show whole files nevertheless. */
const maxReadings = 20

/**
 * Kubelet swaps a mounted ConfigMap by renaming a symbolic link, `..data`, beside the file; editors replace files or
 * write them in place. So the directory is watched, and content decides. A content is taken only when two readings,
 * some time apart, agree: a file that is being written in place is not judged half-way.
 */
export function watchFile(options: FileWatchOptions): FileWatch {
  const { path, maxBytes } = options
  let taken: string | undefined
  let retryAt = Number.POSITIVE_INFINITY
  let trouble: string | undefined
  let closed = false
  let watcher: FSWatcher | undefined
  let changed = false
  let wake: () => void = () => {}

  async function readSettled(): Promise<string> {
    let text = await read()
    for (let reading = 1; text !== taken && reading < maxReadings; reading++) {
      await sleep(settleMs)
      const again = await read()
      if (again === text) return text
      text = again
    }
    return text
  }

  /** A file that is being written may be caught growing: one failure is none. */
  function read(): Promise<string> {
    const once = () => readTextFile(path, maxBytes)
    return once().catch(() => sleep(settleMs).then(once))
  }

  async function look(): Promise<void> {
    changed = false
    try {
      const text = await readSettled()
      if (closed) return
      if (trouble !== undefined) options.onTrouble(undefined)
      trouble = undefined
      if (text === taken && performance.now() < retryAt) return
      taken = text
      const answer = await options.onContent(text)
      retryAt = answer === 'again' ? performance.now() + retryMs : Number.POSITIVE_INFINITY
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'cannot be read'
      if (!closed && problem !== trouble) options.onTrouble(problem)
      trouble = problem
    }
  }

  /** A directory may come and go; without it the poll goes on, and watching is tried again. */
  function listen(): void {
    if (watcher !== undefined) return
    try {
      watcher = watch(dirname(path), { persistent: false }, () => {
        changed = true
        wake()
      })
      watcher.on('error', unlisten)
    } catch {
      unlisten()
    }
  }

  function unlisten(): void {
    watcher?.close()
    watcher = undefined
  }

  /** Until the next event or poll. */
  async function pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (changed) return resolve()
      const timer = setTimeout(resolve, pollMs).unref()
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function goOn(): Promise<void> {
    while (!closed) {
      listen()
      await pause()
      if (!closed) await look()
      // Whatever else is written beside the file must not keep the process busy.
      await sleep(settleMs, undefined, { ref: false })
    }
  }

  listen()
  const tried = look()
  void tried.then(goOn)
  return {
    tried,
    close() {
      closed = true
      unlisten()
      wake()
    },
  }
}
