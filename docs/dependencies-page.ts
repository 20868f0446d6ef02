/** docs/dependencies.md, made from THE TABLE of dependencies, the lockfile, and what is installed. */

import { readFileSync } from 'node:fs'
import {
  allowedLicences,
  askedOn,
  type Dependency,
  developmentTools,
  installScripts,
  optionalPeers,
  runtimeDependencies,
} from './dependency-list.ts'
import {
  findBringers,
  findNeeded,
  type LockedPackage,
  measureBytes,
  nameOf,
  readLockfile,
} from './locked-packages.ts'

type Locked = ReadonlyMap<string, LockedPackage>

export function dependenciesPage(): string {
  const lockfile = readLockfile()
  const direct = Object.keys(runtimeDependencies)
  const needed = findNeeded(lockfile, direct)
  const brought = broughtRows(lockfile, direct)
  return [
    '# Dependencies',
    '',
    '<!-- Made from docs/dependency-list.ts, the lockfile and node_modules by `npm run docs`; edit there. -->',
    '',
    'Each is pinned by the lockfile with its hash, is used only in the rooms named here (a test reads the imports), and has',
    'no install script that meshbind needs. What meshbind exists for (evidence, confirmation, policy, decision) is its own',
    'code. [supply-chain.md](supply-chain.md) says what is checked about them, and how one is added.',
    '',
    '## At run time',
    '',
    ...dependencyTable(lockfile, runtimeDependencies),
    '',
    `Size: its own files as npm installs them, types and source maps included; the image leaves those out. Last release: of`,
    `the newest version under \`latest\`, whatever version is pinned here, asked of the package's metadata on ${askedOn}.`,
    '',
    `With all that they bring, meshbind installs ${direct.length + brought.length} packages in ${needed.size} places (npm puts some twice), ${formatSize(sizeOf(needed))}.`,
    '',
    '## What they bring',
    '',
    'Reasons are given for the direct dependencies above; a package below is here because those in its last column need it,',
    'by themselves or through others of this table.',
    '',
    '| package | version | licence | size | brought by |',
    '|---|---|---|---|---|',
    ...brought,
    '',
    '## Optional, for traces',
    '',
    'Not installed with meshbind. `observe/trace-exporter.ts` loads them where `OTEL_*` asks for spans, and says so if they are',
    'not there ([traces.md](traces.md)). Everything else works without. The image has them.',
    '',
    ...dependencyTable(lockfile, optionalPeers),
    '',
    '## For development',
    '',
    'No user of meshbind installs these, but for `@types/node`, which protobufjs brings. The optional packages above are',
    'among them too, for the tests.',
    '',
    ...developmentList(lockfile),
    '',
    '## Licences',
    '',
    `What is shipped, in the image too, is under ${allowedLicences.join(', ')}: they ask that notices stay, and do not`,
    'reach what is beside them. Another licence is a decision to make, and a test fails until it is made.',
    '',
    '## Install scripts',
    '',
    ...scriptList(lockfile),
    '',
  ].join('\n')
}

function dependencyTable(
  lockfile: Locked,
  dependencies: { readonly [name: string]: Dependency },
): readonly string[] {
  const rows = Object.entries(dependencies).map(([name, { usedIn, why, lastRelease }]) => {
    const place = `node_modules/${name}`
    const { version, license } = lockedAt(lockfile, place)
    const size = formatSize(measureBytes(place))
    return `| \`${name}\` | ${version} | ${license} | ${size} | ${lastRelease} | ${usedIn} | ${why} |`
  })
  return [
    '| package | version | licence | size | last release | used in | why |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ]
}

/** Two places with the same name and version are one line: they are the same package. */
function broughtRows(lockfile: Locked, direct: readonly string[]): readonly string[] {
  const told = new Map<string, ReadonlySet<string>>()
  for (const [place, bringers] of findBringers(lockfile, direct)) {
    const { version, license } = lockedAt(lockfile, place)
    const size = formatSize(measureBytes(place))
    const row = `| \`${nameOf(place)}\` | ${version} | ${license} | ${size} |`
    told.set(row, new Set([...(told.get(row) ?? []), ...bringers]))
  }
  const named = (bringers: ReadonlySet<string>) =>
    direct.filter((name) => bringers.has(name)).map((name) => `\`${name}\``)
  return [...told].map(([row, by]) => `${row} ${named(by).join(', ')} |`).toSorted()
}

function developmentList(lockfile: Locked): readonly string[] {
  return Object.entries(developmentTools).map(([name, purpose]) => {
    const { version } = lockedAt(lockfile, `node_modules/${name}`)
    return `- \`${name}\` ${version}: ${purpose}`
  })
}

function scriptList(lockfile: Locked): readonly string[] {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return Object.entries(installScripts).map(([name, { does }]) => {
    const { dev, version } = lockedAt(lockfile, `node_modules/${name}`)
    const when = dev ? 'development alone' : 'run time'
    const allowed = manifest.allowScripts[name] ? 'runs' : 'refused in a checkout and in the image'
    return `- \`${name}\` ${version}, for ${when}, ${allowed}. ${does}`
  })
}

function lockedAt(lockfile: Locked, place: string): LockedPackage {
  const locked = lockfile.get(place)
  if (locked === undefined) throw new Error(`${place} is in docs/dependency-list.ts alone`)
  return locked
}

function sizeOf(packages: Locked): number {
  return [...packages.keys()].reduce((sum, place) => sum + measureBytes(place), 0)
}

function formatSize(bytes: number): string {
  const kilobytes = bytes / 1000
  return kilobytes < 1000
    ? `${Math.max(1, Math.round(kilobytes))} kB`
    : `${(kilobytes / 1000).toFixed(1)} MB`
}
