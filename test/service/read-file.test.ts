import { execFile } from 'node:child_process'
import { appendFile, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { readBoundedFile } from '../../src/service/read-file.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'meshbind-read-'))
test.after.always(() => rm(directory, { recursive: true, force: true }))
const at = (name: string) => join(directory, name)

/** Each entry that is no file to be read: how it comes about, and what is said of it. */
const broken: {
  readonly [name: string]: readonly [make: (path: string) => Promise<unknown>, message: string]
} = {
  fifo: [(path) => promisify(execFile)('mkfifo', [path]), 'is not a regular file'],
  directory: [(path) => mkdir(path), 'is not a regular file'],
  'link-to-zero': [(path) => symlink('/dev/zero', path), 'is not a regular file'],
  'link-to-null': [(path) => symlink('/dev/null', path), 'is not a regular file'],
  loop: [(path) => symlink(path, path), 'is a loop of symbolic links'],
  dangling: [(path) => symlink(at('nowhere'), path), 'there is no such file'],
  missing: [async () => {}, 'there is no such file'],
  large: [(path) => writeFile(path, 'x'.repeat(101)), 'is over 100 bytes'],
  sparse: [(path) => writeFile(path, '').then(() => truncate(path, 2 ** 40)), 'is over 100 bytes'],
}

for (const [name, [make, message]] of Object.entries(broken)) {
  test(`M230: ${name}: an error that names the file and what is wrong with it, and no waiting`, async (t) => {
    await make(at(name))
    await t.throwsAsync(readBoundedFile(at(name), 100), { message: `${at(name)}: ${message}` })
  })
  test(`M230: ${name} as a policy ends the command with exit code 2`, async (t) => {
    const path = at(`${name}-policy`)
    await make(path)
    const options = { timeout: 30_000, killSignal: 'SIGKILL' as const }
    const failure = await t.throwsAsync<Error & { code: number; stderr: string; stdout: string }>(
      promisify(execFile)(process.execPath, [main, 'policy', 'validate', path], options),
    )
    t.is(failure?.code, 2)
    if (name === 'large') t.regex(failure?.stdout ?? '', /^INVALID/m)
    else
      t.regex(failure?.stderr ?? '', new RegExp(`^${path}: (${message}|is over 4194304 bytes)\n$`))
  })
}

test('M230: a socket is no file', async (t) => {
  const server = createServer().listen(at('socket'))
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  await t.throwsAsync(readBoundedFile(at('socket'), 100), { message: /^.*socket: \S/ })
})

test('M230: the bound is exact, and an empty file is empty', async (t) => {
  await writeFile(at('full'), 'x'.repeat(100))
  t.is((await readBoundedFile(at('full'), 100)).toString(), 'x'.repeat(100))
  await writeFile(at('empty'), '')
  t.is((await readBoundedFile(at('empty'), 100)).length, 0)
  await appendFile(at('full'), 'y')
  await t.throwsAsync(readBoundedFile(at('full'), 100), { message: /is over 100 bytes$/ })
})

test('M230: a symbolic link to a regular file is read, as kubelet’s ..data links are', async (t) => {
  await writeFile(at('target'), 'text')
  await symlink(at('target'), at('link'))
  t.is((await readBoundedFile(at('link'), 100)).toString(), 'text')
})

test('M230: a path below a file, and one with a NUL, are errors that name the reason', async (t) => {
  await writeFile(at('plain'), '')
  await t.throwsAsync(readBoundedFile(at('plain/below'), 100), { message: /: ENOTDIR$/ })
  await t.throwsAsync(readBoundedFile(`${at('plain')}\0`, 100))
})
