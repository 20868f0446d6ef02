/** A policy with WIMSE that is reloaded: the real keeper, a clock that stands still, and one workload's WPTs. */

import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { createJudge } from '../../src/service/judge.ts'
import { keepPolicy, type PolicyKeeper } from '../../src/service/policy-keeper.ts'
import { unlimited } from '../../src/token/verify.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest } from './check-request.ts'
import { createTestIssuer } from './issuer.ts'
import { createWimseWorkload, createWitIssuer } from './wimse.ts'
import { createTestTools, ordersId } from './world.ts'

/** Unix seconds, at which the clock stands unless it is set. */
export const start = Math.floor(Date.now() / 1000)
const clockAtStart = () => start
const corp = await createTestIssuer('https://idp.example', { now: clockAtStart })
const mesh = await createWitIssuer({ trustDomain: 'mesh.example', now: clockAtStart })
const orders = await createWimseWorkload(mesh, ordersId, { now: clockAtStart })
const wit = await orders.wit({ claims: { exp: start + 7200 } })

/** What a policy has of its own; the rest is the same in all. */
export interface Parts {
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

export interface ReloadRig {
  readonly keeper: PolicyKeeper
  /** Reads of keys that went well, by what they are used for. */
  readonly reads: string[]
  take(policy: Parts): Promise<void>
  setNow(seconds: number): void
  /** `reason detail`, or '' for an allow. */
  ask(wpt: string): Promise<string>
}

export async function createReloadRig(t: ExecutionContext, policy: Parts): Promise<ReloadRig> {
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
  const reads: string[] = []
  const tools = createTestTools(start - 7200)
  const keeper = await keepPolicy({
    file: join(directory, 'policy.yaml'),
    clock: () => now,
    onFetch: (use, result) => void (result === 'ok' && reads.push(use)),
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
    keeper,
    reads,
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

/** A WPT of the workload; times are Unix seconds. */
export const proof = (exp: number, iat?: number) => orders.proof({ wit, claims: { exp, iat } })
