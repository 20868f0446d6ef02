/** `make image` and the release's shell scripts, with a docker that only notes what it is asked (docs/image.md). */

import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version, engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const digest = `sha256:${'ab'.repeat(32)}`
const directory = mkdtempSync(join(tmpdir(), 'meshbind-image-build-'))
test.after.always(() => rmSync(directory, { recursive: true, force: true }))

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A `docker` that notes what it is asked, and answers as it is told to. */
async function withDocker(answers: string, ...command: readonly [string, ...string[]]) {
  const place = mkdtempSync(join(directory, 'docker-'))
  const script = `#!/bin/sh\necho "$*" >> '${place}/asked'\ncase "$*" in\n${answers}\nesac\n`
  writeFileSync(join(place, 'docker'), script, { mode: 0o755 })
  const [program, ...args] = command
  const env = { PATH: `${place}:${process.env['PATH']}` }
  const ended = await new Promise<Ended>((resolve) => {
    const child = execFile(program, args, { cwd: root, env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
  const asked = readdirSync(place).includes('asked')
    ? readFileSync(join(place, 'asked'), 'utf8')
    : ''
  return { ...ended, asked }
}

const inspect = `"buildx imagetools inspect "*) echo ${digest} ;;`
const answering = (node: string) =>
  `"run "*" version "*) echo '{"version":"${version}","commit":"c0ffee0","node":"${node}"}' ;;`

test('make image builds on bases with digests, and tries what it built', async (t) => {
  const least = engines.node.slice(2)
  const made = await withDocker(`${inspect}\n${answering(least)}`, 'make', 'image', 'IMAGE=x:1')
  t.is(made.code, 0, made.stderr)
  const build = made.asked.split('\n').find((line) => line.startsWith('buildx build '))
  for (const words of [
    `--build-arg BUILD_BASE=node:24-trixie-slim@${digest} `,
    `nodejs24-debian13:nonroot@${digest} `,
    `--build-arg VERSION=${version} `,
    '--tag x:1 ',
  ])
    t.true(build?.includes(words), `${words}: ${build}`)
  t.regex(made.asked, /^run --rm --read-only --network none .* x:1 version --output json$/m)
})

test('make image without an engine, or without a digest, ends with what to do (contract §1: code 3)', async (t) => {
  const noEngine = await withDocker('version) exit 1 ;;', 'make', 'image')
  t.regex(noEngine.stderr, /needs Docker[\s\S]*Error 3/)
  t.false(noEngine.asked.includes('build'))
  const noDigest = await withDocker('buildx*) exit 1 ;;', 'make', 'image')
  t.regex(noDigest.stderr, /no digest for node:[\s\S]*BUILD_BASE=node:[\s\S]*Error 3/)
  t.false(noDigest.asked.includes('buildx build'))
})

test('a digest that is given is taken, and the registry is not asked (docs/image.md)', async (t) => {
  const given = ['BUILD_BASE=a.example/b', 'RUN_BASE=a.example/r'].map(
    (text) => `${text}@${digest}`,
  )
  const pinned = await withDocker(
    '*) exit 1 ;;',
    'env',
    ...given,
    'sh',
    '.github/release/pin-bases.sh',
  )
  t.is(pinned.stdout, given.map((text) => `--build-arg ${text}\n`).join(''))
  t.is(pinned.asked, '')
})

test('an image whose Node package.json does not allow is refused (engines)', async (t) => {
  const answer = (node: string) =>
    withDocker(answering(node), 'sh', '.github/release/try-image.sh', 'x:1')
  t.is((await answer('24.14.0')).code, 1)
  t.is((await answer('24.9.0')).code, 1)
  t.is((await answer('24.14.1')).code, 0)
  t.is((await answer('26.0.0')).code, 0)
  t.not((await withDocker('*) exit 125 ;;', 'sh', '.github/release/try-image.sh', 'x:1')).code, 0)
})
