/**
 * The combination rule over all its inputs, against an oracle written from its prose: every `cnf` member that is
 * understood must be confirmed, listed or not; at least one listed method must be confirmed; the scheme never selects.
 */

import { webcrypto } from 'node:crypto'
import test from 'ava'
import { confirm } from '../../src/confirmation/confirm.ts'
import { isRefusal } from '../../src/decision/decision.ts'
import { createCertificateReader } from '../../src/evidence/certificate.ts'
import { establishPresenter, type Presenter } from '../../src/evidence/presenter.ts'
import type { VerifiedToken } from '../../src/token/verify.ts'
import { createAuthority } from '../support/pki.ts'

const ordersId = 'spiffe://mesh.example/ns/shop/sa/orders'
const thiefId = 'spiffe://mesh.example/ns/web/sa/blog'
const authority = await createAuthority()
const orders = await authority.issue({ spiffeId: ordersId })
const thief = await authority.issue({ spiffeId: thiefId })
const keyOf = (leaf: typeof orders) => webcrypto.subtle.exportKey('jwk', leaf.keys.publicKey)
const jwks = { right: await keyOf(orders), wrong: await keyOf(thief) }
const thumbprints = { right: orders.x5tS256, wrong: thief.x5tS256 }
const identities = { right: ordersId, wrong: thiefId, absent: undefined }

const states = ['right', 'wrong', 'absent'] as const
const presence = ['certificate', 'principal', 'none'] as const
const bindingNames = ['x5t#S256', 'jwk', 'spiffe'] as const
const subsets = Array.from({ length: 8 }, (_, bits) =>
  bindingNames.filter((_name, i) => (bits >> i) % 2 === 1),
)

type State = (typeof states)[number]

interface Combination {
  readonly x5t: State
  readonly jwk: State
  readonly identity: State
  readonly bindings: readonly string[]
  readonly presenter: (typeof presence)[number]
}

const combinations: readonly Combination[] = states.flatMap((x5t) =>
  states.flatMap((jwk) =>
    states.flatMap((identity) =>
      subsets.flatMap((bindings) =>
        presence.map((presenter) => ({ x5t, jwk, identity, bindings, presenter })),
      ),
    ),
  ),
)

function presenterOf(kind: Combination['presenter']): Presenter | undefined {
  const claims = {
    certificate: kind === 'certificate' ? orders.envoyText : '',
    principal: kind === 'none' ? '' : ordersId,
  }
  const rules = {
    evidence: ['certificate', 'principal'] as const,
    trustDomains: new Set(['mesh.example']),
  }
  const now = Math.floor(Date.now() / 1000)
  const presenter = establishPresenter(claims, rules, createCertificateReader(), now)
  if (isRefusal(presenter)) throw new Error(presenter.refused)
  return presenter
}

const presenters = new Map(presence.map((kind) => [kind, presenterOf(kind)]))

function tokenOf(parts: object): VerifiedToken {
  return {
    delegated: false,
    confirmation: undefined,
    identity: undefined,
    ...parts,
  } as VerifiedToken
}

function confirmationOf({ x5t, jwk }: Combination): object | undefined {
  const cnf = {
    ...(x5t === 'absent' ? {} : { 'x5t#S256': thumbprints[x5t] }),
    ...(jwk === 'absent' ? {} : { jwk: jwks[jwk] }),
  }
  return x5t === 'absent' && jwk === 'absent' ? undefined : cnf
}

function ask(
  combination: Combination,
  scheme: 'Bearer' | 'DPoP' = 'Bearer',
  cnf?: unknown,
): string {
  const token = tokenOf({
    confirmation: cnf ?? confirmationOf(combination),
    identity: identities[combination.identity],
  })
  const presenter = presenters.get(combination.presenter)
  const found = confirm(token, presenter, scheme, new Set(combination.bindings))
  return isRefusal(found) ? found.refused : `allow by ${found.method}`
}

/** The prose, read by somebody who has not seen the code. Returns every method that may be reported, or the reason. */
function oracle({ x5t, jwk, identity, bindings, presenter }: Combination): string[] {
  const carried = [...(x5t === 'absent' ? [] : ['x5t#S256']), ...(jwk === 'absent' ? [] : ['jwk'])]
  const proved = carried.filter((name) => (name === 'jwk' ? jwk : x5t) === 'right')
  if (carried.length > 0 && presenter !== 'certificate') return ['presenter_missing']
  if (proved.length < carried.length)
    return [identity === 'right' ? 'binding_rotated' : 'binding_mismatch']
  const named = presenter !== 'none' && identity === 'right' ? ['spiffe'] : []
  const counted = [...proved, ...named].filter((name) => bindings.includes(name))
  if (counted.length > 0) return counted.map((name) => `allow by ${name}`)
  if (!bindings.includes('spiffe'))
    return [carried.length === 0 ? 'binding_missing' : 'binding_unsupported']
  if (identity === 'absent') return ['binding_missing']
  return [presenter === 'none' ? 'presenter_missing' : 'binding_mismatch']
}

const shown = (combination: Combination) => JSON.stringify(combination)

test('architecture §7: all 648 combinations of token, route and presenter end as the rule says', (t) => {
  t.is(combinations.length, 648)
  const counts = { allowed: 0, refused: 0 }
  for (const combination of combinations) {
    const found = ask(combination)
    const expected = oracle(combination)
    if (!expected.includes(found)) t.fail(`${shown(combination)}: ${found}, expected ${expected}`)
    counts[found.startsWith('allow') ? 'allowed' : 'refused']++
  }
  t.true(counts.allowed > 30, `${counts.allowed} were allowed`)
  t.true(counts.refused > 300)
})

test('RFC 7800 §3.1: no combination with a wrong member of cnf is allowed', (t) => {
  const wrong = combinations.filter(({ x5t, jwk }) => x5t === 'wrong' || jwk === 'wrong')
  t.is(wrong.length, 5 * 3 * 8 * 3)
  t.deepEqual(
    wrong.filter((combination) => ask(combination).startsWith('allow')),
    [],
  )
})

test('RFC 8705 §3: no token with cnf is allowed without a certificate', (t) => {
  const bare = combinations.filter(
    ({ x5t, jwk, presenter }) =>
      presenter !== 'certificate' && (x5t !== 'absent' || jwk !== 'absent'),
  )
  t.is(bare.length, 8 * 3 * 8 * 2)
  for (const combination of bare) t.is(ask(combination), 'presenter_missing')
})

test('architecture §7: a route that lists no binding confirms nothing', (t) => {
  const unlisted = combinations.filter(({ bindings }) => bindings.length === 0)
  t.is(unlisted.length, 81)
  for (const combination of unlisted) t.false(ask(combination).startsWith('allow'))
})

test('RFC 9449 §7.1: the DPoP scheme allows nothing, because no token here is bound to a DPoP key', (t) => {
  for (const combination of combinations) {
    const found = ask(combination, 'DPoP')
    if (found !== 'scheme_mismatch') t.fail(`${shown(combination)}: ${found}`)
  }
  t.pass()
})

test('RFC 9449 §6: jkt beside anything, or alone, refuses under both schemes', (t) => {
  for (const combination of combinations) {
    for (const scheme of ['Bearer', 'DPoP'] as const) {
      const cnf = { ...confirmationOf(combination), jkt: orders.x5tS256 }
      const found = ask(combination, scheme, cnf)
      if (found !== 'binding_unsupported') t.fail(`${shown(combination)}: ${found}`)
    }
  }
  t.pass()
})

test('RFC 7800 §3.1: members that are not understood change nothing beside one that is', (t) => {
  const bound = combinations.filter(({ x5t, jwk }) => x5t !== 'absent' || jwk !== 'absent')
  t.is(bound.length, 8 * 3 * 8 * 3)
  for (const combination of bound) {
    const found = ask(combination, 'Bearer', { ...confirmationOf(combination), kid: 'a', osc: {} })
    if (found !== ask(combination)) t.fail(`${shown(combination)}: ${found}`)
  }
})

test('RFC 7800 §3.1: a cnf of which nothing is understood refuses, whatever else is right', (t) => {
  for (const combination of combinations) {
    for (const cnf of [{ kid: 'a' }, { 'X5T#S256': orders.x5tS256 }, { x5t: orders.x5tS256 }]) {
      const found = ask(combination, 'Bearer', cnf)
      if (found !== 'binding_unsupported') t.fail(`${shown(combination)}: ${found}`)
    }
  }
  t.pass()
})

test('RFC 7800 §3.1: a cnf that is no object, or empty, is malformed, whatever else is right', (t) => {
  for (const combination of combinations) {
    for (const cnf of [{}, [], '', 'x', 0, 1, true, false, [{ 'x5t#S256': orders.x5tS256 }]]) {
      const found = ask(combination, 'Bearer', cnf)
      if (found !== 'binding_malformed') t.fail(`${shown(combination)}: ${found}`)
    }
  }
  const nothing = tokenOf({ confirmation: null, identity: ordersId })
  const found = confirm(nothing, presenters.get('certificate'), 'Bearer', new Set(['spiffe']))
  t.is(isRefusal(found) && found.refused, 'binding_malformed')
})

test('RFC 7800 §3.1: members that an object only inherits are not there', (t) => {
  const cnf = Object.create(
    { 'x5t#S256': orders.x5tS256 },
    { kid: { value: 'a', enumerable: true } },
  )
  const combination = combinations.find(({ bindings }) => bindings.length === 3)
  t.is(combination && ask(combination, 'Bearer', cnf), 'binding_unsupported')
})

test('RFC 8693 §4.1: a token with act is refused in every combination', (t) => {
  for (const combination of combinations) {
    const token = tokenOf({
      delegated: true,
      confirmation: confirmationOf(combination),
      identity: identities[combination.identity],
    })
    const presenter = presenters.get(combination.presenter)
    const found = confirm(token, presenter, 'Bearer', new Set(combination.bindings))
    if (!isRefusal(found) || found.refused !== 'delegation_refused') t.fail(shown(combination))
  }
  t.pass()
})
