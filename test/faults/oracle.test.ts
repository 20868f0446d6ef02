/** The oracle of `make faults`: what it says of sound requests, of every attack, and near the limits. */

import test from 'ava'
import { attacksOn } from '../../faults/attacks.ts'
import { type Cast, createCast } from '../../faults/cast.ts'
import { expect } from '../../faults/oracle.ts'
import { createWorld } from '../../faults/policy.ts'
import { createChance, createTraffic, kinds } from '../../faults/traffic.ts'

const now = 1_780_000_000
let cast: Cast
test.before(async () => {
  cast = await createCast()
})

const trafficOf = (seed: number) => createTraffic(cast, { seed, now: () => now })
/** A certificate of the cast is dated by the true clock: it must be inside its validity at `now`. */
const certified = () => {
  const [first] = cast.workloads
  return Math.min(now, cast.presenter(first ?? '').notAfter - 100)
}

for (const kind of kinds) {
  test(`policy.md, Bindings: a sound request of kind ${kind} is to be allowed`, (t) => {
    const at = certified()
    const facts = createTraffic(cast, { seed: 1, now: () => at }).sound(kind)
    t.deepEqual(expect(facts, createWorld(), at), { verdict: 'allow', reasons: [] })
  })

  test(`make faults: every attack on ${kind} is to be denied, for a reason with a name`, (t) => {
    const at = certified()
    const traffic = createTraffic(cast, { seed: 2, now: () => at })
    const chance = createChance(3)
    let serial = 0
    const means = {
      cast,
      freshId: () => `id-${serial++}`,
      pick: <T>(list: readonly T[]) => list[Math.floor(chance() * list.length)] as T,
    }
    for (const attack of attacksOn(kind)) {
      const facts = attack(traffic.sound(kind), means)
      const { verdict, reasons } = expect(facts, createWorld(), at)
      t.is(verdict, 'deny', facts.title)
      t.true(reasons.length > 0, facts.title)
    }
  })
}

test('RFC 9449 §11.1: what was spent before is to be denied, and nothing else about it', (t) => {
  const at = certified()
  const facts = createTraffic(cast, { seed: 1, now: () => at }).sound('dpop')
  const again = expect({ ...facts, spentBefore: true }, createWorld(), at)
  t.deepEqual(again, { verdict: 'deny', reasons: ['proof_replayed', 'proof_invalid'] })
})

test('RFC 7519 §4.1.4: so near to exp that the answer may come after it, either answer is right', (t) => {
  const at = certified()
  const sound = createTraffic(cast, { seed: 1, now: () => at }).sound('spiffe')
  const until = (seconds: number) => ({
    ...sound,
    ...(sound.token && { token: { ...sound.token, expiresAt: at + seconds } }),
  })
  const verdict = (seconds: number) => expect(until(seconds), createWorld(), at).verdict
  t.is(verdict(10), 'allow')
  t.is(verdict(1), 'either')
  t.is(verdict(-3), 'either')
  t.is(verdict(-4), 'deny')
})

test('make faults: 60 % of the mix are sound, and a seed gives the same mix again', (t) => {
  const titles = (seed: number) => {
    const traffic = trafficOf(seed)
    return Array.from({ length: 2000 }, () => traffic.next().facts.title)
  }
  const mix = titles(5)
  const sound = mix.filter((title) => (kinds as readonly string[]).includes(title)).length
  t.true(sound > 1100 && sound < 1300, `${sound} of 2000`)
  t.deepEqual(titles(5), mix)
  t.notDeepEqual(titles(6), mix)
})

test('a revoked token, a removed key and other callers change what is to come of a request', (t) => {
  const at = certified()
  const facts = createTraffic(cast, { seed: 1, now: () => at }).sound('x5t')
  const world = createWorld()
  world.revokedIds.add(facts.token?.id ?? '')
  t.deepEqual(expect(facts, world, at).reasons, ['token_revoked'])
  world.revokedIds.clear()
  world.keyIds.clear()
  t.deepEqual(expect(facts, world, at).reasons, ['token_key_unknown', 'token_signature_invalid'])
  const { x5t } = createWorld().rules
  const rules = { ...createWorld().rules, x5t: { ...x5t, callers: ['spiffe://mesh.example/b/'] } }
  t.deepEqual(expect(facts, { ...createWorld(), rules }, at).reasons, ['caller_refused'])
})
