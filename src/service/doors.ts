/** The addresses of a service with workers: connections are accepted here, and none of their bytes is read. */

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
  return {
    async open(address) {
      const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (connection) => {
        connection.on('error', () => {})
        give(connection)
      })
      const listening = await listenPlain(server, address)
      // A connection that cannot be accepted, for want of file descriptors say, must not end the process.
      server.on('error', () => {})
      servers.push(server)
      return listening
    },
    close() {
      for (const server of servers) server.close()
    },
  }
}
