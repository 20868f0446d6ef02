import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  AlteredModule,
  canRunGo,
  goModuleDirectory,
  installGoCommand,
} from '../support/go-tools.ts'
import { kubernetes } from '../support/kube-sources.ts'

const pinned = {
  module: 'module.example/tool',
  path: 'cmd/tool',
  version: 'v1.0.0',
  sum: 'h1:own=',
}

/** A stand-in for Go: its module has the sum `h1:own=`, and each build of it leaves a line. */
async function writeFakeGo(t: ExecutionContext) {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-kit-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const log = join(directory, 'builds')
  const go = join(directory, 'go')
  const script = [
    '#!/bin/sh',
    `if [ "$1" = mod ]; then echo '{"Dir":"/somewhere","Sum":"h1:own="}'; exit; fi`,
    `echo "$2" >> ${log}; sleep 0.3; : > "$GOBIN/tool"`,
  ]
  await writeFile(go, script.join('\n'), { mode: 0o755 })
  const target = join(directory, 'cache/tool')
  return { go, target, builds: () => readFileSync(log, 'utf8'), cache: dirname(target) }
}

test('two that want the same command at once build it once, and leave nothing beside it', async (t) => {
  const { go, target, builds, cache } = await writeFakeGo(t)
  const said: string[] = []
  const install = () => installGoCommand(pinned, target, (message) => said.push(message), go)
  t.deepEqual(await Promise.all([install(), install()]), [`${target}/tool`, `${target}/tool`])
  t.is(builds(), 'module.example/tool/cmd/tool@v1.0.0\n')
  t.deepEqual(await readdir(cache), ['tool'])
  t.true(
    said.some((message) => message.includes('waiting for')),
    said.join(),
  )
})

test('a lock whose holder is gone stops nobody', async (t) => {
  const { go, target, builds, cache } = await writeFakeGo(t)
  const gone = spawn('true', { stdio: 'ignore' })
  await new Promise((resolve) => gone.once('exit', resolve))
  await mkdir(cache)
  await writeFile(`${target}.lock`, String(gone.pid))
  await installGoCommand(pinned, target, () => {}, go)
  t.is(builds().split('\n').length, 2)
})

test('a command of other sources than were pinned is not built', async (t) => {
  const { go, target, builds } = await writeFakeGo(t)
  const other = { ...pinned, sum: 'h1:other=' }
  await t.throwsAsync(
    installGoCommand(other, target, () => {}, go),
    {
      instanceOf: AlteredModule,
      message: 'module.example/tool@v1.0.0 has the sum h1:own=, and h1:other= is pinned',
    },
  )
  t.throws(builds, { code: 'ENOENT' })
})

const withGo = canRunGo() ? test : test.skip

withGo('the real go: a module that cannot be had is named', async (t) => {
  await t.throwsAsync(goModuleDirectory('module.example/nothing', 'no-version', 'h1:'), {
    message: /^module\.example\/nothing@no-version cannot be had: ./,
  })
})

withGo('the real go: schemas with other bytes than were pinned are refused', async (t) => {
  const { module, version } = kubernetes['1.37']
  await t.throwsAsync(goModuleDirectory(module, version, 'h1:other='), {
    message: /^k8s\.io\/kubernetes@v1\.37\.2 has the sum h1:\S+, and h1:other= is pinned$/,
  })
})
