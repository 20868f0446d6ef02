/** What the lockfile pins, and how large it is where it is installed. */

import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface LockedPackage {
  readonly version: string
  readonly license?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly dev?: true
  readonly hasInstallScript?: true
  readonly dependencies?: { readonly [name: string]: string }
  readonly optionalDependencies?: { readonly [name: string]: string }
  readonly peerDependencies?: { readonly [name: string]: string }
  readonly peerDependenciesMeta?: { readonly [name: string]: { readonly optional?: boolean } }
}

/** By place, such as `node_modules/pino`; the project itself is not among them. */
export function readLockfile(): ReadonlyMap<string, LockedPackage> {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const { '': _project, ...locked } = packages
  return new Map(Object.entries(locked))
}

/**
 * The packages of these names and all that they need, by place. Peers that are optional are not needed.
 * @param beyond Places where the search ends: neither they nor what they alone need are among the found.
 */
export function findNeeded(
  lockfile: ReadonlyMap<string, LockedPackage>,
  names: readonly string[],
  beyond: ReadonlySet<string> = new Set(),
): ReadonlyMap<string, LockedPackage> {
  const found = new Map<string, LockedPackage>()
  const take = (from: string, wanted: readonly string[], optional: boolean) => {
    for (const name of wanted) {
      const place = resolvePackage(lockfile, from, name)
      const locked = lockfile.get(place ?? '')
      if (place === undefined || locked === undefined) {
        if (optional) continue
        throw new Error(`${name}, which ${from || 'meshbind'} needs, is not in the lockfile`)
      }
      if (found.has(place) || beyond.has(place)) continue
      found.set(place, locked)
      const peers = Object.keys(locked.peerDependencies ?? {})
      const needed = peers.filter((peer) => !locked.peerDependenciesMeta?.[peer]?.optional)
      const { dependencies = {}, optionalDependencies = {} } = locked
      const certain = Object.keys(dependencies).filter((own) => !(own in optionalDependencies))
      take(place, [...certain, ...needed], false)
      take(place, Object.keys(optionalDependencies), true)
    }
  }
  take('', names, false)
  return found
}

/** By place: which of these names bring it. What another of them brings is that one's alone. */
export function findBringers(
  lockfile: ReadonlyMap<string, LockedPackage>,
  names: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const bringers = new Map<string, readonly string[]>()
  const placeOf = (name: string) => `node_modules/${name}`
  for (const name of names) {
    const others = new Set(names.filter((other) => other !== name).map(placeOf))
    for (const place of findNeeded(lockfile, [name], others).keys())
      if (place !== placeOf(name)) bringers.set(place, [...(bringers.get(place) ?? []), name])
  }
  return bringers
}

/** As Node looks for a package: in the nearest node_modules upwards. */
function resolvePackage(
  lockfile: ReadonlyMap<string, LockedPackage>,
  from: string,
  name: string,
): string | undefined {
  for (let place = from; ; place = place.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const path = `${place === '' ? '' : `${place}/`}node_modules/${name}`
    if (lockfile.has(path)) return path
    if (place === '') return undefined
  }
}

export function nameOf(place: string): string {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)
}

export function readManifest(place: string): { readonly [key: string]: unknown } {
  return JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8'))
}

/** The bytes of a package's own files, as npm installs them; packages inside it count for themselves. */
export function measureBytes(place: string): number {
  return readdirSync(join(root, place), { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules')
    .map((entry) => {
      const path = `${place}/${entry.name}`
      return entry.isDirectory() ? measureBytes(path) : lstatSync(join(root, path)).size
    })
    .reduce((sum, bytes) => sum + bytes, 0)
}
