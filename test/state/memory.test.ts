import test from 'ava'
import fc from 'fast-check'
import { createMemoryReplay } from '../../src/state/memory.ts'

const now = 1_800_000_000

test('a key is fresh once and spent from then on; other keys stay fresh', (t) => {
  const replay = createMemoryReplay(now)
  t.is(replay.spend('a', now + 60, now), 'fresh')
  t.is(replay.spend('a', now + 60, now), 'spent')
  t.is(replay.spend('a', now + 90, now + 1), 'spent')
  t.is(replay.spend('b', now + 60, now), 'fresh')
})

test('it says since when it remembers', (t) => {
  t.is(createMemoryReplay(now).remembersSince, now)
})

test('a key is remembered through its last second and forgotten in the next', (t) => {
  const replay = createMemoryReplay(now)
  replay.spend('a', now + 60, now)
  t.is(replay.spend('a', now + 200, now + 60), 'spent')
  t.is(replay.spend('a', now + 200, now + 61), 'fresh')
  t.is(replay.spend('a', now + 200, now + 62), 'spent')
})

test('a full store refuses new keys, still knows the old ones, and has room once some have expired', (t) => {
  const replay = createMemoryReplay(now, { maxEntries: 3 })
  for (const [key, seconds] of [
    ['a', 10],
    ['b', 10],
    ['c', 20],
  ] as const)
    t.is(replay.spend(key, now + seconds, now), 'fresh')
  t.is(replay.spend('d', now + 20, now), 'full')
  for (const key of ['a', 'b', 'c']) t.is(replay.spend(key, now + 20, now), 'spent')
  t.is(replay.spend('d', now + 20, now + 10), 'full')
  t.is(replay.spend('d', now + 20, now + 11), 'fresh')
  t.is(replay.spend('e', now + 20, now + 11), 'fresh')
  t.is(replay.spend('f', now + 20, now + 11), 'full')
  t.is(replay.spend('c', now + 20, now + 11), 'spent')
})

test('a clock that is set back forgets nothing that lives', (t) => {
  const replay = createMemoryReplay(now)
  replay.spend('a', now + 60, now)
  t.is(replay.spend('a', now + 60, now - 3600), 'spent')
  t.is(replay.spend('b', now + 60, now - 3600), 'fresh')
  t.is(replay.spend('a', now + 60, now + 1), 'spent')
  t.is(replay.spend('b', now + 60, now + 1), 'spent')
})

test('a clock that is set back, or read late, makes nothing fresh that was spent and forgotten', (t) => {
  const replay = createMemoryReplay(now)
  replay.spend('a', now + 60, now)
  replay.spend('other', now + 120, now + 61)
  t.is(replay.spend('a', now + 60, now + 60), 'spent')
})

test('fractions of a second neither shorten nor lose what is remembered', (t) => {
  const replay = createMemoryReplay(now)
  replay.spend('a', now + 60.5, now + 0.9)
  t.is(replay.spend('a', now + 60.5, now + 60.5), 'spent')
  t.is(replay.spend('b', now + 60.5, now + 60.4), 'fresh')
})

test('200,000 keys are each fresh once, and their memory is given back as time goes on', (t) => {
  const replay = createMemoryReplay(now)
  const total = 200_000
  const at = (index: number) => now + Math.floor(index / 1000)
  for (const expected of ['fresh', 'spent']) {
    let answers = 0
    for (let index = 0; index < total; index++)
      if (replay.spend(`key-${index}`, now + 600, at(index)) === expected) answers++
    t.is(answers, total)
  }
  t.is(replay.size, total)
  for (let index = 0; index < total; index++) replay.spend(`new-${index}`, now + 1200, now + 601)
  t.is(replay.size, total)
})

test('it forgets a flood in small steps: one call after it deletes few keys', (t) => {
  const replay = createMemoryReplay(now)
  for (let index = 0; index < 10_000; index++) replay.spend(`key-${index}`, now + 60, now)
  replay.spend('later', now + 120, now + 61)
  t.true(replay.size > 9900)
  for (let index = 0; index < 2000; index++) replay.spend('later', now + 120, now + 61)
  t.is(replay.size, 1)
})

/** A list, searched whole: right by inspection. */
function createNaiveReplay(maxEntries: number) {
  let live: { key: string; last: number; until: number }[] = []
  let forgottenUntil = Number.NEGATIVE_INFINITY
  return (key: string, expiresAt: number, time: number, elapsed: number) => {
    const isOver = ({ last, until }: { last: number; until: number }) =>
      last < time && until < elapsed
    forgottenUntil = Math.max(forgottenUntil, ...live.filter(isOver).map(({ last }) => last))
    live = live.filter((entry) => !isOver(entry))
    if (expiresAt <= forgottenUntil || live.some((entry) => entry.key === key)) return 'spent'
    if (live.length >= maxEntries) return 'full'
    const until = elapsed + expiresAt - time
    // All that expire in one second go together.
    for (const entry of live)
      if (entry.last === expiresAt) entry.until = Math.max(entry.until, until)
    const longest = Math.max(
      until,
      ...live.filter(({ last }) => last === expiresAt).map((e) => e.until),
    )
    live.push({ key, last: expiresAt, until: longest })
    return 'fresh'
  }
}

const call = fc.record({
  key: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz'),
  life: fc.integer({ min: 0, max: 12 }),
  /** Of the clock, and what the monotonic one goes on meanwhile. */
  step: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 2 }).map((s) => [s, s] as const) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.integer({ min: -40, max: 40 }), fc.integer({ min: 0, max: 30 })),
    },
  ),
})

test('it answers as a naive list does, whatever the keys, lives, sizes and steps of the clock', (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.array(call, { maxLength: 200, size: 'max' }),
      (maxEntries, calls) => {
        let time = now
        let elapsed = 0
        const replay = createMemoryReplay(now, { maxEntries, monotonic: () => elapsed })
        const naive = createNaiveReplay(maxEntries)
        for (const { key, life, step } of calls) {
          time += step[0]
          elapsed += step[1]
          const expected = naive(key, time + life, time, elapsed)
          seen.add(expected)
          if (replay.spend(key, time + life, time) !== expected) return false
          if (replay.size > maxEntries) return false
        }
        return true
      },
    ),
    { numRuns: 500 },
  )
  t.deepEqual([...seen].toSorted(), ['fresh', 'full', 'spent'])
})

test('F7: nothing is spent twice while its age is right, whatever is done to the clock', (t) => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 200, size: 'max' }), (calls) => {
      const maxAge = 12
      let time = now
      let elapsed = 0
      const replay = createMemoryReplay(now, { monotonic: () => elapsed })
      const taken = new Set<string>()
      for (const { key, life, step } of calls) {
        time += step[0]
        elapsed += step[1]
        // One proof has one key and one end, as its `jti` and `iat` do; it is looked at only while it is young enough.
        const expiresAt = now + ((key.charCodeAt(0) * 7 + life) % 100)
        const proof = `${key} ${expiresAt}`
        if (time > expiresAt || time < expiresAt - maxAge) continue
        if (replay.spend(proof, expiresAt, time) !== 'fresh') continue
        if (taken.has(proof)) return false
        taken.add(proof)
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.pass()
})

test('F7: after an hour that was wrong for a moment fresh proofs are taken, and those of before are spent', (t) => {
  let elapsed = 0
  const replay = createMemoryReplay(now, { monotonic: () => elapsed })
  t.is(replay.spend('before', now + 90, now), 'fresh')
  elapsed += 1
  t.is(replay.spend('of that hour', now + 3690, now + 3600), 'fresh')
  elapsed += 1
  t.is(replay.spend('before', now + 90, now + 2), 'spent')
  t.is(replay.spend('after', now + 92, now + 2), 'fresh')
  elapsed += 200
  t.is(replay.spend('long after', now + 290, now + 202), 'fresh')
  t.is(replay.spend('of that hour', now + 3690, now + 3600), 'spent')
})
