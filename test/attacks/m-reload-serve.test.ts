/**
 * Attack group M, 218, 230, 231, 232 and a manifest as the policy file, on a running server: whatever becomes of the
 * file, checks go on under the last good policy, the alarm says so, and recovery needs no hand.
 *
 * 232 at the start is held by test/cli/serve.test.ts (code 2, nothing listens) and for a broken denylist by
 * test/service/reload.test.ts; the catalogue's "not ready, all deny" is what Envoy's own failure mode makes of it.
 */

import { execFile, spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type CheckClient, createCheckClient, metadataOf } from '../support/check-client.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'

const issuer = await createTestIssuer()

const numbered = (n: number) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://a.example], keys: { file: jwks.json } }
  routes:
    - { name: rest-${n}, require: { issuers: [corp], bindings: [jwk] } }
`
const manifestOf = (policy: string) => `apiVersion: v1
kind: ConfigMap
metadata: { name: meshbind }
data:
  policy.yaml: |
${policy.replaceAll(/^(?=.)/gm, '    ')}`

interface Rig {
  readonly meshbind: RunningMeshbind
  readonly path: string
  readonly directory: string
  route(): Promise<string>
  page(path: '/readyz' | '/metrics'): Promise<string>
  /** Replaces the policy at once. */
  put(text: string): Promise<void>
  untilRoute(route: string): Promise<void>
}

async function start(t: ExecutionContext, policy = numbered(0)): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-attack-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'policy.yaml')
  await writeFile(path, policy)
  await writeFile(join(directory, 'jwks.json'), JSON.stringify(issuer.jwks))
  const meshbind = await startMeshbind([
    ...['--policy', path, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
    ...['--deadline', '5s'],
  ])
  t.teardown(() => meshbind.stop())
  const client: CheckClient = createCheckClient(meshbind.port)
  t.teardown(() => client.close())
  const admin = meshbind.lines.find(({ message }) => message === 'listening')?.['admin']
  const route = async () =>
    metadataOf(await client.ask(encodeCheckRequest({ path: '/x' })), 'route') ?? ''
  return {
    meshbind,
    path,
    directory,
    route,
    page: async (path) => (await fetch(`http://${admin}${path}`)).text(),
    async put(text) {
      await writeFile(`${path}.new`, text)
      await rename(`${path}.new`, path)
    },
    async untilRoute(wanted) {
      while ((await route()) !== wanted) await sleep(10)
    },
  }
}

const notCurrent = /^meshbind_file_current\{kind="policy"[^}]*\} 0$/m
/** As a line of /etc/shadow is: in YAML it is a key. */
const secret = 'root:$6$c2VjcmV0$hash:20000:0:99999:7:::'

const broken: {
  readonly [what: string]: readonly [make: (path: string) => Promise<unknown>, said: RegExp]
} = {
  'goes away': [async () => {}, /there is no such file/],
  'becomes a FIFO': [(path) => promisify(execFile)('mkfifo', [path]), /is not a regular file/],
  'becomes a directory': [(path) => mkdir(path), /is not a regular file/],
  'becomes a link to /dev/zero': [(path) => symlink('/dev/zero', path), /is not a regular file/],
  'becomes a link to itself': [(path) => symlink(path, path), /is a loop of symbolic links/],
  'becomes a link to nothing': [(path) => symlink('nowhere', path), /there is no such file/],
  'grows to 100 MB': [
    (path) => writeFile(path, '').then(() => truncate(path, 1e8)),
    /is over 4194304 bytes/,
  ],
  'becomes a link to a file of secrets': [
    (path) => writeFile(`${path}.shadow`, secret).then(() => symlink(`${path}.shadow`, path)),
    /the policy on disk is not valid/,
  ],
}

test.serial(
  'M230, M231: whatever the policy file becomes, the last good one serves, the alarm rings, and it heals',
  async (t) => {
    const { meshbind, path, route, page, put, untilRoute } = await start(t)
    let n = 0
    for (const [what, [make, said]] of Object.entries(broken)) {
      await rm(path)
      await make(path)
      while (!said.test(JSON.parse(await page('/readyz')).policy.problem ?? '')) await sleep(20)
      t.is(await route(), `rest-${n}`, what)
      t.regex(await page('/metrics'), notCurrent, what)
      await rm(path, { recursive: true, force: true })
      await put(numbered(++n))
      await untilRoute(`rest-${n}`)
      while (JSON.parse(await page('/readyz')).policy.problem !== null) await sleep(20)
      t.notRegex(await page('/metrics'), notCurrent, what)
    }
    t.false(meshbind.output().includes('c2VjcmV0'), 'the text of the file stays out of the log')
    t.false(meshbind.output().includes('a check failed'))
  },
)

/** Root may read everything, so the keeper runs as nobody; its report comes line by line. */
const keeperScript = `
import { keepPolicy } from ${JSON.stringify(new URL('../../src/service/policy-keeper.ts', import.meta.url).href)}
const ignore = () => {}
const keeper = await keepPolicy({
  file: process.argv[1], clock: () => 0, onFetch: ignore, onBundle: ignore, onDenylist: ignore,
  onStatusList: ignore, onWarning: ignore, onSwap: ignore,
  onReload: (result, live, problems) =>
    console.log(result, live.policy.routes[0].name, problems.map(({ message }) => message).join()),
})
console.log('started')
setInterval(ignore, 1000)
`

test.serial(
  'M230: a policy that this user may not read any more is told, kept, and taken again',
  async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'meshbind-attack-'))
    t.teardown(() => rm(directory, { recursive: true, force: true }))
    await chmod(directory, 0o755)
    const path = join(directory, 'policy.yaml')
    await writeFile(path, numbered(0), { mode: 0o644 })
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
    const child = spawn(process.execPath, ['--input-type=module', '-e', keeperScript, path], {
      ...nobody,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    t.teardown(async () => {
      child.kill('SIGKILL')
      await ended
    })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    const said = async (text: string) => {
      while (!output.includes(text) && child.exitCode === null) await sleep(10)
      t.true(output.includes(text), output)
    }
    await said('started')
    await chmod(path, 0o000)
    await said(`unreadable rest-0 ${path}: may not be read by this user`)
    await writeFile(`${path}.new`, numbered(1), { mode: 0o644 })
    await rename(`${path}.new`, path)
    await said('ok rest-1')
  },
)

test.serial(
  'M218, M230: bombs and a megabyte of anything are refused by a running server, and checks go on',
  async (t) => {
    const { route, put, page, untilRoute, meshbind } = await start(t)
    const level = (i: number) => `l${i}: &l${i} [${Array(9).fill(i === 0 ? 'x' : `*l${i - 1}`)}]\n`
    const bombs = {
      aliases: numbered(1) + Array.from({ length: 9 }, (_, i) => level(i)).join(''),
      'a deep nest': `a: ${'['.repeat(100_000)}`,
      'a megabyte of keys': Array.from({ length: 80_000 }, (_, i) => `key${i}: 1\n`).join(''),
      'over a megabyte': `${numbered(1)}#${'x'.repeat(1024 * 1024)}`,
    }
    for (const [what, text] of Object.entries(bombs)) {
      const before = meshbind.lines.filter(({ result }) => result === 'invalid').length
      await put(text)
      const refused = () =>
        meshbind.lines.filter(({ result }) => result === 'invalid').length > before
      let longestMs = 0
      while (!refused()) {
        const asked = performance.now()
        t.is(await route(), 'rest-0', what)
        longestMs = Math.max(longestMs, performance.now() - asked)
      }
      t.log(`${what}: the longest check took ${Math.round(longestMs)} ms`)
    }
    t.regex(await page('/metrics'), notCurrent)
    await put(numbered(2))
    await untilRoute('rest-2')
  },
)

test.serial(
  'policy.md: a ConfigMap manifest is a policy file: its revision is the policy’s own, and it is followed',
  async (t) => {
    const { meshbind, page, put, untilRoute, route } = await start(t, manifestOf(numbered(0)))
    const revision = async () => JSON.parse(await page('/readyz')).policy.revision
    const inManifest = await revision()
    await put(numbered(1))
    await untilRoute('rest-1')
    await put(numbered(0))
    await untilRoute('rest-0')
    t.is(await revision(), inManifest)

    await put(manifestOf(numbered(2).replace('routes:', 'route:')))
    const line = await meshbind.waitFor(({ message }) =>
      /unknown key `route`/.test(String(message)),
    )
    t.is(line['line'], 13, 'of the manifest')
    t.is(line['column'], 7)
    t.is(await route(), 'rest-0')
    await put(`${manifestOf(numbered(3))}---\n${manifestOf(numbered(4))}`)
    await meshbind.waitFor(({ message }) => /more than one policy/.test(String(message)))
    t.is(await route(), 'rest-0')
    await put(manifestOf(numbered(5)))
    await untilRoute('rest-5')
  },
)
