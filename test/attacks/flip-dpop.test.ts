/** THE PROPERTY, for DPoP: change any one byte of a proof, or of the thumbprint it is bound by, and it is not allowed. */

import test from 'ava'
import type { ReplayStore } from '../../src/state/replay.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createDpopClient } from '../support/dpop.ts'
import { audience } from '../support/issuer.ts'
import { createWorld } from '../support/world.ts'

const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example], algorithms: [ES256, EdDSA, PS256] }
  routes: [{ name: bound, require: { issuers: [corp], bindings: [dpop] } }]
`
/** Takes every proof as often as it comes: nothing below is refused for having been spent. */
const forgetful: ReplayStore = { remembersSince: undefined, spend: () => 'fresh' }
const world = await createWorld({ policy, replay: forgetful })
/** One frozen second for every token, every proof and every question here. */
const now = world.now()
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const strange = '!=+/ ,.%\t\u00e9'

async function isAllowed(token: string, dpop: string): Promise<boolean> {
  const question = encodeCheckRequest({ scheme: 'DPoP', token, headers: { dpop } })
  return (await world.askBytes(question, now)).allowed
}

function changed(text: string, at: number, char: string): string {
  return text.slice(0, at) + char + text.slice(at + 1)
}

/** The neighbour in the lowest bit, which in a last character may carry nothing, and one other at random. */
function others(char: string): string[] {
  const digit = alphabet.indexOf(char)
  const neighbour = alphabet.charAt(digit ^ 1)
  const random = alphabet.charAt((digit + 2 + Math.floor(Math.random() * 62)) % 64)
  return digit === -1 ? ['A', '_'] : [neighbour, random === char ? 'A' : random]
}

for (const algorithm of ['ES256', 'EdDSA', 'PS256']) {
  test(`RFC 9449 §4.3: a proof under ${algorithm} with any one character changed, removed or doubled is refused`, async (t) => {
    const client = await createDpopClient({ algorithm, now: () => now })
    const token = await world.token({ cnf: { jkt: client.jkt }, iat: now })
    const proof = await client.proof(token)
    t.true(await isAllowed(token, proof), 'control: unchanged, it is allowed')
    const allowed: string[] = []
    for (const [at, char] of [...proof].entries()) {
      const texts = [...others(char), strange.charAt(at % strange.length)]
        .filter((other) => other !== char)
        .map((other) => changed(proof, at, other))
      for (const text of [...texts, changed(proof, at, ''), changed(proof, at, char + char)])
        if (await isAllowed(token, text)) allowed.push(text)
    }
    t.deepEqual(allowed, [])
    t.true(await isAllowed(token, proof), 'control: changed back, it is allowed')
  })
}

test('RFC 9449 §6.1: a thumbprint with any character changed for any other is refused, in a well-signed token', async (t) => {
  const client = await createDpopClient({ now: () => now })
  const ask = async (jkt: string) => {
    const token = await world.token({ cnf: { jkt }, iat: now })
    return isAllowed(token, await client.proof(token))
  }
  t.true(await ask(client.jkt), 'control: unchanged, it is allowed')
  const allowed: string[] = []
  let asked = 0
  for (const at of client.jkt.split('').keys()) {
    for (const other of [...alphabet, ...strange]) {
      if (other === client.jkt[at]) continue
      asked++
      const jkt = changed(client.jkt, at, other)
      if (await ask(jkt)) allowed.push(jkt)
    }
  }
  t.is(asked, client.jkt.length * (alphabet.length + strange.length - 1))
  t.deepEqual(allowed, [])
})
