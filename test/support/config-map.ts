/** A ConfigMap as kubelet mounts it: files are links through `..data`, which is swapped by one rename. */

import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ConfigMap {
  readonly directory: string
  path(name: string): string
  /** All files at once, as kubelet does it; those of before are deleted. */
  swap(files: { readonly [name: string]: string }): Promise<void>
  remove(): Promise<void>
}

export async function mountConfigMap(files: {
  readonly [name: string]: string
}): Promise<ConfigMap> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-configmap-'))
  let generation = 0
  let before: string | undefined

  async function swap(next: { readonly [name: string]: string }): Promise<void> {
    const data = `..2026_11_23_${++generation}`
    await mkdir(join(directory, data))
    for (const [name, text] of Object.entries(next))
      await writeFile(join(directory, data, name), text)
    await symlink(data, join(directory, '..data_tmp'))
    await rename(join(directory, '..data_tmp'), join(directory, '..data'))
    if (before !== undefined) await rm(join(directory, before), { recursive: true })
    before = data
  }

  await swap(files)
  for (const name of Object.keys(files)) await symlink(join('..data', name), join(directory, name))
  return {
    directory,
    path: (name) => join(directory, name),
    swap,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
