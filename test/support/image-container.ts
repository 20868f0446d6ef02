/** An image's files run as a container runs them: own root, read-only; own network, loopback alone; no privileges. */

import { execFile, execFileSync, spawn } from 'node:child_process'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { end, endWithThisProcess } from './envoy.ts'
import type { Image } from './image.ts'
import type { LogLine } from './meshbind.ts'

const run = promisify(execFile)
const startLimitMs = 60_000

/** Whether the kernel lets this user do it; under CI=true that it does not is a failure. */
export function canRunContainer(): boolean {
  try {
    const tools = 'ip link set lo up && command -v nsenter && command -v setpriv'
    execFileSync('unshare', ['--mount', '--net', 'sh', '-c', tools], { stdio: 'pipe' })
    return true
  } catch (error) {
    const why = error instanceof Error ? error.message.trim() : String(error)
    const message = `a container needs Linux, root, util-linux and iproute2: ${why}`
    if (process.env['CI'] === 'true') throw new Error(message)
    process.stderr.write(`SKIPPED: ${message}\n`)
    return false
  }
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Container {
  readonly pid: number
  output(): string
  /** The first log line with that message. */
  waitFor(message: string): Promise<LogLine>
  /** Another process of the same image beside the first, as `docker exec` starts one. */
  execute(...command: readonly string[]): Promise<Ended>
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
}

/**
 * What a container engine does, by hand. Every program hands over to the next, so that the last is the process that
 * gets the signals. Capabilities go with the user id, and no_new_privs keeps them away.
 */
const script = `
set -e
ip link set lo up
mount --bind "$ROOT" "$ROOT"
mount --rbind /proc "$ROOT/proc"
mount --bind "$NODE" "$ROOT/nodejs/bin/node"
mount --bind "$MOUNTED" "$ROOT/etc/meshbind"
mount -o remount,bind,ro "$ROOT/etc/meshbind"
mount -o remount,bind,ro "$ROOT"
exec setpriv --no-new-privs --clear-groups env -i "$@"
`
const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** @param mounted A directory that the container sees as /etc/meshbind. */
export async function startContainer(
  image: Image,
  mounted: string,
  environment: { readonly [name: string]: string },
): Promise<Container> {
  const { root, workdir, entrypoint, command } = image
  await furnish(root)
  const user = [
    '--setgid',
    image.user.split(':')[1] ?? '',
    '--setuid',
    image.user.split(':')[0] ?? '',
  ]
  const variables = Object.entries({ ...image.environment, ...environment })
  const cleared = [searchPath, ...variables.map(([name, value]) => `${name}=${value}`)]
  const inside = ['unshare', `--root=${root}`, `--wd=${workdir}`, ...user]
  const child = spawn(
    'unshare',
    [
      '--mount',
      '--net',
      'sh',
      '-c',
      script,
      'sh',
      ...cleared,
      ...inside,
      ...entrypoint,
      ...command,
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ROOT: root, NODE: process.execPath, MOUNTED: mounted },
    },
  )
  endWithThisProcess(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  const pid = child.pid ?? 0
  return {
    pid,
    output: () => output,
    async waitFor(message) {
      const limit = performance.now() + startLimitMs
      for (;;) {
        const line = output.split('\n').find((text) => text.includes(`"message":"${message}"`))
        if (line !== undefined) return JSON.parse(line)
        if (child.exitCode !== null || performance.now() > limit)
          throw new Error(`the container did not say ${message}:\n${output}`)
        await sleep(20)
      }
    },
    async execute(...words) {
      const into = ['--target', `${pid}`, '--mount', '--net', '--root', '--wd', ...user]
      const options = { env: { PATH: process.env['PATH'] }, timeout: startLimitMs }
      const all = ['-i', ...cleared, 'nsenter', ...into, '--', ...words]
      return run('env', all, options).then(
        (ended) => ({ code: 0, ...ended }),
        ({ code, stdout, stderr }: Ended) => ({ code, stdout, stderr }),
      )
    },
    stop: () => end(child, 15_000),
  }
}

/** What the base brings: a Node and the libraries that it is linked with. No shell, and no other program. */
async function furnish(root: string): Promise<void> {
  for (const directory of ['proc', 'etc/meshbind', 'nodejs/bin'])
    await mkdir(join(root, directory), { recursive: true })
  await writeFile(join(root, 'nodejs/bin/node'), '')
  const { stdout } = await run('ldd', [process.execPath])
  for (const [path] of stdout.matchAll(/\/\S+/g)) {
    const target = join(root, path)
    await mkdir(dirname(target), { recursive: true })
    await copyFile(path, target)
  }
}
