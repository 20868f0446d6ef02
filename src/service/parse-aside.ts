/** Parses policies and denylists beside the checks: YAML of a megabyte takes longer than Envoy waits for an answer. */

import { Worker } from 'node:worker_threads'
import { type DenylistResult, parseDenylist } from '../policy/denylist.ts'
import { type PolicyFile, readPolicies } from '../policy/manifest.ts'

export const parsers = { policies: readPolicies, denylist: parseDenylist } as const

export type ParseKind = keyof typeof parsers

/** Characters: below it a thread would cost more than the parsing, which takes a few milliseconds. */
const asideFrom = 8192
/** A text that takes longer, or more memory, is none that an operator wrote. */
const limitMs = 20_000
const maxHeapMegabytes = 256

export function parsePoliciesAside(text: string): Promise<readonly PolicyFile[]> {
  return parseAside('policies', text)
}

export function parseDenylistAside(text: string): Promise<DenylistResult> {
  return parseAside('denylist', text)
}

async function parseAside<Kind extends ParseKind>(
  kind: Kind,
  text: string,
): Promise<ReturnType<(typeof parsers)[Kind]>> {
  if (text.length < asideFrom) return parsers[kind](text) as ReturnType<(typeof parsers)[Kind]>
  // As it is run: from source, or built.
  const file = new URL(
    `./parse-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
    import.meta.url,
  )
  const worker = new Worker(file, {
    workerData: { kind, text },
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMegabytes },
    stdout: true,
    stderr: true,
  })
  // The end of the process does not wait for it.
  worker.unref()
  try {
    return await new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`cannot be parsed: ${why}`))
      const timer = setTimeout(fail, limitMs, `it took over ${limitMs / 1000} s`).unref()
      worker.once('message', resolve)
      worker.once('error', () => fail('it needs too much memory'))
      worker.once('exit', () => {
        clearTimeout(timer)
        fail('the thread ended')
      })
    })
  } finally {
    await worker.terminate()
  }
}
