/** What comes into the project from elsewhere: hashes, licences, install scripts, reasons, pins (docs/supply-chain.md). */

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parse } from 'yaml'
import * as list from '../docs/dependency-list.ts'
import {
  findBringers,
  findNeeded,
  nameOf,
  readLockfile,
  readManifest,
} from '../docs/locked-packages.ts'
import { findProductionPackages } from './support/image-packages.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const manifest = JSON.parse(read('package.json'))
const lockfile = readLockfile()
const shipped = findProductionPackages()
const named = (names: Iterable<string>) => [...names].toSorted()

test('every package of the lockfile is pinned by a SHA-512, and the lockfile names no registry', (t) => {
  t.true(lockfile.size > 100)
  for (const [place, { integrity, resolved }] of lockfile) {
    t.regex(integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, place)
    t.is(resolved, undefined, place)
  }
  t.regex(read('.npmrc'), /^omit-lockfile-registry-resolved=true$/m)
  t.false(read('package-lock.json').includes('://registry.'))
})

test('package.json names exact versions, the ones of the lockfile', (t) => {
  const { dependencies, devDependencies, peerDependencies } = manifest
  for (const wanted of [dependencies, devDependencies, peerDependencies])
    for (const [name, version] of Object.entries(wanted))
      t.is(version, lockfile.get(`node_modules/${name}`)?.version, name)
})

test('every dependency has its reason, and every reason its dependency (docs/dependency-list.ts)', (t) => {
  const { dependencies, devDependencies, peerDependencies } = manifest
  t.deepEqual(named(Object.keys(list.runtimeDependencies)), named(Object.keys(dependencies)))
  t.deepEqual(named(Object.keys(list.optionalPeers)), named(Object.keys(peerDependencies)))
  t.deepEqual(
    named([...Object.keys(list.developmentTools), ...Object.keys(list.optionalPeers)]),
    named(Object.keys(devDependencies)),
  )
  for (const peer of Object.keys(peerDependencies))
    t.true(manifest.peerDependenciesMeta[peer]?.optional, `${peer} is not optional`)
})

test('a last release is a day before the metadata was asked for it (docs/dependency-list.ts)', (t) => {
  const dated = { ...list.runtimeDependencies, ...list.optionalPeers }
  for (const [name, { lastRelease, why }] of Object.entries(dated)) {
    t.is(new Date(lastRelease).toISOString().slice(0, 10), lastRelease, name)
    t.true(lastRelease <= list.askedOn, name)
    t.regex(why, /\.$/, name)
  }
})

test('what is counted as needed at run time is what npm counts so (lockfile, `dev`)', (t) => {
  const counted = findNeeded(lockfile, Object.keys(manifest.dependencies))
  const kept = [...lockfile].filter(([, { dev }]) => dev !== true).map(([place]) => place)
  t.deepEqual(named(counted.keys()), named(kept))
})

test('every package that is brought has one that brings it, and a direct one answers for its own (docs/dependencies.md)', (t) => {
  const direct = Object.keys(manifest.dependencies)
  const brought = findBringers(lockfile, direct)
  const places = direct.map((name) => `node_modules/${name}`)
  t.deepEqual(named([...places, ...brought.keys()]), named(findNeeded(lockfile, direct).keys()))
  const small = {
    'node_modules/a': { version: '1.0.0', dependencies: { b: '1', c: '1' } },
    'node_modules/b': { version: '1.0.0', dependencies: { c: '2', d: '1' } },
    'node_modules/b/node_modules/c': { version: '2.0.0' },
    'node_modules/c': { version: '1.0.0' },
    'node_modules/d': { version: '1.0.0', dependencies: { c: '1' } },
  }
  t.deepEqual(Object.fromEntries(findBringers(new Map(Object.entries(small)), ['a', 'b'])), {
    'node_modules/b/node_modules/c': ['b'],
    'node_modules/c': ['a', 'b'],
    'node_modules/d': ['b'],
  })
})

test('what is shipped is under an allowed licence, as its own manifest and the lockfile say', (t) => {
  const found = new Set<string>()
  for (const place of shipped.keys()) {
    const { license, version } = readManifest(place)
    t.is(license, lockfile.get(place)?.license, place)
    t.is(version, lockfile.get(place)?.version, place)
    t.true(list.allowedLicences.includes(String(license)), `${place} is under ${license}`)
    found.add(String(license))
  }
  t.deepEqual(named(found), named(list.allowedLicences), 'a licence that nothing needs')
})

test('what is shipped brings the text of its licence, but for one that names it alone', (t) => {
  const without = [...shipped.keys()].filter(
    (place) => !readdirSync(join(root, place)).some((name) => /^(licen[cs]e|copying)/i.test(name)),
  )
  t.deepEqual(without.map(nameOf), ['@redis/client'])
})

test('install scripts are those that were read, and none of run time runs (package.json, allowScripts)', (t) => {
  const scripted = [...lockfile].filter(([, { hasInstallScript }]) => hasInstallScript)
  t.deepEqual(
    named(scripted.map(([place]) => nameOf(place))),
    named(Object.keys(list.installScripts)),
  )
  t.deepEqual(named(Object.keys(manifest.allowScripts)), named(Object.keys(list.installScripts)))
  for (const [place, { dev }] of scripted)
    t.is(
      manifest.allowScripts[nameOf(place)],
      dev === true,
      `${place} of ${dev ? 'dev' : 'run time'}`,
    )
})

interface Scripted {
  readonly version: string
  readonly scripts: { readonly [event: string]: string }
}

test('no install script has changed since it was read (docs/dependency-list.ts, sha256)', (t) => {
  for (const [name, { files, sha256 }] of Object.entries(list.installScripts)) {
    const { version, scripts } = readManifest(`node_modules/${name}`) as unknown as Scripted
    const text = files.map((file) => read(join('node_modules', name, file))).join('')
    // Which version it is may change: what it does may not.
    const settled = text.replaceAll(version, 'VERSION')
    t.is(createHash('sha256').update(settled).digest('hex'), sha256, name)
    const ran = ['preinstall', 'install', 'postinstall'].flatMap((event) => scripts[event] ?? [])
    t.is(ran.length, 1, name)
    t.regex(files[0] ?? '', new RegExp(`^${ran[0]?.replace(/^node /, '')}(\\.js)?$`), name)
  }
})

test('meshbind itself has no script that runs where it is installed (npm, life cycle scripts)', (t) => {
  for (const event of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'])
    t.is(manifest.scripts[event], undefined, event)
})

test('every action is pinned to a commit, one for each version (docs/releasing.md)', (t) => {
  const pins = new Map<string, string>()
  for (const name of readdirSync(join(root, '.github/workflows')))
    for (const [, action = '', commit = '', version = ''] of read(
      `.github/workflows/${name}`,
    ).matchAll(/uses: (\S+)@(\S+)(.*)$/gm)) {
      t.regex(commit, /^[0-9a-f]{40}$/, `${name}: ${action}`)
      t.regex(version, /^ # v\d+\.\d+\.\d+$/, `${name}: ${action}`)
      // A repository may hold several actions: all of them at one commit.
      const repository = action.split('/', 2).join('/')
      const pin = `${commit}${version}`
      t.is(pins.get(repository) ?? pin, pin, `${name}: ${action}`)
      pins.set(repository, pin)
    }
  t.true(pins.size > 0)
})

interface Form {
  readonly name?: string
  readonly description?: string
  readonly body: readonly {
    readonly type: string
    readonly id?: string
    readonly attributes: { readonly label?: string; readonly value?: string }
  }[]
}

test('an issue form is one that GitHub shows, asks for what an answer needs, and sends vulnerabilities elsewhere (SECURITY.md)', (t) => {
  // GitHub leaves out a form that is not right, and says so nowhere.
  const { name, description, body } = parse(read('.github/ISSUE_TEMPLATE/problem.yml')) as Form
  t.truthy(name && description)
  const [first, ...fields] = body
  t.is(first?.type, 'markdown')
  t.regex(first?.attributes.value ?? '', /SECURITY\.md/)
  for (const { type, attributes } of fields) {
    t.true(['input', 'textarea'].includes(type), type)
    t.truthy(attributes.label)
  }
  const asked = fields.map(({ id }) => id)
  t.deepEqual(asked, ['what', 'version', 'doctor', 'log', 'policy', 'envoy'])
  t.false(parse(read('.github/ISSUE_TEMPLATE/config.yml')).blank_issues_enabled)
})

test('updates are looked for where there is something to update, a week late (.github/dependabot.yml)', (t) => {
  const { updates } = parse(read('.github/dependabot.yml')) as {
    updates: {
      [key: string]: unknown
      directory: string
      ignore?: { 'dependency-name': string }[]
    }[]
  }
  const places: { readonly [ecosystem: string]: string } = {
    npm: 'package.json',
    'github-actions': '.github/workflows',
    pip: 'envoy-requirements.txt',
  }
  t.deepEqual(
    named(updates.map((update) => String(update['package-ecosystem']))),
    named(Object.keys(places)),
  )
  for (const { directory, cooldown, 'package-ecosystem': ecosystem, ignore = [] } of updates) {
    t.true(existsSync(join(root, directory, places[String(ecosystem)] ?? '')), String(ecosystem))
    t.deepEqual(cooldown, { 'default-days': 7 })
    for (const { 'dependency-name': name } of ignore)
      t.true(lockfile.has(`node_modules/${name}`), name)
  }
})
