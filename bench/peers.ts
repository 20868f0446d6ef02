/**
 * Other authorization servers, measured beside meshbind where their binaries are given: OPA-Envoy (`OPA_ENVOY_BIN`) and
 * Authorino (`AUTHORINO_BIN`, with kubectl and a Kubernetes API that has its AuthConfig). bench/peers/ has their policies.
 */

import { execFile, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { end, endWithThisProcess } from '../test/support/envoy.ts'
import type { IssuerKeys } from './policy.ts'

export type PeerName = 'opa' | 'authorino'

export interface Peer {
  readonly name: PeerName
  readonly port: number
  readonly pid: number
  stop(): Promise<unknown>
}

export interface Peers {
  readonly running: readonly Peer[]
  /** A line for each that was not given. */
  readonly notes: readonly string[]
}

const run = promisify(execFile)
const file = (name: string) => fileURLToPath(new URL(`./peers/${name}`, import.meta.url))
const startLimitMs = 60_000

/** @param directory Where what they read is written. */
export async function startPeers(directory: string, keys: IssuerKeys): Promise<Peers> {
  const running: Peer[] = []
  const notes: string[] = []
  for (const { title, variable, start } of known) {
    const binary = process.env[variable] ?? ''
    if (binary === '') notes.push(`${title} was not measured: ${variable} is not given.`)
    else running.push(await start(binary, directory, keys))
  }
  return { running, notes }
}

const known = [
  { title: 'OPA-Envoy', variable: 'OPA_ENVOY_BIN', start: startOpa },
  { title: 'Authorino', variable: 'AUTHORINO_BIN', start: startAuthorino },
]

/** With its cache of verified tokens, which is off unless asked for: meshbind remembers them as well. */
async function startOpa(binary: string, directory: string, { jwks }: IssuerKeys): Promise<Peer> {
  const port = await freePort()
  const data = join(directory, 'opa-data.json')
  const config = join(directory, 'opa-config.json')
  await writeFile(data, JSON.stringify({ keys: { jwks: JSON.stringify(jwks) } }))
  await writeFile(
    config,
    JSON.stringify({
      plugins: {
        envoy_ext_authz_grpc: { addr: `127.0.0.1:${port}`, path: 'meshbind/bench/allow' },
      },
      caching: {
        inter_query_builtin_value_cache: { named: { io_jwt: { max_num_entries: 20_000 } } },
      },
    }),
  )
  const args = ['--server', '--skip-version-check', '--log-level=error', '--addr=127.0.0.1:0']
  return startPeer('opa', port, binary, [
    ...['run', ...args, `--config-file=${config}`],
    ...[file('policy.rego'), data],
  ])
}

async function startAuthorino(
  binary: string,
  directory: string,
  { url }: IssuerKeys,
): Promise<Peer> {
  const manifest = join(directory, 'authconfig.yaml')
  const text = await readFile(file('authconfig.yaml'), 'utf8')
  await writeFile(manifest, text.replace('{{jwks}}', url))
  await run('kubectl', ['apply', '--filename', manifest])
  const port = await freePort()
  const peer = await startPeer('authorino', port, binary, [
    ...['server', `--ext-auth-grpc-port=${port}`, `--ext-auth-http-port=${await freePort()}`],
    ...[`--oidc-http-port=${await freePort()}`, '--metrics-addr=0', '--health-probe-addr=0'],
    ...['--log-level=error'],
  ])
  const ready = ['wait', '--for=condition=Ready', '--timeout=60s', '--filename', manifest]
  try {
    await run('kubectl', ready)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return {
    ...peer,
    async stop() {
      await peer.stop()
      await run('kubectl', ['delete', '--filename', manifest])
    },
  }
}

async function startPeer(
  name: PeerName,
  port: number,
  binary: string,
  args: readonly string[],
): Promise<Peer> {
  const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  endWithThisProcess(child)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000)
  })
  child.once('error', (error) => {
    said += error.message
  })
  const limit = performance.now() + startLimitMs
  while (!(await listensOn(port))) {
    const ended = child.exitCode !== null || child.pid === undefined
    if (ended || performance.now() > limit) {
      await end(child)
      throw new Error(`${binary} does not listen on port ${port}: ${said}`)
    }
    await sleep(100)
  }
  return { name, port, pid: child.pid ?? 0, stop: () => end(child) }
}

function listensOn(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Peers cannot tell a port of the system's choice, so one is chosen for them. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
