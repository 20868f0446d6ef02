/** The policy of a running server follows its file: whole or not at all, at once, and never to something broken (policy.md; threats M). */

import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type CheckClient, createCheckClient, metadataOf } from '../support/check-client.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { type ConfigMap, mountConfigMap } from '../support/config-map.ts'
import { createTestIssuer } from '../support/issuer.ts'
import { type RunningMeshbind, startMeshbind } from '../support/meshbind.ts'

const issuer = await createTestIssuer()
const jwks = JSON.stringify(issuer.jwks)

/** Two routes that carry the number of their policy: a decision of two policies would be seen. */
const numbered = (n: number, mode = 'enforce') => `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  mode: ${mode}
  trustDomains: [mesh.example]
  issuers:
    corp: { issuer: https://idp.example, audiences: [https://a.example], keys: { file: jwks.json } }
  routes:
    - { name: open-${n}, match: { paths: [/open] }, require: none }
    - { name: rest-${n}, require: { issuers: [corp], bindings: [jwk] } }
`

interface Rig {
  readonly map: ConfigMap
  readonly meshbind: RunningMeshbind
  readonly client: CheckClient
  /** Route and revision of an answer to a question that the policy refuses. */
  ask(path?: string): Promise<{ code: number | undefined; route: string; revision: string }>
  readyz(): Promise<{ status: number; policy: { revision: string; problem: string | null } }>
}

async function start(t: ExecutionContext, policy = numbered(0)): Promise<Rig> {
  const map = await mountConfigMap({ 'policy.yaml': policy, 'jwks.json': jwks })
  t.teardown(() => map.remove())
  const meshbind = await startMeshbind([
    ...['--policy', map.path('policy.yaml'), '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
    ...['--deadline', '5s'],
  ])
  t.teardown(() => meshbind.stop())
  const client = createCheckClient(meshbind.port)
  t.teardown(() => client.close())
  const admin = meshbind.lines.find(({ message }) => message === 'listening')?.['admin']
  return {
    map,
    meshbind,
    client,
    async ask(path = '/x') {
      const answer = await client.ask(encodeCheckRequest({ path }))
      return {
        code: answer.status?.code,
        route: metadataOf(answer, 'route') ?? '',
        revision: metadataOf(answer, 'policy_revision') ?? '',
      }
    },
    async readyz() {
      const answer = await fetch(`http://${admin}/readyz`)
      const { policy } = (await answer.json()) as Awaited<ReturnType<Rig['readyz']>>
      return { status: answer.status, policy }
    },
  }
}

test.serial(
  'M229, issue: a hundred swaps of the mount under load, broken ones among them: every decision is of one whole policy, and the last good one is in force',
  async (t) => {
    const { map, ask, meshbind } = await start(t)
    const revisions = new Map<string, string>()
    let loaded = true
    let answers = 0
    const loads = Array.from({ length: 8 }, async (_, i) => {
      while (loaded) {
        const { code, route, revision } = await ask(i % 2 === 0 ? '/open' : '/x')
        t.is(code, route.startsWith('open-') ? 0 : 16)
        const number = route.replace(/^(open|rest)-/, '')
        t.is(revisions.get(revision) ?? number, number, 'one revision, one number')
        revisions.set(revision, number)
        answers++
      }
    })
    const broken = ['', 'null', '{', numbered(0).slice(0, 200), 'kind: BindingPolicy\n', '\u0000']
    const awaited = new Set([1, 25, 50, 76])
    for (let n = 1; n <= 100; n++) {
      const text = n % 3 === 0 ? (broken[n % broken.length] ?? '') : numbered(n)
      await map.swap({ 'policy.yaml': text, 'jwks.json': jwks })
      // A busy machine may see none but the last: so some of them are waited for.
      while (awaited.has(n) && (await ask()).route !== `rest-${n}`) await sleep(10)
      await sleep(20)
    }
    await map.swap({ 'policy.yaml': '{', 'jwks.json': jwks })
    await map.swap({ 'policy.yaml': numbered(101), 'jwks.json': jwks })
    while ((await ask()).route !== 'rest-101') await sleep(10)
    loaded = false
    await Promise.all(loads)
    t.true(answers > 100)
    t.true(revisions.size > awaited.size, `${revisions.size} policies were in force under load`)
    t.false(meshbind.output().includes('a check failed'))
  },
)

const broken: readonly (readonly [what: string, text: string, problem: RegExp])[] = [
  ['an empty file', '', /the policy is empty/],
  ['an unknown key', numbered(1).replace('routes:', 'route:'), /unknown key `route`/],
  ['half of a file', numbered(1).slice(0, -60), /./],
  ['a second policy', `${numbered(1)}---\n${numbered(2)}`, /more than one YAML document/],
]

for (const [what, text, problem] of broken) {
  test.serial(
    `policy.md, architecture §8: ${what} keeps the last good policy, says so with its place, and recovery needs no hand`,
    async (t) => {
      const { map, meshbind, ask, readyz } = await start(t)
      const { revision } = await ask()
      await map.swap({ 'policy.yaml': text, 'jwks.json': jwks })
      const line = await meshbind.waitFor(
        ({ level, message }) => level === 'error' && problem.test(String(message)),
      )
      t.is(typeof line['line'], 'number')
      t.is(typeof line['column'], 'number')
      await meshbind.waitFor(({ message }) =>
        /the last good one stays in force/.test(String(message)),
      )
      t.is((await ask()).revision, revision)
      const state = await readyz()
      t.is(state.status, 200, 'a server with a good policy goes on serving')
      t.is(state.policy.revision, revision)
      t.regex(state.policy.problem ?? '', /the policy on disk is not valid/)

      await map.swap({ 'policy.yaml': numbered(2), 'jwks.json': jwks })
      await meshbind.waitFor(({ message }) => message === 'policy reloaded')
      t.is((await ask()).route, 'rest-2')
      t.is((await readyz()).policy.problem, null)
    },
  )
}

test.serial(
  'issue: audit is swapped to enforce while it runs, and the next request is refused',
  async (t) => {
    const { map, meshbind, ask } = await start(t, numbered(1, 'audit'))
    t.is((await ask()).code, 0)
    await map.swap({ 'policy.yaml': numbered(1, 'enforce'), 'jwks.json': jwks })
    await meshbind.waitFor(({ message }) => message === 'policy reloaded')
    t.is((await ask()).code, 16)
  },
)

test.serial(
  'architecture §8: a policy that says the same of an issuer goes on with its keys and facts; they are not read anew',
  async (t) => {
    const { map, meshbind, ask } = await start(t)
    await map.swap({ 'policy.yaml': numbered(1), 'jwks.json': jwks })
    await meshbind.waitFor(({ message }) => message === 'policy reloaded')
    t.is((await ask()).route, 'rest-1')
    t.is(meshbind.lines.filter(({ message }) => message === 'keys read').length, 1)
  },
)

const denylisted = (n: number) =>
  `${numbered(n)}  revocation: { denylist: { file: revoked.yaml } }\n`

test.serial(
  'policy.md, Revocation entries: a policy that begins to name a broken denylist is not taken',
  async (t) => {
    const { map, meshbind, ask, readyz } = await start(t)
    await map.swap({ 'policy.yaml': denylisted(1), 'jwks.json': jwks })
    await meshbind.waitFor(({ message }) =>
      /the last good one stays in force/.test(String(message)),
    )
    t.is((await ask()).route, 'rest-0')
    t.regex((await readyz()).policy.problem ?? '', /revoked\.yaml: there is no such file/)
  },
)

test.serial(
  'policy.md, Revocation entries: a broken denylist at the start means no valid policy',
  async (t) => {
    const map = await mountConfigMap({
      'policy.yaml': denylisted(1),
      'jwks.json': jwks,
      'revoked.yaml': '- { jti: x }\n',
    })
    t.teardown(() => map.remove())
    const started = startMeshbind([
      '--policy',
      map.path('policy.yaml'),
      '--listen',
      '127.0.0.1:0',
      '--admin',
      'off',
    ])
    await t.throwsAsync(started, { message: /code 2.*`jti` needs the `issuer`/s })
  },
)
