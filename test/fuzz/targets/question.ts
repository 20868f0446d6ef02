/** CheckRequest bytes: any of them give a Request or a refusal, and a thief's question stays refused whatever is done to it. */

import { isRefusal } from '../../../src/decision/decision.ts'
import { decodeCheckRequest } from '../../../src/wire/decode.ts'
import { encodeCheckRequest } from '../../support/check-request.ts'
import { createWorld } from '../../support/world.ts'
import { readQuestionSlowly } from '../slow/protobuf.ts'
import { agree, demand, type Target } from '../target.ts'

const policy = `
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  peer: { evidence: [certificate, xfcc, principal] }
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://payments.mesh.example], keys: { file: jwks.json }, maxLifetime: 1h }
  routes: [{ name: bound, require: { issuers: [corp], bindings: ["x5t#S256"] } }]
`
const world = await createWorld({ policy })
const now = world.now()
const token = await world.token({ exp: now + 3600 })
const owned = { certificate: world.orders.envoyText, principal: world.orders.spiffeId, token }
const stolen = { certificate: world.thief.envoyText, principal: world.thief.spiffeId, token }

export const question: Target = {
  name: 'check-request',
  source: 'Envoy ext_authz v3, protobuf encoding',
  dictionary: [
    '\n',
    '\x12',
    '\x1a',
    '"',
    '*',
    'j',
    'authorization',
    'dpop',
    'x-meshbind-presenter',
    'GET',
    '/',
  ],
  /** Always of the thief: what is mutated here must never be allowed. */
  generate(random) {
    const rawHeaders = [
      ['authorization', `Bearer ${random.chance(3) ? 'x' : token}`],
      ['x-forwarded-client-cert', `By=spiffe://a/b;URI=${world.orders.spiffeId}`],
      ['x-meshbind-presenter', 'me'],
    ] as const
    const path = random.pick(['/', '/v1/payments', '/a?b', ''])
    return encodeCheckRequest({
      ...stolen,
      path,
      ...(random.chance(2) ? { rawHeaders: rawHeaders.slice(0, 1 + random.int(3)) } : {}),
      ...(random.chance(2) ? { context: { a: 'b' } } : {}),
    })
  },
  async judge(input) {
    const read = decodeCheckRequest(input)
    const slow = readQuestionSlowly(input)
    if (!isRefusal(read)) {
      const { method, host, path, peer } = read
      const { certificate, principal, destination } = peer
      const fast = { method, host, path, certificate, principal, destination }
      if (slow !== undefined) agree('question', fast, slow)
    } else if (slow !== undefined) {
      const reserved = /x[-_]meshbind[-_]/i.test(input.toString('latin1'))
      demand('a question that can be read is read', reserved)
    }
    const verdict = await world.askBytes(input, now)
    demand('a thief is not allowed', !verdict.allowed && verdict.grpc > 0 && verdict.http >= 400)
    return isRefusal(read) ? read.detail : verdict.reason
  },
}

/** Without it the target would judge a world that allows nobody. */
export async function allowsItsOwner(): Promise<boolean> {
  return (await world.askBytes(encodeCheckRequest(owned), now)).allowed
}
