/** What a container is given to serve the example policy, and two questions to ask it. */

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createTestIssuer } from './issuer.ts'
import { createAuthority, type Leaf } from './pki.ts'
import { ordersId, thiefId } from './world.ts'

const example = new URL('../../examples/shop/policy.yaml', import.meta.url)

/** `policy.yaml` with its files; `orders.json` asks for the token's owner, and `thief.json` for somebody else. */
export async function writeShop(directory: string): Promise<void> {
  const authority = await createAuthority()
  const orders = await authority.issue({ spiffeId: ordersId })
  const thief = await authority.issue({ spiffeId: thiefId })
  const issuer = await createTestIssuer()
  const token = await issuer.sign({ scope: 'payments.write', cnf: { 'x5t#S256': orders.x5tS256 } })
  // Keys in a file, as there is no network; and so long that the parser runs in a thread of its own.
  const text = await readFile(example, 'utf8')
  const policy = `${text.replace(/keys: .*/, 'keys: { file: jwks.json }')}${'# …\n'.repeat(4096)}`
  for (const [name, content] of Object.entries({
    'policy.yaml': policy,
    'jwks.json': JSON.stringify(issuer.jwks),
    'trust/mesh.example.pem': authority.certificatePem,
    'orders.json': askToPay(orders, token),
    'thief.json': askToPay(thief, token),
  })) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), content)
  }
}

function askToPay({ spiffeId, envoyText }: Leaf, token: string): string {
  const http = {
    method: 'POST',
    path: '/v1/payments',
    host: 'payments.mesh.example',
    headers: { authorization: `Bearer ${token}` },
  }
  const source = { principal: spiffeId, certificate: envoyText }
  return JSON.stringify({ attributes: { source, request: { http } } })
}
