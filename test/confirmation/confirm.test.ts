/**
 * The combination rule over all its inputs, against an oracle written from its prose: every `cnf` member that is
 * understood must be confirmed, listed or not; at least one listed method must be confirmed; the scheme never selects.
 */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import {
  type BindingDemand,
  confirm,
  spendProof,
  type Unspent,
} from '../../src/confirmation/confirm.ts'
import type { BindingRules, ConfirmationInput, Proof } from '../../src/confirmation/method.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import type { Presenter } from '../../src/evidence/presenter.ts'
import type { SingleHeader } from '../../src/request.ts'
import { createMemoryReplay } from '../../src/state/memory.ts'
import type { ReplayStore, Spending } from '../../src/state/replay.ts'
import type { VerifiedToken } from '../../src/token/verify.ts'
import { bindingRules, present } from '../support/confirmation.ts'
import { createDpopClient } from '../support/dpop.ts'
import { createAuthority } from '../support/pki.ts'
import { createTestTools } from '../support/world.ts'

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const thiefId = 'spiffe://mesh.example/ns/web/sa/blog'
const now = Math.floor(Date.now() / 1000)
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: thiefId })
const client = await createDpopClient({ now: () => now })
const otherClient = await createDpopClient({ now: () => now })
const { proofs } = createTestTools(now - 3600)
const keyOf = (leaf: typeof orders) => webcrypto.subtle.exportKey('jwk', leaf.keys.publicKey)
const jwks = { right: await keyOf(orders), wrong: await keyOf(thief) }
const thumbprints = { right: orders.x5tS256, wrong: thief.x5tS256 }
const keyThumbprints = { right: client.jkt, wrong: otherClient.jkt }
const identities = { right: ordersId, wrong: thiefId, absent: undefined }
const accessToken = 'the.access.token'
const headers: { readonly [kind in 'sent' | 'absent']: SingleHeader } = {
  sent: { kind: 'one', value: await client.proof(accessToken) },
  absent: { kind: 'absent' },
}

const states = ['right', 'wrong', 'absent'] as const
const presence = ['certificate', 'principal', 'none'] as const
const schemes = ['Bearer', 'DPoP'] as const
const proofKinds = ['sent', 'absent'] as const
const bindingNames = ['x5t#S256', 'jwk', 'dpop', 'spiffe'] as const
const subsets = Array.from({ length: 16 }, (_, bits) =>
  bindingNames.filter((_name, i) => (bits >> i) % 2 === 1),
)

type State = (typeof states)[number]

interface Combination {
  readonly x5t: State
  readonly jwk: State
  /** `right` is the key of the proof that is sent, if one is. */
  readonly jkt: State
  readonly identity: State
  readonly bindings: readonly string[]
  readonly presenter: (typeof presence)[number]
  readonly scheme: (typeof schemes)[number]
  readonly proof: (typeof proofKinds)[number]
}

/** Every way to choose one value for each name. */
function product<Choice>(choices: { readonly [name in keyof Choice]: readonly Choice[name][] }) {
  let rows: object[] = [{}]
  for (const [name, values] of Object.entries<readonly unknown[]>(choices)) {
    rows = rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value })))
  }
  return rows as Choice[]
}

const combinations: readonly Combination[] = product<Combination>({
  x5t: states,
  jwk: states,
  jkt: states,
  identity: states,
  bindings: subsets,
  presenter: presence,
  scheme: schemes,
  proof: proofKinds,
})

const presenters: { readonly [kind in Combination['presenter']]: Presenter | undefined } = {
  certificate: present(orders, 'certificate', now),
  principal: present(orders, 'principal', now),
  none: undefined,
}

function tokenOf(parts: object): VerifiedToken {
  return {
    confirmation: undefined,
    identity: undefined,
    ...parts,
  } as VerifiedToken
}

function confirmationOf({ x5t, jwk, jkt }: Combination): object | undefined {
  const cnf = {
    ...(x5t === 'absent' ? {} : { 'x5t#S256': thumbprints[x5t] }),
    ...(jwk === 'absent' ? {} : { jwk: jwks[jwk] }),
    ...(jkt === 'absent' ? {} : { jkt: keyThumbprints[jkt] }),
  }
  return Object.keys(cnf).length === 0 ? undefined : cnf
}

interface Change {
  /** In place of the token's own; null is a value. */
  readonly cnf?: unknown
  readonly rules?: Partial<BindingRules>
  readonly unbound?: boolean
}

function demandOf({ bindings }: Combination, { unbound = false }: Change = {}): BindingDemand {
  return { bindings: new Set(bindings), unbound }
}

function inputOf(combination: Combination, change: Change = {}): ConfirmationInput {
  const { presenter, scheme, proof, identity } = combination
  return {
    token: tokenOf({
      confirmation: 'cnf' in change ? change.cnf : confirmationOf(combination),
      identity: identities[identity],
    }),
    credential: { scheme, token: accessToken },
    presenter: presenters[presenter],
    request: { method: 'POST', path: '/v1/payments', dpop: headers[proof] },
    rules: { ...bindingRules, ...change.rules },
    proofs,
    now,
  }
}

async function ask(combination: Combination, change?: Change): Promise<string> {
  const found = await confirm(inputOf(combination, change), demandOf(combination, change))
  return isRefusal(found) ? found.refused : `allow by ${found.method}`
}

const answers = new Map<Combination, string>()
for (const combination of combinations) answers.set(combination, await ask(combination))
const isAllowed = (combination: Combination) => answers.get(combination)?.startsWith('allow')

/** The prose, read by somebody who has not seen the code. Returns every method that may be reported, or the reason. */
function oracle(combination: Combination): string[] {
  const { x5t, jwk, jkt, identity, bindings, presenter, scheme, proof } = combination
  // RFC 9449 §7.1, §7.2: a token with jkt comes under DPoP, any other does not.
  if (scheme !== (jkt === 'absent' ? 'Bearer' : 'DPoP')) return ['scheme_mismatch']
  const byCertificate = { 'x5t#S256': x5t, jwk }
  const carried = Object.entries(byCertificate).filter(([, state]) => state !== 'absent')
  if (carried.length > 0 && presenter !== 'certificate') return ['presenter_missing']
  if (carried.some(([, state]) => state === 'wrong'))
    return [identity === 'right' ? 'binding_rotated' : 'binding_mismatch']

  const members = [...carried.map(([name]) => name), ...(jkt === 'absent' ? [] : ['dpop'])]
  const named = presenter !== 'none' && identity === 'right' ? ['spiffe'] : []
  const counted = [...members, ...named].filter((name) => bindings.includes(name))
  if (counted.length === 0) {
    if (!bindings.includes('spiffe'))
      return [members.length === 0 ? 'binding_missing' : 'binding_unsupported']
    if (identity === 'absent') return ['binding_missing']
    return [presenter === 'none' ? 'presenter_missing' : 'binding_mismatch']
  }
  // policy.md Proofs and replay: a proof is judged after all that costs no signature.
  if (jkt !== 'absent' && proof === 'absent') return ['proof_missing']
  if (jkt === 'wrong') return ['binding_mismatch']
  return counted.map((name) => `allow by ${name}`)
}

const shown = (combination: Combination) => JSON.stringify(combination)

test('architecture §7: all 15552 combinations of token, route, presenter, scheme and proof end as the rule says', (t) => {
  t.is(combinations.length, 3 ** 4 * 16 * 3 * 2 * 2)
  const counts = new Map<string, number>()
  for (const [combination, found] of answers) {
    const expected = oracle(combination)
    if (!expected.includes(found)) t.fail(`${shown(combination)}: ${found}, expected ${expected}`)
    counts.set(found, (counts.get(found) ?? 0) + 1)
  }
  t.deepEqual([...counts.keys()].toSorted(), [
    'allow by dpop',
    'allow by jwk',
    'allow by spiffe',
    'allow by x5t#S256',
    'binding_mismatch',
    'binding_missing',
    'binding_rotated',
    'binding_unsupported',
    'presenter_missing',
    'proof_missing',
    'scheme_mismatch',
  ])
})

test('RFC 7800 §3.1: no combination with a wrong member of cnf is allowed', (t) => {
  const wrong = combinations.filter(({ x5t, jwk, jkt }) => [x5t, jwk, jkt].includes('wrong'))
  t.is(wrong.length, (27 - 8) * 3 * 16 * 3 * 2 * 2)
  t.deepEqual(wrong.filter(isAllowed), [])
})

test('RFC 8705 §3: no token with x5t#S256 or jwk is allowed without a certificate, whatever the proof', (t) => {
  const bare = combinations.filter(
    ({ x5t, jwk, presenter }) =>
      presenter !== 'certificate' && (x5t !== 'absent' || jwk !== 'absent'),
  )
  t.is(bare.length, 8 * 3 * 3 * 16 * 2 * 2 * 2)
  t.deepEqual(bare.filter(isAllowed), [])
})

test('RFC 9449 §7.1: no token with jkt is allowed without a proof, listed or not', (t) => {
  const bare = combinations.filter(({ jkt, proof }) => jkt !== 'absent' && proof === 'absent')
  t.is(bare.length, 2 * 27 * 16 * 3 * 2)
  t.deepEqual(bare.filter(isAllowed), [])
})

test('RFC 9449 §7.2: no token with jkt is allowed as a bearer token, and no other under DPoP', (t) => {
  const downgraded = combinations.filter(
    ({ jkt, scheme }) => (jkt === 'absent') !== (scheme === 'Bearer'),
  )
  t.is(downgraded.length, combinations.length / 2)
  for (const combination of downgraded) {
    if (answers.get(combination) !== 'scheme_mismatch') t.fail(shown(combination))
  }
})

test('architecture §7: a proof that no cnf asks for changes nothing', (t) => {
  const free = combinations.filter(({ jkt, proof }) => jkt === 'absent' && proof === 'sent')
  const without = combinations.filter(({ jkt, proof }) => jkt === 'absent' && proof === 'absent')
  t.is(free.length, 27 * 16 * 3 * 2)
  t.deepEqual(
    free.map((combination) => answers.get(combination)),
    without.map((combination) => answers.get(combination)),
  )
})

test('RFC 9449 §6.1: a DPoP-bound token needs no presenter where the route lists dpop', (t) => {
  const mobile = combinations.filter(
    ({ x5t, jwk, jkt, bindings, presenter, scheme, proof }) =>
      [x5t, jwk].every((state) => state === 'absent') &&
      jkt === 'right' &&
      presenter === 'none' &&
      scheme === 'DPoP' &&
      proof === 'sent' &&
      bindings.includes('dpop'),
  )
  t.is(mobile.length, 3 * 8)
  for (const combination of mobile) t.is(answers.get(combination), 'allow by dpop')
})

test('architecture §7: a route that lists no binding confirms nothing', (t) => {
  const unlisted = combinations.filter(({ bindings }) => bindings.length === 0)
  t.is(unlisted.length, combinations.length / 16)
  t.deepEqual(unlisted.filter(isAllowed), [])
})

test('contract §5: jkt beside anything, or alone, is unsupported where the policy has no dpop section', async (t) => {
  const unconfigured = combinations.filter(({ jkt }) => jkt !== 'absent')
  for (const combination of unconfigured) {
    const found = await ask(combination, { rules: { dpop: undefined } })
    if (found !== 'binding_unsupported') t.fail(`${shown(combination)}: ${found}`)
  }
  t.is(unconfigured.length, (combinations.length * 2) / 3)
})

test('contract §5: what has no jkt needs no dpop section', async (t) => {
  for (const combination of combinations.filter(({ jkt }) => jkt === 'absent')) {
    const found = await ask(combination, { rules: { dpop: undefined } })
    if (found !== answers.get(combination)) t.fail(`${shown(combination)}: ${found}`)
  }
  t.pass()
})

test('RFC 7800 §3.1: members that are not understood change nothing beside one that is', async (t) => {
  const bound = combinations.filter((combination) => confirmationOf(combination) !== undefined)
  t.is(bound.length, 26 * 3 * 16 * 3 * 2 * 2)
  for (const combination of bound) {
    const cnf = { ...confirmationOf(combination), kid: 'a', osc: {} }
    const found = await ask(combination, { cnf })
    if (found !== answers.get(combination)) t.fail(`${shown(combination)}: ${found}`)
  }
})

test('RFC 7800 §3.1: a cnf of which nothing is understood refuses, whatever else is right', async (t) => {
  const twins = [{ kid: 'a' }, { 'X5T#S256': orders.x5tS256 }, { x5t: orders.x5tS256 }]
  for (const combination of combinations) {
    for (const cnf of [...twins, { JKT: client.jkt }, { 'jkt ': client.jkt }]) {
      const found = await ask(combination, { cnf })
      if (found !== 'binding_unsupported') t.fail(`${shown(combination)}: ${found}`)
    }
  }
  t.pass()
})

test('RFC 7800 §3.1: a cnf that is no object, or empty, is malformed, whatever else is right', async (t) => {
  const broken = [null, {}, [], '', 'x', 0, 1, true, false, [{ 'x5t#S256': orders.x5tS256 }]]
  for (const combination of combinations) {
    for (const cnf of broken) {
      const found = await ask(combination, { cnf })
      if (found !== 'binding_malformed') t.fail(`${shown(combination)}: ${found}`)
    }
  }
  t.pass()
})

test('RFC 7800 §3.1: members that an object only inherits are not there', async (t) => {
  const cnf = Object.create(
    { 'x5t#S256': orders.x5tS256, jkt: client.jkt },
    { kid: { value: 'a', enumerable: true } },
  )
  for (const combination of combinations.filter(({ bindings }) => bindings.length === 4)) {
    const found = await ask(combination, { cnf })
    if (found !== 'binding_unsupported') t.fail(`${shown(combination)}: ${found}`)
  }
  t.pass()
})

test('policy.md, unbound: allow: of all combinations, only a token without cnf and without an identity to compare passes more', async (t) => {
  let passed = 0
  for (const combination of combinations) {
    const before = answers.get(combination)
    const may = before === 'binding_missing' && confirmationOf(combination) === undefined
    if (may) passed++
    const found = await ask(combination, { unbound: true })
    if (found !== (may ? 'allow by none' : before))
      t.fail(`${shown(combination)}: ${before}, then ${found}`)
  }
  t.true(passed > 0)
})

test('check.ts: what rests on no proof waits for nothing', (t) => {
  for (const combination of combinations.filter(({ jkt }) => jkt === 'absent')) {
    const found = confirm(inputOf(combination), demandOf(combination))
    if (found instanceof Promise) t.fail(shown(combination))
  }
  t.pass()
})

const reasons = { invalid: 'proof_invalid', replayed: 'proof_replayed' } as const
const proof = { replayKey: 'key', takenFrom: now - 1, rememberUntil: now + 90, reasons }
const dpop = { method: 'dpop', proofs: [proof] } as const

/** What `confirm` alone may make, made up. */
type MadeUp = { readonly method: string; readonly proofs: readonly Proof[] }

async function spend(replay: ReplayStore, unspent: MadeUp = dpop) {
  const found = await spendProof(unspent as Unspent, replay, now)
  return isRefusal(found) ? found.refused : `allow by ${found.method}`
}

test('RFC 9449 §11.1: a proof confirms once, and again under another key', async (t) => {
  const replay = createMemoryReplay(now - 3600)
  t.is(await spend(replay), 'allow by dpop')
  t.is(await spend(replay), 'proof_replayed')
  t.is(await spend(replay, { ...dpop, proofs: [{ ...proof, replayKey: 'b' }] }), 'allow by dpop')
  t.is(await spend(replay), 'proof_replayed')
})

test('RFC 9449 §11.1: the proof is spent under whichever method the route lists', async (t) => {
  const replay = createMemoryReplay(now - 3600)
  t.is(await spend(replay, { method: 'x5t#S256', proofs: [proof] }), 'allow by x5t#S256')
  t.is(await spend(replay, { method: 'spiffe', proofs: [proof] }), 'proof_replayed')
})

test('policy.md Proofs and replay: a confirmation without a proof spends nothing', async (t) => {
  const replay: ReplayStore = {
    remembersSince: now,
    spend: () => {
      throw new Error('asked')
    },
  }
  t.is(await spend(replay, { method: 'jwk', proofs: [] }), 'allow by jwk')
})

test('policy.md Proofs and replay: with memory state a proof from before the process is refused', async (t) => {
  for (const [takenFrom, expected] of [
    [now - 61, 'proof_invalid'],
    [now - 60, 'proof_invalid'],
    [now - 59, 'allow by dpop'],
  ] as const) {
    const unspent = { ...dpop, proofs: [{ ...proof, takenFrom }] }
    t.is(await spend(createMemoryReplay(now - 60), unspent), expected)
  }
})

test('policy.md Proofs and replay: a store that is full or away refuses, at once or later', async (t) => {
  const expected: { readonly [result in Spending]: string } = {
    fresh: 'allow by dpop',
    spent: 'proof_replayed',
    full: 'state_unavailable',
    unavailable: 'state_unavailable',
  }
  for (const [result, end] of Object.entries(expected) as [Spending, string][]) {
    t.is(await spend({ remembersSince: undefined, spend: () => result }), end)
    t.is(await spend({ remembersSince: undefined, spend: async () => result }), end)
  }
})

test('policy.md Proofs and replay: the store is asked for the key until the proof expires', async (t) => {
  const asked: unknown[] = []
  const replay: ReplayStore = {
    remembersSince: undefined,
    spend(...parts) {
      asked.push(parts)
      return 'fresh'
    },
  }
  await spend(replay)
  t.deepEqual(asked, [['key', now + 90, now]])
})
