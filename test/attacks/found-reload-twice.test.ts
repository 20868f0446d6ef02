/** Found by an attack: a WPT that was spent, across two reloads one after the other (policy.md, Proofs and replay). */

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { createJudge } from '../../src/service/judge.ts'
import { keepPolicy } from '../../src/service/policy-keeper.ts'
import { unlimited } from '../../src/token/verify.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { createWimseWorkload, createWitIssuer } from '../support/wimse.ts'
import { createTestTools, ordersId } from '../support/world.ts'

const start = Math.floor(Date.now() / 1000)
const clockAtStart = () => start
const corp = await createTestIssuer('https://idp.example', { now: clockAtStart })
const mesh = await createWitIssuer({ trustDomain: 'mesh.example', now: clockAtStart })
const orders = await createWimseWorkload(mesh, ordersId, { now: clockAtStart })
const wit = await orders.wit({ claims: { exp: start + 7200 } })

interface Parts {
  readonly name?: string
  readonly skew?: string
  readonly maxLifetime?: string
  readonly maxAge?: string
  readonly route?: string
  readonly schemes?: string
  readonly keys?: string
}

const policyOf = ({
  name = 'a',
  skew = '30s',
  maxLifetime = '2m',
  maxAge = '60s',
  route = 'free',
  schemes = '[spiffe]',
  keys = 'wit.json',
}: Parts) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: ${name} }
spec:
  clockSkew: ${skew}
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://a.example], keys: { file: jwks.json } }
  dpop: { origins: [https://payments.example], maxAge: ${maxAge} }
  wimse:
    audiences: [https://payments.example]
    trustAnchors: { mesh.example: { keys: { file: ${keys} }, schemes: ${schemes} } }
    maxLifetime: ${maxLifetime}
  routes:
    - { name: ${route}, require: { bindings: [wimse] } }
`

interface Rig {
  take(policy: Parts): Promise<void>
  setNow(seconds: number): void
  /** `reason detail`, or '' for an allow. */
  ask(wpt: string): Promise<string>
}

async function createRig(t: ExecutionContext, policy: Parts): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-wimse-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const put = async (name: string, content: string) => {
    await writeFile(join(directory, `.${name}`), content)
    await rename(join(directory, `.${name}`), join(directory, name))
  }
  await put('jwks.json', JSON.stringify(corp.jwks))
  await put('wit.json', JSON.stringify(mesh.jwks))
  await put('same.json', JSON.stringify(mesh.jwks))
  await put('policy.yaml', policyOf(policy))
  let now = start
  let reloads = 0
  const tools = createTestTools(start - 7200)
  const keeper = await keepPolicy({
    file: join(directory, 'policy.yaml'),
    clock: () => now,
    onFetch: () => {},
    onBundle: () => {},
    onDenylist: () => {},
    onStatusList: () => {},
    onWarning: () => {},
    onSwap: () => {},
    onReload: () => void reloads++,
  })
  t.teardown(() => keeper.close())
  await keeper.current.parts.tried()
  return {
    setNow: (seconds) => {
      now = seconds
    },
    async take(parts) {
      const before = reloads
      await put('policy.yaml', policyOf(parts))
      while (reloads === before) await sleep(10)
      t.is(keeper.problem, undefined)
    },
    async ask(wpt) {
      const headers = { 'workload-identity-token': wit, 'workload-proof-token': wpt }
      const request = decodeCheckRequest(encodeCheckRequest({ headers }))
      if (isRefusal(request)) throw new Error(request.detail)
      const judge = createJudge(keeper.current, tools, () => now)
      const decision = await judge.decide(request, unlimited)
      return decision.verdict === 'allow' ? '' : `${decision.reason} ${decision.detail}`.trim()
    },
  }
}

const proof = (exp: number, iat?: number) => orders.proof({ wit, claims: { exp, iat } })

/** What a single reload does is told in test/service/wimse-reload.test.ts; here the second one forgets what the first has moved. */
const twoReloads: {
  readonly [what: string]: readonly [
    wpt: readonly [exp: number, iat: number | undefined],
    policies: readonly [Parts, Parts, Parts],
    later: number,
  ]
} = {
  'a smaller clock skew, then another name': [
    [100, start + 29],
    [{}, { skew: '0s' }, { name: 'b', skew: '0s' }],
    29,
  ],
  'a shorter maxLifetime, then another name': [
    [600, undefined],
    [{ maxLifetime: '10m' }, { maxLifetime: '1m' }, { name: 'b', maxLifetime: '1m' }],
    545,
  ],
  'another name and a smaller clock skew, then a longer maxLifetime': [
    [100, start + 29],
    [
      {},
      { name: 'b', skew: '0s', maxLifetime: '1m' },
      { name: 'b', skew: '0s', maxLifetime: '2m' },
    ],
    29,
  ],
}

for (const [what, [[life, iat], [before, between, after], later]] of Object.entries(twoReloads)) {
  test(`policy.md, Proofs and replay: a WPT that was spent is not taken again after ${what}`, async (t) => {
    const { take, ask, setNow } = await createRig(t, before)
    const wpt = await proof(start + life, iat)
    t.is(await ask(wpt), '')
    await take(between)
    await take(after)
    for (const at of [start, start + 1, start + later]) {
      setNow(at)
      t.regex(await ask(wpt), /^workload_proof_(?:replayed|invalid)/, `${at - start}`)
    }
  })
}
