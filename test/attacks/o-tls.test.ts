/** O264: whom the port speaks to where it asks for client certificates. Names in them are no rule here: the CA is (docs/hardening.md). */

import 'reflect-metadata'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
} from '@peculiar/x509'
import test, { type ExecutionContext } from 'ava'
import { type Authority, createAuthority, type Leaf } from '../support/pki.ts'
import { startTestServer } from '../support/test-server.ts'

const hour = 3_600_000
const spiffeId = 'spiffe://mesh.example/ns/mesh/sa/envoy'
const mesh = await createAuthority()
/** Of the same name, with another key. */
const namesake = await createAuthority()
const from = (hours: number) => new Date(Date.now() + hours * hour)

async function start(t: ExecutionContext, authority: Authority): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'meshbind-tls-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const server = await authority.issue({ names: [{ type: 'dns', value: 'localhost' }] })
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const running = await startTestServer({
    tls: {
      certificate: file('tls.crt', server.pem),
      key: file('tls.key', server.keyPem),
      clientCa: file('ca.crt', authority.certificatePem),
    },
  })
  t.teardown(() => running.drain(50))
  return Number(running.addresses[0]?.split(':').at(-1))
}

/** Whether the server speaks HTTP/2 with whoever shows this: its first frame is SETTINGS. */
function speaks(port: number, leaf: Leaf | undefined): Promise<boolean> {
  const shown = leaf === undefined ? {} : { cert: leaf.pem, key: leaf.keyPem }
  return new Promise((resolve) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: mesh.certificatePem,
      ALPNProtocols: ['h2'],
      ...shown,
    })
    socket.on('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
    socket.on('data', () => {
      resolve(true)
      socket.destroy()
    })
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
  })
}

test('O264: a client without a certificate, with one that is out of date, of another CA or for servers alone is not spoken to', async (t) => {
  const port = await start(t, mesh)
  t.true(await speaks(port, await mesh.issue({ spiffeId })), 'control')
  const serverOnly = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
  ]
  const refused = {
    none: undefined,
    expired: await mesh.issue({ spiffeId, notBefore: from(-2), notAfter: from(-1) }),
    'not yet valid': await mesh.issue({ spiffeId, notBefore: from(1), notAfter: from(2) }),
    'of a CA of the same name': await namesake.issue({ spiffeId }),
    'for servers alone': await mesh.issue({ extensions: serverOnly }),
  }
  for (const [what, leaf] of Object.entries(refused)) t.false(await speaks(port, leaf), what)
  t.true(await speaks(port, await mesh.issue({ spiffeId })), 'afterwards')
})
