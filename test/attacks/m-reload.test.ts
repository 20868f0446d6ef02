/**
 * Attack group M, 225, 229-231 and proofs across a reload: the keeper of the policy in one process, with a clock that
 * stands still. test/service/reload.test.ts holds 229, a hundred swaps under load; file-watch.test.ts and
 * read-file.test.ts hold 230 and 231 for one file.
 */

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { watchDenylist } from '../../src/service/denylist-watch.ts'
import { createJudge } from '../../src/service/judge.ts'
import type { LivePolicy } from '../../src/service/live-policy.ts'
import {
  keepPolicy,
  type PolicyKeeper,
  type ReloadResult,
} from '../../src/service/policy-keeper.ts'
import { unlimited } from '../../src/token/verify.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createDpopClient } from '../support/dpop.ts'
import { audience, createTestIssuer } from '../support/issuer.ts'
import { createTestTools } from '../support/world.ts'

const start = Math.floor(Date.now() / 1000)
const issuer = await createTestIssuer('https://idp.example', { now: () => start })
const client = await createDpopClient({ now: () => start })
const token = await issuer.sign({ cnf: { jkt: client.jkt }, exp: start + 3000 })

interface Parts {
  readonly name?: string
  readonly skew?: string
  readonly maxAge?: string
  /** More of `issuers`, and more of `spec`. */
  readonly issuers?: string
  readonly more?: string
}

const policyOf = ({ name = 'a', skew = '30s', maxAge = '60s', issuers = '', more = '' }: Parts) =>
  `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: ${name} }
spec:
  clockSkew: ${skew}
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [${audience}], keys: { file: jwks.json } }
${issuers}
  dpop: { origins: [https://payments.example], maxAge: ${maxAge} }
  routes:
    - { name: bound, match: { paths: [/v1/payments] }, require: { issuers: [corp], bindings: [dpop] } }
${more}
`

interface Rig {
  readonly keeper: PolicyKeeper
  readonly results: readonly ReloadResult[]
  setNow(seconds: number): void
  /** Replaces a file at once. */
  put(name: string, content: string | Buffer): Promise<void>
  remove(name: string): Promise<void>
  reloaded(count: number): Promise<void>
  /** '' for an allow. */
  ask(live: LivePolicy, proof: string): Promise<string>
}

async function createRig(t: ExecutionContext, policy: string | Buffer): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-attack-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const put: Rig['put'] = async (name, content) => {
    await writeFile(join(directory, `.${name}`), content)
    await rename(join(directory, `.${name}`), join(directory, name))
  }
  await put('jwks.json', JSON.stringify(issuer.jwks))
  await put('policy.yaml', policy)
  let now = start
  const results: ReloadResult[] = []
  const tools = createTestTools(start - 3600)
  const keeper = await keepPolicy({
    file: join(directory, 'policy.yaml'),
    clock: () => now,
    onFetch: () => {},
    onBundle: () => {},
    onDenylist: () => {},
    onStatusList: () => {},
    onWarning: () => {},
    onSwap: () => {},
    onReload: (result) => void results.push(result),
  })
  t.teardown(() => keeper.close())
  await keeper.current.parts.tried()
  return {
    keeper,
    results,
    put,
    setNow: (seconds) => {
      now = seconds
    },
    remove: (name) => rm(join(directory, name)),
    async reloaded(count) {
      while (results.length < count) await sleep(10)
    },
    async ask(live, proof) {
      const question = { token, scheme: 'DPoP', headers: { dpop: proof } }
      const request = decodeCheckRequest(encodeCheckRequest(question))
      if (isRefusal(request)) throw new Error(request.detail)
      const decision = await createJudge(live, tools, () => now).decide(request, unlimited)
      return decision.verdict === 'allow' ? '' : decision.reason
    },
  }
}

const changes: { readonly [what: string]: readonly [before: Parts, after: Parts, later: number] } =
  {
    'another name': [{}, { name: 'b' }, 1],
    'a longer life of proofs': [{ maxAge: '10s' }, { maxAge: '10m' }, 80],
    'another name and a smaller clock skew': [{ skew: '5m' }, { name: 'b', skew: '0s' }, 250],
    'a longer life and a smaller clock skew': [{ skew: '5m' }, { maxAge: '1h', skew: '0s' }, 1000],
  }

for (const [what, [before, after, later]] of Object.entries(changes)) {
  test(`policy.md, Proofs and replay: a proof that was spent is not taken again after a reload with ${what}`, async (t) => {
    const { keeper, put, reloaded, ask, setNow } = await createRig(t, policyOf(before))
    // Dated as far ahead as the policy before takes it.
    const ahead = before.skew === '5m' ? 250 : 0
    const proof = await client.proof(token, { iat: start + ahead })
    t.is(await ask(keeper.current, proof), '')
    await put('policy.yaml', policyOf(after))
    await reloaded(1)
    setNow(start + later)
    t.not(await ask(keeper.current, proof), '')
    setNow(start + later + 400)
    const fresh = await client.proof(token, { iat: start + later + 400 })
    t.is(await ask(keeper.current, fresh), '', 'a new one is taken')
  })
}

test('policy.md, Proofs and replay: what is spent while a reload waits for a new source is spent under the new name too', async (t) => {
  const { keeper, put, reloaded, ask, setNow } = await createRig(t, policyOf({ skew: '0s' }))
  const before = keeper.current
  let answer: () => void = () => {}
  const asked = new Promise<void>((resolve) => {
    const server = createServer((_, response) => {
      setNow(start + 2)
      answer = () => void response.end(JSON.stringify(issuer.jwks))
      resolve()
    }).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      const issuers = `    new: { issuer: https://new.example, audiences: [a], keys: { url: "http://127.0.0.1:${port}/jwks" } }`
      void put('policy.yaml', policyOf({ name: 'b', skew: '0s', issuers }))
    })
    t.teardown(() => {
      server.close()
      server.closeAllConnections()
    })
  })
  await asked
  const proof = await client.proof(token, { iat: start + 2 })
  t.is(await ask(before, proof), '')
  answer()
  await reloaded(1)
  t.is(keeper.current.policy.name, 'b')
  t.is(await ask(keeper.current, proof), 'proof_invalid')
})

test('M231: a broken policy that goes away and comes back as it was is still a problem', async (t) => {
  const { keeper, put, remove, reloaded, results } = await createRig(t, policyOf({}))
  await put('policy.yaml', 'spec:')
  await reloaded(1)
  t.regex(keeper.problem ?? '', /the policy on disk is not valid/)
  await remove('policy.yaml')
  await reloaded(2)
  t.regex(keeper.problem ?? '', /there is no such file/)
  await put('policy.yaml', 'spec:')
  while (/there is no such file/.test(keeper.problem ?? '')) await sleep(10)
  t.regex(keeper.problem ?? '', /the policy on disk is not valid/)
  t.deepEqual(results, ['invalid', 'unreadable'])
  await put('policy.yaml', policyOf({}))
  while (keeper.problem !== undefined) await sleep(10)
  t.is(keeper.current.policy.name, 'a')
})

test('M231: a policy whose denylist comes after it is taken once the denylist is there, by no hand', async (t) => {
  const { keeper, put, reloaded, results } = await createRig(t, policyOf({}))
  const more = '  revocation: { denylist: { file: revoked.yaml } }'
  await put('policy.yaml', policyOf({ name: 'b', more }))
  await reloaded(1)
  t.deepEqual(results, ['invalid'])
  t.is(keeper.current.policy.name, 'a')
  await put('revoked.yaml', '[]\n')
  // policy.md: in force within 5 s of the change on disk; here four times that.
  for (let i = 0; i < 200 && keeper.current.policy.name === 'a'; i++) await sleep(100)
  t.is(keeper.current.policy.name, 'b')
  t.is(keeper.problem, undefined)
})

const latin1 = (text: string) => Buffer.from(text, 'latin1')

test('M225: a policy whose bytes are no UTF-8 is not taken: no byte is replaced in silence', async (t) => {
  const require = 'require: { issuers: [corp], bindings: [jwk], claims: { tenant: [José] } }'
  const named = policyOf({ more: `    - { name: tenant, ${require} }` })
  await t.notThrowsAsync(createRig(t, Buffer.from(named)))
  await t.throwsAsync(createRig(t, latin1(named)))
  const { keeper, put, reloaded } = await createRig(t, policyOf({}))
  await put('policy.yaml', latin1(named))
  await reloaded(1)
  t.not(keeper.problem, undefined)
  t.is(keeper.current.policy.routes.length, 1)
})

test('M225: a denylist whose bytes are no UTF-8 is not taken: its entries would hit nobody', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-attack-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'revoked.yaml')
  await writeFile(path, latin1('- { issuer: https://idp.example, subject: José }\n'))
  const watch = watchDenylist(path, () => {})
  t.teardown(() => watch.close())
  await watch.tried
  t.not(watch.problem, undefined)
  t.is(watch.index, undefined)
})
