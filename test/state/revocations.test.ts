import test from 'ava'
import fc from 'fast-check'
import {
  createMemoryRevocations,
  endOf,
  longestTokenLifeSeconds,
} from '../../src/state/revocation-feed.ts'
import {
  createRevocationIndex,
  kindOf,
  type RevocableFacts,
  type Revocation,
  type RevocationEntry,
} from '../../src/state/revocations.ts'

const now = 1_800_000_000
const issuer = 'https://idp.example'
const orders = 'spiffe://mesh.example/ns/shop/sa/orders'
const gateway = 'spiffe://mesh.example/ns/edge/sa/gateway'
const x5t = 'A'.repeat(43)
const facts: RevocableFacts = {
  issuer,
  subject: 'jane',
  tokenId: 'id-1',
  session: 'session-1',
  keyId: 'key-1',
  issuedAt: now - 100,
  workloads: [orders, gateway],
  certificates: [x5t],
}
const forEver = Number.POSITIVE_INFINITY
const entry = (revocation: Revocation, until = forEver): RevocationEntry => ({ revocation, until })
const find = (revocation: Revocation, over: Partial<RevocableFacts> = {}, at = now) =>
  createRevocationIndex([entry(revocation)]).find({ ...facts, ...over }, at)

const hitting: readonly (readonly [Revocation, 'token' | 'presenter'])[] = [
  [{ issuer, jti: 'id-1' }, 'token'],
  [{ issuer, subject: 'jane' }, 'token'],
  [{ issuer, session: 'session-1' }, 'token'],
  [{ issuer, key: 'key-1' }, 'token'],
  [{ presenter: orders }, 'presenter'],
  [{ presenter: gateway }, 'presenter'],
  [{ certificate: x5t }, 'presenter'],
]

for (const [revocation, hit] of hitting) {
  const kind = kindOf(revocation)
  test(`policy.md, Revocation entries: ${JSON.stringify(revocation)} hits the ${hit}`, (t) => {
    t.is(find(revocation), hit)
  })

  test(`policy.md, Revocation entries: ${kind} ${JSON.stringify(revocation)} hits exactly its own text and issuer`, (t) => {
    const fields = revocation as { readonly [name: string]: string }
    for (const [name, value] of Object.entries(fields)) {
      const others = ['', ` ${value}`, `${value} `, `${value}/`, `${value}\0`, value.slice(0, -1)]
      const cases = [value.toUpperCase(), value.toLowerCase()].filter((text) => text !== value)
      for (const other of [...others, ...cases, '*', '__proto__', 'constructor', 'toString'])
        t.is(find({ ...fields, [name]: other } as Revocation), undefined, `${name}: ${other}`)
    }
  })

  test(`${kind} ${JSON.stringify(revocation)}: what a request does not show is not hit`, (t) => {
    const bare = { tokenId: undefined, session: undefined, keyId: undefined, workloads: [] }
    t.is(
      find(revocation, { ...bare, certificates: [], subject: 'joe' }),
      undefined,
      'a request that shows nothing of it',
    )
  })
}

for (const revocation of [
  { issuer, subject: 'jane' },
  { issuer, session: 'session-1' },
  { presenter: orders },
]) {
  test(`policy.md: before of ${JSON.stringify(revocation)} spares a token issued at that second, and hits one a second older`, (t) => {
    const before = now - 50
    const cut = { ...revocation, before }
    t.not(find(cut, { issuedAt: before - 1 }), undefined)
    t.is(find(cut, { issuedAt: before }), undefined)
    t.is(find(cut, { issuedAt: before + 1 }), undefined)
    t.not(find(revocation, { issuedAt: now + 1e6 }), undefined, 'without it every token is hit')
  })
}

test('of several entries for one name the widest counts, in whatever order they stand', (t) => {
  const entries = [
    entry({ issuer, subject: 'jane', before: now - 500 }),
    entry({ issuer, subject: 'jane', before: now - 50 }),
    entry({ issuer, subject: 'jane', before: now - 900 }),
  ]
  for (const order of [entries, entries.toReversed()]) {
    const index = createRevocationIndex(order)
    t.is(index.find({ ...facts, issuedAt: now - 51 }, now), 'token')
    t.is(index.find({ ...facts, issuedAt: now - 50 }, now), undefined)
    t.deepEqual([index.size, index.count('subject'), index.count('jti')], [3, 3, 0])
  }
})

test('issue (e): an entry hits nothing from its end on, and another for the same goes on', (t) => {
  const index = createRevocationIndex([entry({ issuer, jti: 'id-1' }, now + 10)])
  t.is(index.find(facts, now + 9), 'token')
  t.is(index.find(facts, now + 10), undefined)
  const two = createRevocationIndex([
    entry({ issuer, jti: 'id-1' }, now + 10),
    entry({ issuer, jti: 'id-1' }, now + 20),
  ])
  t.is(two.find(facts, now + 15), 'token')
})

test('K194, K195: issuer and value are never joined, and no name is inherited', (t) => {
  t.is(find({ issuer: 'a', jti: 'b|c' }, { issuer: 'a|b', tokenId: 'c' }), undefined)
  t.is(find({ issuer: 'a', jti: 'bc' }, { issuer: 'ab', tokenId: 'c' }), undefined)
  for (const name of ['__proto__', 'constructor', 'hasOwnProperty']) {
    t.is(find({ issuer: name, jti: name }, { issuer: name, tokenId: name }), 'token', name)
    t.is(find({ issuer, jti: 'id-2' }, { tokenId: name }), undefined, name)
    t.is(find({ issuer, jti: 'id-2' }, { issuer: name }), undefined, name)
  }
})

test('RFC 8725 §3.8: identifiers compare code unit by code unit, never normalised', (t) => {
  const [composed, decomposed] = ['caf\u00e9', 'cafe\u0301']
  t.is(find({ issuer, subject: composed }, { subject: composed }), 'token')
  t.is(find({ issuer, subject: composed }, { subject: decomposed }), undefined)
  t.is(find({ issuer, subject: 'jane' }, { subject: 'j\u0430ne' }), undefined)
})

test('an index finds what is listed and nothing else, whatever the texts', (t) => {
  const pair = fc.tuple(fc.string(), fc.string({ unit: 'binary' }))
  fc.assert(
    fc.property(fc.array(pair), pair, (listed, [iss, jti]) => {
      const index = createRevocationIndex(listed.map(([of, id]) => entry({ issuer: of, jti: id })))
      const expected = listed.some(([of, id]) => of === iss && id === jti)
      return (index.find({ ...facts, issuer: iss, tokenId: jti }, now) === 'token') === expected
    }),
  )
  t.pass()
})

/** The latest second at which a token can still be taken (token/claims.ts), with the widest skew that a policy may set. */
const maxSkew = 300
const lastSecondOf = (issuedAt: number) => issuedAt + longestTokenLifeSeconds + maxSkew - 1

for (const cut of [
  { issuer, subject: 'jane', before: now },
  { issuer, session: 'session-1', before: now + 86_400 },
  { presenter: orders, before: now - 86_400 },
]) {
  test(`issue (e): ${JSON.stringify(cut)} outlives every token that it hits, and then expires`, (t) => {
    const end = endOf(cut, now)
    t.true(end > lastSecondOf(cut.before - 1))
    t.true(end <= cut.before + longestTokenLifeSeconds + 2 * maxSkew)
  })
}

test('issue (e): a revoked jti outlives its token, also one that a fast clock has dated ahead by the skew', (t) => {
  const end = endOf({ issuer, jti: 'id-1' }, now)
  t.true(end > lastSecondOf(now), 'a token of this second')
  t.true(end > lastSecondOf(now + maxSkew), 'a token that is taken although its iat is ahead')
  t.true(end <= now + longestTokenLifeSeconds + 3 * maxSkew)
})

test('issue (e): what also names tokens that are yet to be issued has no end', (t) => {
  for (const revocation of [
    { issuer, subject: 'jane' },
    { issuer, session: 'session-1' },
    { issuer, key: 'key-1' },
    { presenter: orders },
    { certificate: x5t },
  ])
    t.is(endOf(revocation, now), forEver)
})

test('memory state: what is added is in force at once, twice is once, and it is never behind', async (t) => {
  const store = createMemoryRevocations(() => now)
  t.is(store.index?.find(facts, now), undefined)
  t.is(await store.add([entry({ issuer, jti: 'id-1' })]), 'stored')
  t.is(await store.add([entry({ issuer, jti: 'id-1' })]), 'stored')
  t.is(store.index?.find(facts, now), 'token')
  t.is(store.index?.size, 1)
  t.is(store.readAt, undefined, 'there is nothing to be read')
})

test('memory state: what has ended makes room, and a full one takes nothing more and loses nothing', async (t) => {
  let time = now
  const store = createMemoryRevocations(() => time)
  const many = (from: number, count: number, until: number) =>
    Array.from({ length: count }, (_, i) => entry({ issuer, jti: `id-${from + i}` }, until))
  t.is(await store.add(many(0, 60_000, now + 10)), 'stored')
  t.is(await store.add(many(60_000, 40_000, now + 100)), 'stored')
  t.is(await store.add(many(100_000, 1, now + 100)), 'unavailable')
  t.is(store.index?.size, 100_000)
  t.is(store.index?.find({ ...facts, tokenId: 'id-59999' }, now), 'token')
  t.is(await store.add(many(0, 1, now + 10)), 'stored', 'one that is there already')
  time = now + 10
  t.is(await store.add(many(100_000, 1, now + 100)), 'stored')
  t.is(store.index?.size, 40_001)
})
