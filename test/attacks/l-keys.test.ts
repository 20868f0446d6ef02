import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import { createKeySource, type KeySource, maxStaleSeconds } from '../../src/token/key-source.ts'
import { createTokenIssuer } from '../../src/token/token-issuer.ts'
import { verifyToken } from '../../src/token/verify.ts'
import { audience, createTestIssuer, type TestIssuer } from '../support/issuer.ts'

const start = 1_800_000_000
const corp = await createTestIssuer('https://idp.example', { now: () => start, keyId: 'k1' })
const next = await createTestIssuer('https://idp.example', { now: () => start, keyId: 'k2' })
const setOf = (...issuers: TestIssuer[]) => ({ keys: issuers.map(({ publicJwk }) => publicJwk) })

interface Rig {
  readonly source: KeySource
  /** What every read gives; a function is called, an Error is thrown. */
  serve(document: unknown): void
  readonly results: string[]
  loads(): number
  at(secondsAfterStart: number): void
  now(): number
  /** `hit`, `miss`, or the reason of a refusal. */
  verify(token: string): Promise<string>
}

async function createRig(document: unknown, name = 'corp', issuer = corp.issuer): Promise<Rig> {
  let served = document
  let now = start
  let loads = 0
  const results: string[] = []
  const source = createKeySource({
    load: async () => {
      loads++
      if (served instanceof Error) throw served
      const given = typeof served === 'function' ? await served() : served
      return { bytes: Buffer.from(typeof given === 'string' ? given : JSON.stringify(given)) }
    },
    algorithms: ['ES256', 'RS256'],
    clock: () => now,
    refreshSeconds: 300,
    onFetch: (result) => results.push(result),
  })
  await source.tried
  const settings = { name, issuer, algorithms: ['ES256' as const], types: ['at+jwt'] }
  const tokens = createTokenIssuer({ ...settings, identity: undefined }, source)
  const limits = { audiences: new Set([audience]), maxLifetimeSeconds: 1e6 }
  const rules = { clockSkewSeconds: 1e6, maxAgeSeconds: 1e6, perIssuer: new Map([[name, limits]]) }
  return {
    source,
    results,
    serve: (other) => {
      served = other
    },
    loads: () => loads,
    at: (seconds) => {
      now = start + seconds
    },
    now: () => now,
    async verify(token) {
      const verified = await verifyToken(token, [tokens], rules, now)
      return isRefusal(verified) ? verified.refused : verified.cache
    },
  }
}

test('L202: ten thousand unknown kids within 10 s make no read, and one read after the cooldown', async (t) => {
  const { source, loads, at } = await createRig(setOf(corp))
  for (let i = 0; i < 10_000; i++) {
    at(i / 1000)
    t.is(source.find(`kid-${i}`, 'ES256'), 'unknown')
  }
  t.is(loads(), 1)
  at(10)
  for (let i = 0; i < 10_000; i++) source.find(`kid-${i}`, 'ES256')
  await source.refresh()
  for (let i = 0; i < 10_000; i++) source.find(`kid-${i}`, 'ES256')
  t.is(loads(), 2)
  at(20)
  source.find('other', 'ES256')
  t.is(loads(), 3)
})

test('L202: an unknown kid of one issuer starts no read of another', async (t) => {
  const [one, two] = [await createRig(setOf(corp)), await createRig(setOf(corp))]
  one.at(60)
  two.at(60)
  one.source.find('unknown', 'ES256')
  t.deepEqual([one.loads(), two.loads()], [2, 1])
})

test('L202: an unknown kid finds its key once the read that it started has ended', async (t) => {
  const rig = await createRig(setOf(corp))
  const token = await next.sign()
  rig.serve(setOf(corp, next))
  t.is(await rig.verify(token), 'token_key_unknown')
  rig.at(10)
  t.is(await rig.verify(token), 'token_key_unknown')
  await rig.source.refresh()
  t.is(await rig.verify(token), 'miss')
})

for (const [name, document] of Object.entries({
  'an empty': { keys: [] },
  no: new Error('down'),
})) {
  test(`L203: with ${name} set at every read the cooldown still holds`, async (t) => {
    const rig = await createRig(setOf(corp))
    rig.serve(document)
    rig.at(10)
    for (let i = 0; i < 1000; i++) rig.source.find(`kid-${i}`, 'ES256')
    await rig.source.refresh()
    for (let i = 0; i < 1000; i++) rig.source.find(`kid-${i}`, 'ES256')
    t.is(rig.loads(), 2)
    t.is(rig.results.filter((result) => result !== 'ok').length, 1)
  })
}

test('L204: down at start: tried, keys_unavailable, and in force once the set can be had', async (t) => {
  for (const down of [new Error('ECONNREFUSED'), '', '<html>', { keys: [] }]) {
    const rig = await createRig(down)
    const token = await corp.sign()
    t.is(await rig.verify(token), 'keys_unavailable')
    t.is(rig.source.find('k1', 'ES256'), 'unavailable')
    rig.serve(setOf(corp))
    await rig.source.refresh()
    t.is(await rig.verify(token), 'miss')
  }
})

test('L205: down after start: the last good keys serve until they are too old, cached tokens no longer', async (t) => {
  const rig = await createRig(setOf(corp))
  const token = await corp.sign()
  t.is(await rig.verify(token), 'miss')
  rig.serve(new Error('down'))
  for (const seconds of [60, 1800, maxStaleSeconds]) {
    rig.at(seconds)
    await rig.source.refresh()
    t.is(await rig.verify(token), 'hit', String(seconds))
  }
  rig.at(maxStaleSeconds + 1)
  t.is(await rig.verify(token), 'keys_unavailable')
  t.is(await rig.verify(await corp.sign({ jti: 'new' })), 'keys_unavailable')
  rig.serve(setOf(corp))
  await rig.source.refresh()
  t.is(await rig.verify(token), 'miss')
})

test('L206: a read that never ends delays no known kid and answers an unknown one at once', async (t) => {
  const rig = await createRig(setOf(corp))
  rig.serve(() => new Promise(() => {}))
  rig.at(30)
  void rig.source.refresh()
  t.is(rig.loads(), 2)
  t.is(await rig.verify(await corp.sign()), 'miss')
  t.is(await rig.verify(await next.sign()), 'token_key_unknown')
  rig.at(300)
  t.is(await rig.verify(await next.sign()), 'token_key_unknown')
  t.is(rig.loads(), 2)
})

const jwk = JSON.stringify(corp.publicJwk)
const unusable: { readonly [name: string]: unknown } = {
  nothing: '',
  HTML: '<!doctype html><title>502</title>',
  null: 'null',
  'a list': `[${jwk}]`,
  'a string': '"keys"',
  'no keys': '{}',
  'keys that are no list': `{"keys":${jwk}}`,
  'keys that are no objects': '{"keys":[1,null,"x",[]]}',
  'a cut-off set': `{"keys":[${jwk}`,
  'text after the set': `{"keys":[${jwk}]}x`,
  'a BOM': `\ufeff{"keys":[${jwk}]}`,
  'deep nesting': `{"keys":[${jwk}],"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  'five thousand keys': { keys: Array(5000).fill(corp.publicJwk) },
  '101 keys': { keys: Array.from({ length: 101 }, (_, i) => ({ ...corp.publicJwk, kid: `${i}` })) },
  '10 MB of white space and a number': `${' '.repeat(10_000_000)}1`,
}
for (const [name, document] of Object.entries(unusable)) {
  test(`L207: ${name} instead of a set leaves the last good keys in force`, async (t) => {
    const rig = await createRig(setOf(corp))
    rig.serve(document)
    rig.at(60)
    await rig.source.refresh()
    t.deepEqual(rig.results, ['ok', 'unusable'])
    t.is(await rig.verify(await corp.sign()), 'miss')
    const fresh = await createRig(document)
    t.is(await fresh.verify(await corp.sign()), 'keys_unavailable')
  })
}

test('L207: a set of a hundred keys is taken', async (t) => {
  const others = Array.from({ length: 99 }, (_, i) => ({ ...next.publicJwk, kid: `${i}` }))
  const rig = await createRig({ keys: [...others, corp.publicJwk] })
  t.is(await rig.verify(await corp.sign()), 'miss')
})

const symmetric = { kty: 'oct', k: 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0', kid: 'k1' }
test('L210: a symmetric key in a set is ignored, alone it is no set', async (t) => {
  const rig = await createRig({ keys: [symmetric, corp.publicJwk] })
  t.is(await rig.verify(await corp.sign()), 'miss')
  for (const algorithm of ['HS256', 'none', 'dir', ''])
    t.is(rig.source.find('k1', algorithm), 'unknown', algorithm)
  const alone = await createRig({ keys: [symmetric, { ...symmetric, alg: 'ES256' }] })
  t.deepEqual(alone.results, ['unusable'])
})

test('L210: a private, encryption or foreign-curve key is ignored', async (t) => {
  const { publicJwk } = corp
  const bad = [{ d: 'AAAA' }, { use: 'enc' }, { key_ops: ['encrypt'] }, { kty: 'RSA' }]
  for (const defect of [...bad, { crv: 'P-384' }, { x: publicJwk.y }, { alg: 'RS256' }, { kid: 7 }])
    t.deepEqual((await createRig({ keys: [{ ...publicJwk, ...defect }] })).results, ['unusable'])
  t.deepEqual((await createRig({ keys: [publicJwk] })).results, ['ok'])
})

test('L211: one kid at two issuers names a key of each; neither signs for the other', async (t) => {
  const now = () => start
  const other = await createTestIssuer('https://other.example', { now, keyId: 'k1' })
  const [ours, theirs] = [
    await createRig(setOf(corp)),
    await createRig(setOf(other), 'o', other.issuer),
  ]
  t.is(await ours.verify(await corp.sign()), 'miss')
  t.is(await theirs.verify(await other.sign()), 'miss')
  t.is(await ours.verify(await other.sign({ iss: corp.issuer })), 'token_signature_invalid')
  t.is(await theirs.verify(await corp.sign({ iss: other.issuer })), 'token_signature_invalid')
  t.is(await ours.verify(await other.sign()), 'issuer_unknown')
})

test('L212: while keys overlap, tokens of both are taken; without kid neither is guessed', async (t) => {
  const rig = await createRig(setOf(corp, next))
  t.is(await rig.verify(await corp.sign()), 'miss')
  t.is(await rig.verify(await next.sign()), 'miss')
  t.is(await rig.verify(await corp.sign({ jti: 'x' }, { kid: undefined })), 'token_key_unknown')
  const alone = await createRig(setOf(corp))
  t.is(await alone.verify(await corp.sign({ jti: 'x' }, { kid: undefined })), 'miss')
})

test('L212: a kid that two keys of one set share names neither', async (t) => {
  const twin = { ...next.publicJwk, kid: 'k1' }
  const rig = await createRig({ keys: [corp.publicJwk, twin] })
  t.is(await rig.verify(await corp.sign()), 'token_key_unknown')
})

test('L213: a token that was verified before is refused once its key has gone from the set', async (t) => {
  const rig = await createRig(setOf(corp, next))
  const [gone, kept] = [await corp.sign(), await next.sign()]
  for (const expected of ['miss', 'hit'])
    for (const token of [gone, kept]) t.is(await rig.verify(token), expected)
  rig.serve(setOf(next))
  await rig.source.refresh()
  t.is(await rig.verify(gone), 'token_key_unknown')
  t.is(await rig.verify(kept), 'hit')
  rig.serve(setOf(corp, next))
  await rig.source.refresh()
  t.is(await rig.verify(gone), 'miss')
})

test('L213: another key under the same kid ends the tokens of the first', async (t) => {
  const rig = await createRig(setOf(corp))
  const token = await corp.sign()
  t.is(await rig.verify(token), 'miss')
  rig.serve({ keys: [{ ...next.publicJwk, kid: 'k1' }] })
  await rig.source.refresh()
  for (const _ of [1, 2]) t.is(await rig.verify(token), 'token_signature_invalid')
  t.is(await rig.verify(await next.sign({}, { kid: 'k1' })), 'miss')
})

test('L215: duplicate keys anywhere in the JSON refuse the whole set', async (t) => {
  const good = `{"keys":[${jwk}]}`
  const doubled = [
    `{"keys":[${jwk}],"keys":[]}`,
    `{"keys":[],"\\u006beys":[${jwk}]}`,
    `{"keys":[${jwk.replace('{', '{"kid":"k1",')}]}`,
    `{"keys":[${jwk}],"x":{"a":1,"a":1}}`,
  ]
  for (const document of doubled) t.deepEqual((await createRig(document)).results, ['unusable'])
  t.deepEqual((await createRig(good)).results, ['ok'])
})
