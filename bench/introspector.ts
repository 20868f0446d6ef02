/** The bench's introspection endpoint, in a process of its own: each opaque token is active, and is answered in 1 ms. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** By workload: what its tokens say. */
export type Claims = readonly { readonly [name: string]: unknown }[]

/** An opaque token of the bench names its workload, so that this endpoint needs no memory. */
export const opaqueToken = (workload: number, serial: number) =>
  `opaque.${workload}.${String(serial).padStart(12, '0')}~d41d8cd98f00b204e9800998ecf8427e`

const answerMs = 1

function listen(claims: Claims): void {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    await sleep(answerMs)
    const token = new URLSearchParams(body).get('token') ?? ''
    // The check asked a moment ago, and the bench's policy grants no clock skew.
    const iat = Math.floor(Date.now() / 1000) - 10
    const told = claims[Number(token.split('.')[1])]
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ active: told !== undefined, iat, exp: iat + 3000, ...told }))
  })
  server.listen(0, '127.0.0.1', () =>
    process.send?.({ port: (server.address() as AddressInfo).port }),
  )
}

process.on('message', listen)
