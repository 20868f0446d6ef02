/** The fuzzer itself: it finds what is there to be found, makes it short, and does the same again for the same seed. */

import test from 'ava'
import { fuzz } from './engine.ts'
import { createRandom } from './random.ts'
import { agree, demand, type Target } from './target.ts'

const target = (judge: Target['judge']): Target => ({
  name: 'no-such-corpus',
  source: '',
  dictionary: ['needle'],
  generate: (random) => Buffer.from(random.many(20, () => random.pick([...'abcdef'])).join('')),
  judge,
})
const run = (judge: Target['judge'], seed = 1) =>
  fuzz(target(judge), { seed, budgetMs: 20_000, onInput: () => {} })

test('control: a fault that takes two words is found, and told with the shortest input that has it', async (t) => {
  const { finding } = await run((input) => {
    const text = input.toString('latin1')
    if (text.includes('needle') && text.includes('f')) throw new RangeError('a bug')
    return 'taken'
  })
  t.is([...(finding?.input.toString() ?? '')].sort().join(''), [...'needlef'].sort().join(''))
  t.regex(finding?.error ?? '', /a bug/)
})

test('control: two readings that differ are a finding', async (t) => {
  const { finding } = await run((input) => {
    agree('first byte', input[0] === 0x80, false)
    demand('short', input.length < 1000)
    return 'taken'
  })
  t.regex(finding?.error ?? '', /first byte: true, not false|short/)
})

test('control: what only a change that knows the grammar makes is found, and where it makes none the input is mutated', async (t) => {
  const grammar = (reshape: NonNullable<Target['reshape']>) => ({
    ...target((input) => {
      if (input.toString('latin1').startsWith('reshaped')) throw new RangeError('a bug')
      return 'taken'
    }),
    reshape,
  })
  const order = { seed: 1, budgetMs: 20_000, onInput: () => {} }
  const found = await fuzz(
    grammar((_input, _random, other) => Buffer.from(`reshaped ${other()}`)),
    order,
  )
  t.regex(found.finding?.error ?? '', /a bug/)
  let asked = 0
  const inputs = new Set<string>()
  const none = grammar(() => {
    asked++
    return undefined
  })
  const onInput = (input: Buffer) => void inputs.add(input.toString('latin1'))
  t.is((await fuzz(none, { ...order, budgetMs: 50, onInput })).finding, undefined)
  t.true(asked > 0 && [...inputs].some((input) => input.includes('needle')))
})

test('the same seed gives the same inputs, another gives others', async (t) => {
  const seen = async (seed: number) => {
    const inputs: string[] = []
    await fuzz(
      target((input) => {
        inputs.push(input.toString('hex'))
        return 'taken'
      }),
      { seed, budgetMs: 0, onInput: () => {} },
    )
    return inputs.slice(0, 64)
  }
  t.deepEqual(await seen(7), await seen(7))
  t.notDeepEqual(await seen(7), await seen(8))
  const random = createRandom(7)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < 4000; i++) {
    const drawn = random.int(4)
    counts[drawn] = (counts[drawn] ?? 0) + 1
  }
  t.true(counts.every((count) => count > 800 && count < 1200))
})
