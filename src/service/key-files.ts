/** Starts the key source that a policy names: a file, a URL, or what discovery leads to. */

import { resolve } from 'node:path'
import type { KeySourceDocument } from '../policy/schema.ts'
import type { Algorithm } from '../token/algorithms.ts'
import { fetchDiscoveredKeys } from '../token/discovery.ts'
import { fetchDocument } from '../token/fetch.ts'
import { createKeySource, type KeySource, type KeySourceOptions } from '../token/key-source.ts'
import { readBoundedFile, readTextFile } from './read-file.ts'

export interface KeyFileOptions extends Pick<KeySourceOptions, 'clock' | 'onFetch' | 'use'> {
  /** Of the policy: file names are relative to it. */
  readonly directory: string
}

const maxKeyFileBytes = 512 * 1024
const urlRefreshSeconds = 300
const fileRefreshSeconds = 3

/** @param issuer Where discovery starts. */
export function startKeySource(
  keys: KeySourceDocument,
  issuer: string,
  algorithms: readonly Algorithm[],
  { directory, ...options }: KeyFileOptions,
): KeySource {
  return createKeySource({
    ...options,
    algorithms,
    load: loaderOf(keys, issuer, directory),
    refreshSeconds: keys.file === undefined ? urlRefreshSeconds : fileRefreshSeconds,
  })
}

function loaderOf(
  { file, url, caFile }: KeySourceDocument,
  issuer: string,
  directory: string,
): KeySourceOptions['load'] {
  if (file !== undefined) {
    return async () => ({ bytes: await readBoundedFile(resolve(directory, file), maxKeyFileBytes) })
  }
  return async (signal) => {
    const options = { ca: await readCa(caFile, directory), signal }
    return url === undefined
      ? fetchDiscoveredKeys(issuer, options)
      : fetchDocument(new URL(url), options)
  }
}

/** Read for every fetch: a CA that was replaced is in force with the next. */
async function readCa(caFile: string | undefined, directory: string): Promise<string | undefined> {
  if (caFile === undefined) return undefined
  return readTextFile(resolve(directory, caFile), maxKeyFileBytes)
}
