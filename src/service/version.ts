/** What is running: version, commit, Node. */

import { readFileSync } from 'node:fs'

export interface VersionInfo {
  readonly version: string
  /** `unknown` when run from source. */
  readonly commit: string
  readonly node: string
}

let known: VersionInfo | undefined

/** The files are read once. */
export function versionInfo(): VersionInfo {
  known ??= { version: packageVersion(), commit: commit(), node: process.versions.node }
  return known
}

function packageVersion(): string {
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  return String(version)
}

/** The build writes the commit beside the compiled files. */
function commit(): string {
  try {
    return readFileSync(new URL('../COMMIT', import.meta.url), 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
