/** Runs before `npm pack` and `npm publish` (package.json, prepack): builds dist/ anew, the same on every machine. */

import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = join(root, 'dist')

function buildAnew(): void {
  // What an older source left behind would be packed with it.
  rmSync(dist, { recursive: true, force: true })
  const compiler = join(root, 'node_modules/.bin/tsc')
  execFileSync(compiler, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: [0, 2, 2] })
  const commit = readCommit()
  if (commit !== undefined) writeFileSync(join(dist, 'COMMIT'), `${commit}\n`)
}

/** Twelve digits: the length that git would choose depends on how much of the history is here. */
function readCommit(): string | undefined {
  try {
    const args = ['rev-parse', '--short=12', 'HEAD']
    const stdio = ['ignore', 'pipe', 'ignore'] as const
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: [...stdio] }).trim()
  } catch {
    return undefined // no checkout: the version says `unknown`
  }
}

/** npm packs the modes that it finds, and so the umask of whoever checked out. */
function settleModes(path: string): void {
  if (statSync(path).isDirectory())
    for (const name of readdirSync(path)) settleModes(join(path, name))
  else chmodSync(path, path === join(dist, 'main.js') ? 0o755 : 0o644)
}

buildAnew()
const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
for (const path of [...files, 'package.json', 'README.md', 'LICENSE']) settleModes(join(root, path))
