import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { isRefusal } from '../../src/decision/decision.ts'
import type { JsonObject } from '../../src/strict-json.ts'
import {
  type ClosableIntrospector,
  createIntrospector,
  type IntrospectorOptions,
  maxCalls,
} from '../../src/token/introspection.ts'
import { IntrospectionFailure } from '../../src/token/introspection-call.ts'

const start = 1_800_000_000
const issuer = 'https://partner.example'

interface Rig {
  readonly introspector: ClosableIntrospector
  readonly asked: readonly string[]
  readonly told: readonly string[]
  setNow(seconds: number): void
  /** 'known' where it needed no call, '' where one brought facts, else the reason. */
  look(text: string, budgetMs?: number): Promise<string>
}

function createRig(
  answer: (text: string, signal: AbortSignal) => JsonObject | Promise<JsonObject>,
  options: Partial<IntrospectorOptions> = {},
): Rig {
  let now = start
  const asked: string[] = []
  const told: string[] = []
  const introspector = createIntrospector({
    name: 'partner',
    issuer,
    identity: undefined,
    ask: async (text, signal) => {
      asked.push(text)
      return answer(text, signal)
    },
    timeoutMs: 5000,
    cacheForSeconds: 10,
    clock: () => now,
    onCall: (result) => void told.push(result),
    ...options,
  })
  return {
    introspector,
    asked,
    told,
    setNow(seconds) {
      now = seconds
    },
    async look(text, budgetMs = Number.POSITIVE_INFINITY) {
      if (introspector.recall(text, now) !== undefined) return 'known'
      const facts = await introspector.introspect(text, now, budgetMs)
      return isRefusal(facts) ? facts.refused : ''
    },
  }
}

const active = { active: true, sub: 's', aud: 'a', iat: start, exp: start + 300 }
const fail = (result: IntrospectionFailure['result'] = 'failed', general = true) => {
  throw new IntrospectionFailure(result, 'broken', general)
}

test('RFC 7662 §4: an answer is believed for cacheFor, to the second, and then asked for again', async (t) => {
  const { look, asked, setNow } = createRig(() => active)
  t.is(await look('a'), '')
  setNow(start + 9)
  t.is(await look('a'), 'known')
  setNow(start + 10)
  t.is(await look('a'), '')
  setNow(start + 19)
  t.is(await look('a'), 'known')
  t.is(asked.length, 2)
})

test('RFC 7662 §4: no answer is believed past its exp', async (t) => {
  const { look, asked, setNow } = createRig(() => ({ ...active, exp: start + 3 }))
  t.is(await look('a'), '')
  setNow(start + 2)
  t.is(await look('a'), 'known')
  setNow(start + 3)
  t.is(await look('a'), '')
  t.is(asked.length, 2)
})

test('a clock that is set back makes no answer last longer', async (t) => {
  const { look, asked, setNow } = createRig(() => active)
  t.is(await look('a'), '')
  setNow(start - 100)
  t.is(await look('a'), '')
  t.is(asked.length, 2)
})

test('cacheFor: 0s remembers nothing', async (t) => {
  const { look, asked } = createRig(() => active, { cacheForSeconds: 0 })
  for (let i = 0; i < 3; i++) t.is(await look('a'), '')
  t.is(asked.length, 3)
})

test('inactive is remembered for cacheFor, and for ten seconds at most', async (t) => {
  for (const [cacheForSeconds, remembered] of [
    [5, 5],
    [10, 10],
    [300, 10],
  ] as const) {
    const { look, asked, setNow } = createRig(() => ({ active: false }), { cacheForSeconds })
    t.is(await look('a'), 'token_inactive')
    setNow(start + remembered - 1)
    t.is(await look('a'), 'token_inactive')
    t.is(asked.length, 1)
    setNow(start + remembered)
    t.is(await look('a'), 'token_inactive')
    t.is(asked.length, 2)
  }
})

test('an answer that says what is refused is not asked for again at once either', async (t) => {
  const { look, asked } = createRig(() => ({ ...active, exp: undefined }))
  t.is(await look('a'), 'claim_invalid')
  t.is(await look('a'), 'claim_invalid')
  t.is(asked.length, 1)
})

test('a token that was active and is not any more is refused once its time is over', async (t) => {
  let revoked = false
  const { look, setNow } = createRig(() => (revoked ? { active: false } : active))
  t.is(await look('a'), '')
  revoked = true
  t.is(await look('a'), 'known')
  setNow(start + 10)
  t.is(await look('a'), 'token_inactive')
  t.is(await look('a'), 'token_inactive')
})

test('J186: the memory of refused texts is bounded, and apart from that of good ones', async (t) => {
  const { look, asked } = createRig((text) => (text === 'good' ? active : { active: false }))
  t.is(await look('good'), '')
  const long = 'x'.repeat(16 * 1024)
  for (let i = 0; i < 1000; i++) t.is(await look(`${i}${long}`), 'token_inactive')
  t.is(await look(`999${long}`), 'token_inactive')
  t.is(asked.length, 1001)
  // The first has been pushed out: 4 MiB do not hold a thousand.
  t.is(await look(`0${long}`), 'token_inactive')
  t.is(asked.length, 1002)
  t.is(await look('good'), 'known')
})

test('what is remembered is bounded by what the answers hold, not by their texts alone', async (t) => {
  const roles = 'x'.repeat(60_000)
  const { look, asked, introspector } = createRig(() => ({ ...active, roles }))
  for (let i = 0; i < 1000; i++) t.is(await look(`t-${i}`), '')
  t.true(introspector.cache.size < 600, String(introspector.cache.size))
  t.is(await look('t-999'), 'known')
  t.is(await look('t-0'), '')
  t.is(asked.length, 1001)
})

test('a failure is not remembered', async (t) => {
  let broken = true
  const { look, asked } = createRig(() => (broken ? fail() : active))
  t.is(await look('a'), 'introspection_unavailable')
  broken = false
  t.is(await look('a'), '')
  t.is(asked.length, 2)
})

test('after five failures in a row nobody is asked for a second, then one; facts go on serving', async (t) => {
  let broken = false
  const { look, asked, told } = createRig(() => (broken ? fail('timeout') : active))
  t.is(await look('good'), '')
  broken = true
  for (let i = 0; i < 5; i++) t.is(await look(`a-${i}`), 'introspection_unavailable')
  t.is(asked.length, 6)
  for (let i = 0; i < 20; i++) t.is(await look('b'), 'introspection_unavailable')
  t.is(asked.length, 6)
  t.deepEqual([...new Set(told.slice(6))], ['refused'])
  t.is(await look('good'), 'known')
  // Until one goes out again: it fails, and the pause begins anew.
  while (asked.length === 6) {
    await sleep(20)
    t.is(await look('c'), 'introspection_unavailable')
  }
  t.is(asked.length, 7)
  t.is(await look('d'), 'introspection_unavailable')
  t.is(asked.length, 7)
  broken = false
  while ((await look('e')) !== '') await sleep(20)
  t.is(asked.length, 8)
  t.is(await look('f'), '')
})

test('after the pause only one call is tried, and the others do not wait for it', async (t) => {
  const gate = Promise.withResolvers<JsonObject>()
  let broken = true
  const { look, asked } = createRig(() => (broken ? fail() : gate.promise))
  for (let i = 0; i < 5; i++) await look(`a-${i}`)
  broken = false
  let trial = look('trial-0')
  for (let i = 1; asked.length === 5; i++) {
    await trial
    await sleep(20)
    trial = look(`trial-${i}`)
  }
  t.is(await look('other'), 'introspection_unavailable')
  t.is(asked.length, 6)
  gate.resolve(active)
  t.is(await trial, '')
  t.is(await look('other'), '')
})

test('what an endpoint answers about one strange token is no sign that it has failed', async (t) => {
  const { look, asked } = createRig((text) => (text === 'good' ? active : fail('failed', false)))
  for (let i = 0; i < 10; i++) t.is(await look(`junk-${i}`), 'introspection_unavailable')
  t.is(await look('good'), '')
  t.is(asked.length, 11)
})

test('at most 64 calls are under way; what is beyond is refused at once, one text is one call', async (t) => {
  const gate = Promise.withResolvers<JsonObject>()
  const { look, asked } = createRig(() => gate.promise)
  const waiting = Array.from({ length: maxCalls }, (_, i) => look(`t-${i}`))
  const joined = look('t-0')
  t.is(await look('one more'), 'introspection_unavailable')
  t.is(asked.length, 64)
  gate.resolve(active)
  t.deepEqual([...new Set(await Promise.all([...waiting, joined]))], [''])
  t.is(await look('one more'), '')
})

test('a call that never ends gives its place back after the timeout, and is told to stop', async (t) => {
  let stopped = false
  const { look, told } = createRig(
    (_, signal) => {
      signal.addEventListener('abort', () => {
        stopped = true
      })
      return new Promise(() => {})
    },
    { timeoutMs: 50 },
  )
  t.is(await look('a'), 'introspection_unavailable')
  t.deepEqual(told, ['timeout'])
  t.true(stopped)
})

test('close lets a check that began before have its answer, and then tells the calls to stop', async (t) => {
  const signals: AbortSignal[] = []
  const { look, introspector } = createRig((_, signal) => {
    signals.push(signal)
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new IntrospectionFailure('failed', 'ended')))
    })
  })
  const looking = [look('a'), look('b')]
  introspector.close()
  t.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, false],
  )
  t.deepEqual(await Promise.all(looking), [
    'introspection_unavailable',
    'introspection_unavailable',
  ])
  t.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, true],
  )
})

test('a listener that throws ends no call, and what nobody knows is told in fixed words', async (t) => {
  const heard: string[] = []
  const { look } = createRig(
    () => {
      throw new Error('secret words')
    },
    {
      onCall(result, error) {
        heard.push(`${result} ${error}`)
        throw new Error('the log is broken')
      },
    },
  )
  t.is(await look('a'), 'introspection_unavailable')
  t.deepEqual(heard, ['failed unknown error'])
})
