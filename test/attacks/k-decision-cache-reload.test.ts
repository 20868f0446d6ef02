/** Attack group K, 192, 193, 197 and 198: what a policy or a key set that has changed says of a token seen before. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { check } from '../../src/check.ts'
import { type Decision, isRefusal } from '../../src/decision/decision.ts'
import { parsePolicy } from '../../src/policy/parse.ts'
import { type LivePolicy, startPolicy } from '../../src/service/live-policy.ts'
import { decodeCheckRequest } from '../../src/wire/decode.ts'
import { encodeCheckRequest } from '../support/check-request.ts'
import { audience, createTestIssuer } from '../support/issuer.ts'
import { createAuthority, type Leaf } from '../support/pki.ts'
import { edit } from '../support/policy-text.ts'
import { createTestTools, ordersId, thiefId } from '../support/world.ts'

const start = Math.floor(Date.now() / 1000)
const issuer = await createTestIssuer('https://idp.example', { now: () => start })
const successor = await createTestIssuer('https://idp.example', { now: () => start })
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: thiefId })

const policy = `apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: shop }
spec:
  trustDomains: [mesh.example]
  issuers:
    corp:
      issuer: https://idp.example
      audiences: [${audience}, https://other.example]
      keys: { file: jwks.json }
      algorithms: [ES256]
      types: [at+jwt]
      identity: { claim: sub }
    partner: { issuer: https://partner.example, audiences: [a], keys: { file: jwks.json } }
  routes:
    - { name: bound, match: { paths: [/bound] }, require: { issuers: [corp], bindings: ["x5t#S256"] } }
    - { name: identity, match: { paths: [/identity] }, require: { issuers: [corp], bindings: [spiffe] } }
`
const keysOf = (...keys: (typeof issuer)[]) =>
  JSON.stringify({ keys: keys.map(({ publicJwk }) => publicJwk) })

interface Rig {
  /** Starts the policy after the one before; what both ask for in the same words goes on. */
  follow(text: string): Promise<LivePolicy>
  decide(live: LivePolicy, token: string, path?: string, as?: Leaf, now?: number): Promise<Decision>
  ask(...parts: Parameters<Rig['decide']>): Promise<string>
  /** Puts another text in the place of the keys and has it read. */
  writeKeys(text: string, live?: LivePolicy): Promise<void>
}

async function createRig(t: ExecutionContext): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'meshbind-attack-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const write = (name: string, text: string) => writeFile(join(directory, name), text)
  await write('jwks.json', keysOf(issuer))
  await write('other.json', keysOf(successor))
  const tools = createTestTools(start - 3600)
  let previous: LivePolicy | undefined
  t.teardown(() => previous?.parts.close())

  const decide: Rig['decide'] = (live, token, path = '/bound', as = orders, now = start) => {
    const question = { path, token, certificate: as.envoyText, principal: as.spiffeId }
    const request = decodeCheckRequest(encodeCheckRequest(question))
    if (isRefusal(request)) throw new Error(request.detail)
    return check(request, live.policy, tools, now)
  }
  return {
    async writeKeys(text, live) {
      await write('jwks.json', text)
      // The first may join a read that began before the text was there.
      for (const _ of [1, 2]) await live?.keySources.get('corp')?.refresh()
    },
    decide,
    async ask(...parts) {
      const decision = await decide(...parts)
      return decision.verdict === 'allow' ? (decision.findings.cache ?? 'allow') : decision.reason
    },
    async follow(text) {
      const parsed = parsePolicy(text)
      if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join())
      const live = startPolicy(parsed.policy, {
        file: join(directory, 'policy.yaml'),
        text,
        previous,
        clock: () => start,
        onFetch: () => {},
        onBundle: () => {},
        onDenylist: () => {},
        onStatusList: () => {},
      })
      await live.parts.tried()
      previous?.parts.close(live.parts)
      previous = live
      return live
    },
  }
}

const sign = (claims: object = {}, by = issuer, header = {}) =>
  by.sign({ cnf: { 'x5t#S256': orders.x5tS256 }, ...claims }, header)

/** A change of the policy's text, and what becomes of a token that the policy before had allowed. */
const changes: { readonly [what: string]: readonly [from: string, to: string, reason: string] } = {
  'other types': ['types: [at+jwt]', 'types: [JWT]', 'token_type_refused'],
  'other algorithms': ['algorithms: [ES256]', 'algorithms: [ES384]', 'token_algorithm_refused'],
  'narrower audiences': [`[${audience}, https`, '[https', 'audience_mismatch'],
  'another iss': ['https://idp.example', 'https://idp2.example', 'issuer_unknown'],
  'a shorter life': ['types:', 'maxLifetime: 299s\n      types:', 'token_lifetime_exceeded'],
  'another file of keys': [
    '    keys: { file: jwks',
    '    keys: { file: other',
    'token_signature_invalid',
  ],
  'no file of keys': ['    keys: { file: jwks', '    keys: { file: none', 'keys_unavailable'],
  'another issuer of the route': [
    '[corp], bindings: ["x',
    '[partner], bindings: ["x',
    'issuer_unknown',
  ],
  'another trust domain': ['[mesh.example]', '[b.example]', 'trust_domain_refused'],
  'another binding': ['bindings: ["x5t#S256"]', 'bindings: [jwk]', 'binding_unsupported'],
  'narrower callers': ['["x5t#S256"]', `["x5t#S256"], callers: [${thiefId}]`, 'caller_refused'],
  scopes: ['["x5t#S256"]', '["x5t#S256"], scopes: [a]', 'scope_insufficient'],
}

for (const [what, [from, to, reason]] of Object.entries(changes)) {
  test(`K192: a token that was allowed is judged by ${what} with the first question after the reload`, async (t) => {
    const { follow, ask } = await createRig(t)
    const token = await sign()
    const before = await follow(policy)
    t.is(await ask(before, token), 'miss')
    t.is(await ask(before, token), 'hit')
    const changed = await follow(edit(policy, from, to))
    for (const _ of [1, 2]) t.is(await ask(changed, token), reason)
    const back = await follow(policy)
    t.not(await ask(back, token), reason, 'and allowed again by the policy that allowed it')
    t.is(await ask(back, token), 'hit')
  })
}

test('K192: an identity that is read from another claim is read anew, for the owner and for the thief', async (t) => {
  const { follow, ask } = await createRig(t)
  const token = await issuer.sign({ sub: ordersId, workload: thiefId })
  const before = await follow(policy)
  t.is(await ask(before, token, '/identity', orders), 'miss')
  t.is(await ask(before, token, '/identity', thief), 'binding_mismatch')
  const claim = await follow(edit(policy, 'claim: sub', 'claim: workload'))
  t.is(await ask(claim, token, '/identity', orders), 'binding_mismatch')
  t.is(await ask(claim, token, '/identity', thief), 'hit')
  const kubernetes = await follow(edit(policy, 'claim: sub', 'kubernetes: mesh.example'))
  t.regex(await ask(kubernetes, token, '/identity'), /^binding_/)
})

test('K192: a policy that changes another part goes on with the facts', async (t) => {
  const { follow, ask } = await createRig(t)
  const token = await sign()
  t.is(await ask(await follow(policy), token), 'miss')
  const renamed = await follow(edit(policy, 'name: bound', 'name: renamed'))
  t.is(await ask(renamed, token), 'hit')
  t.is(await ask(renamed, token, '/bound', thief), 'binding_mismatch')
})

test('K192: two issuers that trade their names trade no facts', async (t) => {
  const { follow, ask } = await createRig(t)
  const token = await sign()
  t.is(await ask(await follow(policy), token), 'miss')
  const traded = policy
    .replace('    corp:\n', '    swap:\n')
    .replace('    partner:', '    corp:')
    .replace('    swap:\n', '    partner:\n')
    .replace('issuers: [corp], bindings: [spiffe]', 'issuers: [partner], bindings: [spiffe]')
  const live = await follow(traded)
  t.is(await ask(live, token), 'issuer_unknown')
  t.is(await ask(live, token, '/identity'), 'miss')
})

test('K192: keys that change with the policy are in force with the first reading of their file', async (t) => {
  const { follow, ask, writeKeys } = await createRig(t)
  const [old, fresh] = [await sign(), await sign({}, successor)]
  t.is(await ask(await follow(policy), old), 'miss')
  const live = await follow(edit(policy, 'name: bound', 'name: renamed'))
  await writeKeys(keysOf(successor), live)
  t.is(await ask(live, old), 'token_signature_invalid')
  t.is(await ask(live, fresh), 'miss')
})

test('K192: a check that began under one policy ends under it, whole, though its parts have been closed', async (t) => {
  const { follow, decide, ask } = await createRig(t)
  const before = await follow(policy)
  const begun = decide(before, await sign())
  const after = await follow(edit(policy, '"x5t#S256"', 'jwk').replace('name: bound', 'name: new'))
  const decision = await begun
  t.is(decision.verdict, 'allow')
  t.is(decision.policyRevision, before.policy.revision)
  t.is(decision.findings.route, 'bound')
  t.is(await ask(after, await sign()), 'binding_unsupported')
})

test('K193: a remembered token ends with its key, and comes back with it by a new verification', async (t) => {
  const { follow, ask, writeKeys } = await createRig(t)
  const token = await sign()
  const live = await follow(policy)
  t.is(await ask(live, token), 'miss')
  for (const [keys, answers] of [
    [keysOf(successor), ['token_signature_invalid', 'token_signature_invalid']],
    [keysOf(issuer), ['miss', 'hit']],
  ] as const) {
    await writeKeys(keys, live)
    for (const answer of answers) t.is(await ask(live, token), answer)
  }
})

test('K197: a refusal for its time is not remembered: nbf and iat pass, and the token is good', async (t) => {
  const { follow, ask } = await createRig(t)
  const live = await follow(policy)
  for (const claim of ['nbf', 'iat']) {
    const token = await sign({ [claim]: start + 100, exp: start + 300 })
    for (const _ of [1, 2])
      t.is(await ask(live, token, '/bound', orders, start + 69), 'token_not_yet_valid')
    t.is(await ask(live, token, '/bound', orders, start + 70), 'hit', claim)
  }
})

test('K197: a refused signature and an unknown key are not remembered beyond the key set', async (t) => {
  const { follow, ask, writeKeys } = await createRig(t)
  const live = await follow(policy)
  const [early, unknown] = [await sign({}, successor), await sign({}, successor, { kid: 'next' })]
  for (const token of [early, early]) t.is(await ask(live, token), 'token_signature_invalid')
  for (const token of [unknown, unknown]) t.is(await ask(live, token), 'token_key_unknown')
  const next = { ...successor.publicJwk, kid: 'next' }
  await writeKeys(JSON.stringify({ keys: [successor.publicJwk, next] }), live)
  for (const token of [early, unknown]) t.is(await ask(live, token), 'miss')
})

test('K198: keys that cannot be had say nothing of the token: it is good once they can', async (t) => {
  const { follow, ask, writeKeys } = await createRig(t)
  await writeKeys('not yet')
  const live = await follow(policy)
  const token = await sign()
  const flood = await Promise.all(Array.from({ length: 50 }, () => ask(live, token)))
  t.deepEqual(new Set(flood), new Set(['keys_unavailable']))
  await writeKeys(keysOf(issuer), live)
  t.is(await ask(live, token), 'miss')
  t.is(await ask(live, token), 'hit')
})
