/** What the lockfile has for production and for traces, found without npm. */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const readJson = (path: string) =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8'))
const { packages }: { packages: { [path: string]: Locked } } = readJson('package-lock.json')

export interface Locked {
  readonly name?: string
  readonly version: string
  readonly integrity?: string
  readonly hasInstallScript?: true
  readonly dependencies?: { readonly [name: string]: string }
  readonly optionalDependencies?: { readonly [name: string]: string }
  readonly peerDependencies?: { readonly [name: string]: string }
  readonly peerDependenciesMeta?: { readonly [name: string]: { readonly optional?: boolean } }
}

/** By path, such as `node_modules/pino`: all that the dependencies lead to, and the peers, which traces need. */
export function findProductionPackages(): ReadonlyMap<string, Locked> {
  const found = new Map<string, Locked>()
  const waiting = Object.keys(readJson('package.json').peerDependencies).map((name) => ['', name])
  const take = (path: string, { dependencies, optionalDependencies, ...peers }: Locked) => {
    const needed = Object.keys(peers.peerDependencies ?? {}).filter(
      (name) => peers.peerDependenciesMeta?.[name]?.optional !== true,
    )
    for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...needed])
      waiting.push([path, name])
  }
  take('', packages[''] as Locked)
  for (const [from = '', name = ''] of waiting) {
    const path = resolveLocked(from, name)
    if (found.has(path)) continue
    const locked = packages[path] as Locked
    found.set(path, locked)
    take(path, locked)
  }
  return found
}

/** As Node looks for a package: in the nearest node_modules upwards. */
function resolveLocked(from: string, name: string): string {
  for (let place = from; ; place = place.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const path = `${place === '' ? '' : `${place}/`}node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (place === '') throw new Error(`${name}, needed by ${from}, is not in the lockfile`)
  }
}

/** The package's name at a path of node_modules. */
export function packageName(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
}
