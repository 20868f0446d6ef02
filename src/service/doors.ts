/** The addresses of a service with workers: connections are accepted here, and none of their bytes is read. */

import { lookup } from 'node:dns/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { listenPlain } from '../wire/listen.ts'

export interface Doors {
  /** Resolves to the address with the port that was chosen; rejects with what is wrong. */
  open(address: string): Promise<string>
  /** No more connections; those that were handed on live on. */
  close(): void
}

export function createDoors(give: (connection: Socket) => void): Doors {
  const servers: Server[] = []

  async function listen(address: string): Promise<string> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (connection) => {
      connection.on('error', () => {})
      give(connection)
    })
    const listening = await listenPlain(server, address)
    // A connection that cannot be accepted, for want of file descriptors say, must not end the process.
    server.on('error', () => {})
    servers.push(server)
    return listening
  }

  return {
    /** On everything that a name stands for, as without workers: `localhost` is 127.0.0.1 and ::1. */
    async open(address) {
      const [first = address, ...others] = await addressesOf(address)
      const port = portIn(await listen(first))
      // Where this machine has no such addresses, the first has to do.
      for (const other of others) await listen(withPort(other, port)).catch(() => {})
      return withPort(address, port)
    },
    close() {
      for (const server of servers) server.close()
    },
  }
}

const portPattern = /:\d+$/
const portIn = (address: string) => portPattern.exec(address)?.[0]
const withPort = (address: string, port: string | undefined) =>
  port === undefined ? address : address.replace(portPattern, port)

async function addressesOf(address: string): Promise<string[]> {
  if (address.startsWith('unix:')) return [address]
  const { hostname } = new URL(`tcp://${address}`)
  const found = await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true })
  return found
    .toSorted((a, b) => a.family - b.family)
    .map((each) => `${each.family === 6 ? `[${each.address}]` : each.address}${portIn(address)}`)
}
