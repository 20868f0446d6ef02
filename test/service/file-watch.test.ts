/** Following a file: each content once and whole, whatever happens to the file (policy.md; threats M230, M231). */

import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type FileWatch, watchFile } from '../../src/service/file-watch.ts'
import { mountConfigMap } from '../support/config-map.ts'

interface Seen {
  readonly watch: FileWatch
  readonly texts: readonly string[]
  readonly troubles: readonly (string | undefined)[]
  until(fits: () => boolean): Promise<void>
}

function follow(t: ExecutionContext, path: string, maxBytes = 1000): Seen {
  const texts: string[] = []
  const troubles: (string | undefined)[] = []
  const watch = watchFile({
    path,
    maxBytes,
    onContent: (text) => void texts.push(text),
    onTrouble: (problem) => void troubles.push(problem),
  })
  t.teardown(() => watch.close())
  const until = async (fits: () => boolean) => {
    while (!fits()) await sleep(10)
  }
  return { watch, texts, troubles, until }
}

test('each content is told once, in order, through swaps of `..data` (kubelet, AtomicWriter)', async (t) => {
  const map = await mountConfigMap({ file: 'a' })
  t.teardown(() => map.remove())
  const { watch, texts, until } = follow(t, map.path('file'))
  await watch.tried
  for (const text of ['b', 'b', 'c', 'a']) {
    await map.swap({ file: text })
    await until(() => texts.at(-1) === text)
  }
  t.deepEqual(texts, ['a', 'b', 'c', 'a'])
})

test('a file that is written in place is told as it is in the end', async (t) => {
  const map = await mountConfigMap({ file: 'x' })
  t.teardown(() => map.remove())
  const path = join(map.directory, 'plain')
  await writeFile(path, 'start')
  const { watch, texts, until } = follow(t, path)
  await watch.tried
  const parts = ['one ', 'two ', 'three']
  await truncate(path)
  for (const [i] of parts.entries()) await writeFile(path, parts.slice(0, i + 1).join(''))
  await until(() => texts.at(-1) === 'one two three')
  t.is(texts[0], 'start')
})

test('a storm of swaps does not keep the newest content away (threats F8)', async (t) => {
  const map = await mountConfigMap({ file: '0' })
  t.teardown(() => map.remove())
  const { watch, texts, until } = follow(t, map.path('file'))
  await watch.tried
  let stormy = true
  const storm = (async () => {
    for (let i = 1; stormy; i++) {
      await map.swap({ file: String(i) })
      await sleep(10)
    }
  })()
  await until(() => texts.length > 3)
  stormy = false
  await storm
  await map.swap({ file: 'calm' })
  await until(() => texts.at(-1) === 'calm')
  t.deepEqual(
    texts.slice(0, -1),
    texts.slice(0, -1).toSorted((a, b) => Number(a) - Number(b)),
  )
})

const breakages: readonly (readonly [
  what: string,
  make: (path: string) => Promise<unknown>,
  said: RegExp,
])[] = [
  ['deleted', async () => {}, /there is no such file/],
  ['a directory', (path) => mkdir(path), /is not a regular file/],
  ['a link to a device', (path) => symlink('/dev/zero', path), /is not a regular file/],
  ['a link to itself', (path) => symlink(path, path), /is a loop of symbolic links/],
  ['a link to nothing', (path) => symlink('nothing', path), /there is no such file/],
  ['over the size', (path) => writeFile(path, 'x'.repeat(1001)), /is over 1000 bytes/],
]

for (const [what, make, said] of breakages) {
  test(`threats M230, M231: a file that becomes ${what} is told as trouble, once, and heals by itself`, async (t) => {
    const map = await mountConfigMap({ file: 'x' })
    t.teardown(() => map.remove())
    const path = join(map.directory, 'plain')
    await writeFile(path, 'good')
    const { watch, texts, troubles, until } = follow(t, path)
    await watch.tried
    await rm(path)
    await make(path)
    await until(() => troubles.some((problem) => problem !== undefined && said.test(problem)))
    t.deepEqual(texts, ['good'])
    await rm(path, { recursive: true, force: true })
    await writeFile(`${path}.new`, 'good')
    await rename(`${path}.new`, path)
    await until(() => troubles.at(-1) === undefined)
    await writeFile(path, 'better')
    await until(() => texts.at(-1) === 'better')
    t.deepEqual(texts, ['good', 'better'])
    t.is(troubles.filter((problem) => problem !== undefined && said.test(problem)).length, 1)
  })
}

test('a directory that is taken away and comes back is followed again', async (t) => {
  const map = await mountConfigMap({ file: 'x' })
  t.teardown(() => map.remove())
  const directory = join(map.directory, 'mount')
  await mkdir(directory)
  await writeFile(join(directory, 'file'), 'before')
  const { watch, texts, troubles, until } = follow(t, join(directory, 'file'))
  await watch.tried
  await rm(directory, { recursive: true })
  await until(() => troubles.length === 1)
  await mkdir(directory)
  await writeFile(join(directory, 'file'), 'after')
  await until(() => texts.at(-1) === 'after')
  t.pass()
})

test('nothing is told once it is closed', async (t) => {
  const map = await mountConfigMap({ file: 'a' })
  t.teardown(() => map.remove())
  const { watch, texts } = follow(t, map.path('file'))
  await watch.tried
  watch.close()
  await map.swap({ file: 'b' })
  await sleep(1500)
  t.deepEqual(texts, ['a'])
})
