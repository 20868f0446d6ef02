/** `node write-sbom.ts [DIRECTORY]`: SBOMs of what npm installs with meshbind, in CycloneDX and SPDX (`make sbom`). */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const formats = { cyclonedx: 'sbom.cdx.json', spdx: 'sbom.spdx.json' } as const
type Format = keyof typeof formats

/** Both files with the same bytes for the same lockfile, time and version of npm. */
export function writeSboms(root: string, directory: string, secondsSinceEpoch: number): void {
  const time = `${new Date(secondsSinceEpoch * 1000).toISOString().slice(0, 19)}Z`
  const scratch = mkdtempSync(join(tmpdir(), 'meshbind-sbom-'))
  try {
    const project = join(scratch, 'meshbind') // npm takes the component's name from its directory
    mkdirSync(project)
    writeRuntimeProject(root, project)
    mkdirSync(directory, { recursive: true })
    for (const format of Object.keys(formats) as Format[])
      writeFileSync(join(directory, formats[format]), settle(askNpm(project, format), time))
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

/**
 * `npm sbom --omit=dev` leaves out whatever development needs as well, jose and the gRPC server among it
 * (https://github.com/npm/cli/issues/7909). So npm is shown a project that has no development.
 */
function writeRuntimeProject(root: string, project: string): void {
  const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'))
  const { devDependencies: _, ...manifest } = read('package.json')
  const lockfile = read('package-lock.json')
  const entries = Object.entries<{ dev?: boolean; devDependencies?: object }>(lockfile.packages)
  const packages = Object.fromEntries(entries.filter(([, { dev }]) => dev !== true))
  delete packages['']?.devDependencies
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(project, 'package-lock.json'), JSON.stringify({ ...lockfile, packages }))
}

function askNpm(project: string, format: Format): string {
  const args = ['sbom', '--package-lock-only', `--sbom-format=${format}`, '--sbom-type=application']
  // A script of npm's tells the npm below it where its own project is: that would be the wrong one.
  const own = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
  return execFileSync('npm', args, {
    cwd: project,
    encoding: 'utf8',
    env: Object.fromEntries(own),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}

/** npm writes the time and a random UUID; in their place stand the commit's time and a UUID of the content. */
function settle(text: string, time: string): string {
  const random = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/
  const uuid = random.exec(text)?.[0]
  const timed = text.replace(/("(?:timestamp|created)": )"[^"]*"/, `$1"${time}"`)
  if (uuid === undefined || timed === text) throw new Error(`npm sbom answered: ${text}`)
  const hash = createHash('sha256').update(timed.replace(uuid, '')).digest('hex')
  // RFC 9562 §5.8: version 8, as the bits are of our own making.
  const named = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`
  return `${timed.replace(uuid, named).trimEnd()}\n`
}

function readCommitTime(root: string): number {
  const given = process.env['SOURCE_DATE_EPOCH']
  const text =
    given ?? execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' })
  if (!/^\d+\s*$/.test(text)) throw new Error(`SOURCE_DATE_EPOCH is no time: ${text}`)
  return Number(text)
}

if (import.meta.main) {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const directory = process.argv[2] ?? join(root, 'sbom')
  try {
    writeSboms(root, directory, readCommitTime(root))
    for (const name of Object.values(formats)) process.stdout.write(`${join(directory, name)}\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
    process.stderr.write('The time is SOURCE_DATE_EPOCH, or that of the commit, which git knows.\n')
    process.exitCode = 3
  }
}
