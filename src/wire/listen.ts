/** Addresses to listen on: `host:port`, or `unix:/path` where a stale socket is replaced and a live one is not. */

import { chmod, lstat, stat, unlink } from 'node:fs/promises'
import { type AddressInfo, connect, type Server as NetServer } from 'node:net'
import { dirname } from 'node:path'
import type { Server, ServerCredentials } from '@grpc/grpc-js'

const socketMode = 0o660
const unixPrefix = 'unix:'

const maxPort = 65_535

export function isListenAddress(text: string): boolean {
  if (text.startsWith(unixPrefix)) return /^unix:\/[^\0]+$/.test(text)
  const port = /^(?:[^\s:[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text)?.[1]
  return port !== undefined && Number(port) <= maxPort
}

function pathOf(address: string): string | undefined {
  return address.startsWith(unixPrefix) ? address.slice(unixPrefix.length) : undefined
}

/** Binds and gives the address back, with the port that was chosen where it was 0. Throws with the fix in the message. */
export function listen(
  server: Server,
  address: string,
  credentials: ServerCredentials,
): Promise<string> {
  return bind(
    address,
    () =>
      new Promise<number>((resolve, reject) => {
        server.bindAsync(address, credentials, (error, port) =>
          error === null ? resolve(port) : reject(error),
        )
      }),
  )
}

/** The same for a server that hands its connections on. */
export function listenPlain(server: NetServer, address: string): Promise<string> {
  const path = pathOf(address)
  const { hostname, port } = path === undefined ? new URL(`tcp://${address}`) : {}
  const where = path === undefined ? { host: hostname?.replace(/^\[|\]$/g, ''), port } : { path }
  return bind(
    address,
    () =>
      new Promise<number>((resolve, reject) => {
        server.once('error', reject)
        server.listen(where, () => {
          server.off('error', reject)
          resolve(path === undefined ? (server.address() as AddressInfo).port : 0)
        })
      }),
  )
}

/** @param begin Resolves to the port. */
async function bind(address: string, begin: () => Promise<number>): Promise<string> {
  const path = pathOf(address)
  if (path !== undefined) {
    await requireDirectory(dirname(path))
    await removeStaleSocket(path)
  }
  const port = await begin().catch((error: Error) => {
    throw new Error(`cannot listen on ${address}: ${reasonOf(error)}`)
  })
  if (path === undefined) return address.replace(/:\d+$/, `:${port}`)
  await chmod(path, socketMode)
  return address
}

async function requireDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => undefined)
  if (found?.isDirectory() !== true)
    throw new Error(`cannot listen in ${directory}: make the directory first`)
}

/** The system's own words, without what grpc-js wraps around them. */
function reasonOf({ message }: Error): string {
  if (message.includes('EADDRINUSE')) return 'the address is in use'
  if (message.includes('EACCES')) return 'permission denied'
  return message
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket())
    throw new Error(`cannot listen on unix:${path}: there is a file that is no socket`)
  if (await answers(path))
    throw new Error(`cannot listen on unix:${path}: another server is listening there`)
  await unlink(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
