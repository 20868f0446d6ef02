/** Starts an HTTP server on an address of the command line. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** @param address `host:port`; resolves to it with the port that was chosen, rejects with what is wrong with it. */
export async function listen(server: Server, address: string): Promise<string> {
  const { hostname, port } = new URL(`http://${address}`)
  await new Promise<void>((resolve, reject) => {
    // Stays for good: a connection that cannot be accepted later must not end the process.
    server.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      const why = code === 'EADDRINUSE' ? 'the address is in use' : message
      reject(new Error(`cannot listen on ${address}: ${why}`))
    })
    server.listen(Number(port || '80'), hostname.replace(/^\[|\]$/g, ''), resolve)
  })
  return `${hostname}:${(server.address() as AddressInfo).port}`
}
