/** `make sbom`: exactly what the lockfile has for run time, in two standard forms, with the same bytes each time. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { writeSboms } from '../.github/release/write-sbom.ts'
import { findNeeded, type LockedPackage, nameOf, readLockfile } from '../docs/locked-packages.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const needed = findNeeded(readLockfile(), Object.keys(manifest.dependencies))
const directory = mkdtempSync(join(tmpdir(), 'meshbind-sbom-test-'))
test.after.always(() => rmSync(directory, { recursive: true, force: true }))
test.before((t) => {
  t.timeout(60_000)
  writeSboms(root, directory, 1_700_000_000)
})

const read = (name: string) => readFileSync(join(directory, name), 'utf8')
const cyclonedx = () => JSON.parse(read('sbom.cdx.json'))
const spdx = () => JSON.parse(read('sbom.spdx.json'))

const unique = (texts: Iterable<string>) => [...new Set(texts)].toSorted()
const purl = (name: string, version: string) => `pkg:npm/${name.replace('@', '%40')}@${version}`
/** One line for each package: purl, licence, and SHA-512 as the lockfile has it. */
const describe = (place: string, { version, license, integrity }: LockedPackage) =>
  `${purl(nameOf(place), version)} ${license} ${integrity}`
const expected = unique([...needed].map(([place, locked]) => describe(place, locked)))
const own = purl(manifest.name, manifest.version)
const integrityOf = (hex: string) => `sha512-${Buffer.from(hex, 'hex').toString('base64')}`

test('CycloneDX names exactly the packages of run time, with licence and hash (lockfile)', (t) => {
  const { bomFormat, specVersion, metadata, components } = cyclonedx()
  t.is(bomFormat, 'CycloneDX')
  t.is(specVersion, '1.5')
  t.is(metadata.component.purl, own)
  t.is(metadata.component.name, 'meshbind')
  t.is(metadata.timestamp, '2023-11-14T22:13:20Z')
  const found = components.map((component: Component) => {
    const [hash] = component.hashes
    t.is(hash?.alg, 'SHA-512')
    const [licence] = component.licenses
    return `${component.purl} ${licence?.license.id} ${integrityOf(hash?.content ?? '')}`
  })
  t.deepEqual(found.toSorted(), expected)
})

interface Component {
  readonly purl: string
  readonly hashes: readonly { readonly alg: string; readonly content: string }[]
  readonly licenses: readonly { readonly license: { readonly id: string } }[]
}

test('CycloneDX’s graph leads from meshbind to every package, and nowhere else', (t) => {
  const { metadata, components, dependencies } = cyclonedx()
  const edges = new Map<string, readonly string[]>(
    dependencies.map(({ ref, dependsOn }: { ref: string; dependsOn: string[] }) => [
      ref,
      dependsOn,
    ]),
  )
  const reached = new Set<string>([metadata.component['bom-ref']])
  for (const ref of reached) for (const next of edges.get(ref) ?? []) reached.add(next)
  const all = [metadata.component, ...components].map((component) => component['bom-ref'])
  t.deepEqual(unique(reached), unique(all))
})

test('SPDX names the same packages, and the same of each (lockfile)', (t) => {
  const { spdxVersion, packages, creationInfo } = spdx()
  t.is(spdxVersion, 'SPDX-2.3')
  t.is(creationInfo.created, '2023-11-14T22:13:20Z')
  const [project, ...others] = packages
  t.is(project.externalRefs[0].referenceLocator, own)
  const found = others.map((entry: Entry) => {
    const [hash] = entry.checksums
    t.is(hash?.algorithm, 'SHA512')
    const [reference] = entry.externalRefs
    const integrity = integrityOf(hash?.checksumValue ?? '')
    return `${reference?.referenceLocator} ${entry.licenseDeclared} ${integrity}`
  })
  t.deepEqual(found.toSorted(), expected)
})

interface Entry {
  readonly licenseDeclared: string
  readonly checksums: readonly { readonly algorithm: string; readonly checksumValue: string }[]
  readonly externalRefs: readonly { readonly referenceLocator: string }[]
}

test('two runs write the same bytes; another time is another serial number (SOURCE_DATE_EPOCH)', (t) => {
  t.timeout(60_000)
  const before = ['sbom.cdx.json', 'sbom.spdx.json'].map(read)
  const { serialNumber } = cyclonedx()
  t.regex(serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/)
  writeSboms(root, join(directory, 'again'), 1_700_000_000)
  t.deepEqual(['again/sbom.cdx.json', 'again/sbom.spdx.json'].map(read), before)
  writeSboms(root, join(directory, 'later'), 1_700_000_001)
  t.not(JSON.parse(read('later/sbom.cdx.json')).serialNumber, serialNumber)
})

test('neither names the host of a registry, nor a path of this machine', (t) => {
  for (const name of ['sbom.cdx.json', 'sbom.spdx.json']) {
    const hosts = [...read(name).matchAll(/\w+:\/\/([^/"]+)/g)].map(([, host = '']) => host)
    for (const host of hosts) t.true(['cyclonedx.org', 'spdx.org'].includes(host), host)
    t.false(read(name).includes(tmpdir()))
    t.false(read(name).includes(root))
  }
})
