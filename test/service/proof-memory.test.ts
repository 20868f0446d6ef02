/** Operators are warned where proofs pass once on each replica, also when a reload brings them (contract §3, RFC 9449 §11.1). */

import test, { type ExecutionContext } from 'ava'
import { type ConfigMap, mountConfigMap } from '../support/config-map.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'

const jwks = JSON.stringify((await createTestIssuer()).jwks)

/** @param name Of the second route: each text is another policy. */
const policyWith = (binding: 'jwk' | 'dpop', name: string) => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://a.example], keys: { file: jwks.json } }
  dpop: { origins: [https://a.example] }
  routes:
    - { name: open, match: { paths: [/open] }, require: none }
    - { name: ${name}, require: { issuers: [corp], bindings: [${binding}] } }
`

interface Rig {
  readonly meshbind: RunningMeshbind
  /** Resolves once the policy is in force. */
  take(policy: string): Promise<void>
}

async function start(
  t: ExecutionContext,
  policy: string,
  ...args: readonly string[]
): Promise<Rig> {
  const map: ConfigMap = await mountConfigMap({ 'policy.yaml': policy, 'jwks.json': jwks })
  t.teardown(() => map.remove())
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--listen', '127.0.0.1:0', '--admin', 'off', ...args],
  ])
  t.teardown(() => meshbind.stop())
  const reloads = () => meshbind.lines.filter(({ message }) => message === 'policy reloaded').length
  return {
    meshbind,
    async take(text) {
      const before = reloads()
      await map.swap({ 'policy.yaml': text, 'jwks.json': jwks })
      await meshbind.waitFor(() => reloads() > before)
    },
  }
}

const alone = /^proofs are remembered by this process alone: .*--state redis:/
const each = /^a proof can be spent once on each of the replicas, .*--state redis:/
const warnings = ({ lines }: RunningMeshbind) =>
  lines.filter(({ message }) => /\bproofs?\b/.test(String(message)))

for (const [replicas, said] of [
  ['1', alone],
  ['3', each],
] as const) {
  test(`contract §3: a policy that takes proofs, with memory state and --replicas ${replicas}, is warned of at the start and once`, async (t) => {
    const { meshbind, take } = await start(t, policyWith('dpop', 'a'), '--replicas', replicas)
    await take(policyWith('dpop', 'b'))
    const [warning, ...more] = warnings(meshbind)
    t.deepEqual([warning?.['level'], more], ['warn', []])
    t.regex(String(warning?.['message']), said)
    t.is(warning?.['replicas'], replicas === '1' ? undefined : 3)
  })
}

test('contract §3: a reload that brings the first route with proofs is warned of, and again after they were gone', async (t) => {
  const { meshbind, take } = await start(t, policyWith('jwk', 'a'), '--replicas', '2')
  t.deepEqual(warnings(meshbind), [])
  await take(policyWith('dpop', 'b'))
  t.regex(String(warnings(meshbind)[0]?.['message']), each)
  await take(policyWith('dpop', 'c'))
  t.is(warnings(meshbind).length, 1)
  await take(policyWith('jwk', 'd'))
  t.is(warnings(meshbind).length, 1)
  await take(policyWith('dpop', 'e'))
  t.is(warnings(meshbind).length, 2)
})

test('contract §3: what a shared state remembers is no reason to warn, whether it can be reached yet or not', async (t) => {
  const state = ['--state', 'redis://127.0.0.1:1', '--replicas', '3']
  const { meshbind, take } = await start(t, policyWith('dpop', 'a'), ...state)
  await take(policyWith('dpop', 'b'))
  t.deepEqual(warnings(meshbind), [])
})
