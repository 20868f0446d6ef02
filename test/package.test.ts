/** The npm package: two checkouts on unlike machines pack the same bytes, and what is packed runs (docs/supply-chain.md). */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import test from 'ava'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const directory = mkdtempSync(join(tmpdir(), 'meshbind-package-'))
test.after.always(() => rmSync(directory, { recursive: true, force: true }))

const tarball = `meshbind-${manifest.version}.tgz`
const sources = [
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'],
  ...['src', 'protos', '.github/release', '.gitignore', '.gitattributes', '.npmrc'],
  ...['docs/decision-log.schema.json', 'docs/policy.schema.json', 'README.md', 'LICENSE'],
]
const origin = join(directory, 'origin')

interface Machine {
  /** Where the project is checked out, below the test's directory. */
  readonly place: string
  readonly umask: string
  readonly clone: readonly string[]
  readonly environment: { readonly [name: string]: string }
}
const machines: readonly Machine[] = [
  {
    place: 'a',
    umask: '077',
    clone: ['--depth=1', '--config=core.abbrev=4'],
    environment: { TZ: 'Pacific/Kiritimati', LC_ALL: 'C' },
  },
  {
    place: 'another place/further down',
    umask: '002',
    clone: ['--config=core.abbrev=40', '--config=core.autocrlf=true'],
    environment: { TZ: 'America/St_Johns', LANG: 'tr_TR.UTF-8', SOURCE_DATE_EPOCH: '1' },
  },
]

const run = (cwd: string, environment: Machine['environment'], ...command: readonly string[]) => {
  const [program = '', ...args] = command
  const foreign = /^(npm_|LANG$|LC_|TZ$|GIT_|SOURCE_DATE_EPOCH$)/i
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const bare = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
  const env = { ...Object.fromEntries(kept), ...bare, ...environment }
  return execFileSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** The files of this checkout, as they are now, as a repository with a history of two commits. */
function makeOrigin(): void {
  const author = ['-c', 'user.name=Test', '-c', 'user.email=test@mesh.example']
  mkdirSync(origin)
  run(origin, {}, 'git', 'init', '--quiet')
  for (const path of sources) cpSync(join(root, path), join(origin, path), { recursive: true })
  for (const message of ['first', 'second']) {
    run(origin, {}, 'git', 'add', '--all')
    const commit = ['commit', '--quiet', '--allow-empty', '--no-gpg-sign', '--message', message]
    run(origin, {}, 'git', ...author, ...commit)
  }
}

function packOn({ place, umask, clone, environment }: Machine): Buffer {
  const checkout = join(directory, place)
  const inUmask = (cwd: string, ...command: readonly string[]) =>
    run(cwd, environment, 'sh', '-c', `umask ${umask}; exec "$@"`, 'sh', ...command)
  mkdirSync(dirname(checkout), { recursive: true })
  inUmask(directory, 'git', 'clone', '--quiet', ...clone, `file://${origin}`, checkout)
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'))
  // Left over from a source that is gone.
  mkdirSync(join(checkout, 'dist'))
  writeFileSync(join(checkout, `dist/${umask}.js`), '')
  for (const path of ['README.md', 'src/main.ts', 'protos'])
    utimesSync(join(checkout, path), Number(umask), Number(umask))
  // As the release reads it: the name alone (.github/workflows/release.yml).
  const named = inUmask(checkout, 'npm', 'pack', '--silent')
  if (named !== `${tarball}\n`) throw new Error(`npm pack said: ${named}`)
  return readFileSync(join(checkout, tarball))
}

interface Entry {
  readonly path: string
  readonly mode: number
  readonly modified: number
  readonly owner: number
}

/** The headers of a tar archive (POSIX.1-2024, pax, ustar): nothing here has a long name. */
function readEntries(packed: Buffer): readonly Entry[] {
  const archive = gunzipSync(packed)
  const entries: Entry[] = []
  for (let at = 0; archive[at] !== 0 && at < archive.length; ) {
    const text = (from: number, length: number) =>
      archive.toString('utf8', at + from, at + from + length).replace(/[\0 ].*$/s, '')
    const octal = (from: number, length: number) => Number.parseInt(text(from, length) || '0', 8)
    entries.push({
      path: [text(345, 155), text(0, 100)].filter((part) => part !== '').join('/'),
      mode: octal(100, 8),
      modified: octal(136, 12),
      owner: octal(108, 8),
    })
    at += 512 + Math.ceil(octal(124, 12) / 512) * 512
  }
  return entries
}

const packed: Buffer[] = []
test.before((t) => {
  t.timeout(120_000)
  makeOrigin()
  packed.push(...machines.map(packOn))
})

test('two clones with another path, umask, time zone, language, history and age pack the same bytes (docs/supply-chain.md)', (t) => {
  const [first, second] = packed.map((bytes) => createHash('sha512').update(bytes).digest('hex'))
  t.is(first, second)
})

test('the package holds dist, protos, two schemas, README and licence, and only its command is executable', (t) => {
  const entries = readEntries(packed[0] ?? Buffer.alloc(0))
  const paths = entries.map(({ path }) => path.replace(/^package\//, ''))
  t.true(paths.includes('dist/main.js') && paths.includes('dist/COMMIT'))
  t.deepEqual(
    paths
      .filter((path) => !/^(dist\/.+\.(js|d\.ts|js\.map)|protos\/.+\.proto)$/.test(path))
      .toSorted(),
    [
      'LICENSE',
      'README.md',
      'dist/COMMIT',
      'docs/decision-log.schema.json',
      'docs/policy.schema.json',
      'package.json',
    ],
  )
  t.deepEqual(
    paths.filter((path) => /^dist\/\d+\.js$/.test(path)),
    [],
    'what an older build left behind',
  )
  for (const { path, mode, modified, owner } of entries) {
    t.is(mode, path === 'package/dist/main.js' ? 0o755 : 0o644, path)
    t.is(modified, Date.UTC(1985, 9, 26, 8, 15) / 1000, path)
    t.is(owner, 0, path)
  }
})

test('what was packed runs, and says the version and the commit that it was built from', (t) => {
  const place = join(directory, 'installed')
  mkdirSync(place)
  run(place, {}, 'tar', '-xzf', join(directory, 'a', tarball))
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  const said = run(
    place,
    {},
    process.execPath,
    'package/dist/main.js',
    'version',
    '--output',
    'json',
  )
  const commit = run(origin, {}, 'git', 'rev-parse', 'HEAD').slice(0, 12)
  t.like(JSON.parse(said), { version: manifest.version, commit })
})
