import test from 'ava'
import { createTextCache, signature, wholeText } from '../src/text-cache.ts'

const fact = (name: string) => ({ name })
const signed = (head: string, signature = 's'.repeat(96)) => `${head}.${signature}`

test('a fact is given for the very text it was stored under', (t) => {
  const cache = createTextCache(1000, () => 1, signature)
  cache.set(signed('a'), fact('a'))
  t.deepEqual(cache.get(signed('a')), fact('a'))
})

test('a text with the same end and another beginning gets nothing, and pushes the other out', (t) => {
  const cache = createTextCache(1000, () => 1, signature)
  cache.set(signed('a'), fact('a'))
  t.is(cache.get(signed('b')), undefined)
  cache.set(signed('b'), fact('b'))
  t.is(cache.get(signed('a')), undefined)
  t.deepEqual(cache.get(signed('b')), fact('b'))
})

test('a text that differs in its last characters alone gets nothing', (t) => {
  const cache = createTextCache(1000, () => 1, signature)
  cache.set(signed('a'), fact('a'))
  t.is(cache.get(`${signed('a').slice(0, -1)}t`), undefined)
})

test('texts shorter than the part that stands for them are kept apart by the whole text', (t) => {
  const cache = createTextCache(1000, () => 1, signature)
  cache.set('one', fact('one'))
  t.is(cache.get('two'), undefined)
  t.deepEqual(cache.get('one'), fact('one'))
})

test('what is deleted is gone', (t) => {
  const cache = createTextCache(1000, () => 1, signature)
  cache.set(signed('a'), fact('a'))
  cache.delete(signed('a'))
  t.is(cache.get(signed('a')), undefined)
})

test('the least recently used entries go first once the bytes are spent', (t) => {
  const cache = createTextCache<{ name: string }>(3, () => 1, signature)
  const text = (name: string) => signed('x', name.repeat(96))
  for (const name of ['a', 'b', 'c']) cache.set(text(name), fact(name))
  cache.get(text('a'))
  cache.set(text('d'), fact('d'))
  t.is(cache.get(text('b')), undefined)
  t.deepEqual(cache.get(text('a')), fact('a'))
})

test('where a text has no signature at its end, the whole of it can stand for it', (t) => {
  const cache = createTextCache<{ name: string }>(1000, () => 1, wholeText)
  cache.set(signed('a'), fact('a'))
  cache.set(signed('b'), fact('b'))
  t.deepEqual(cache.get(signed('a')), fact('a'))
  t.deepEqual(cache.get(signed('b')), fact('b'))
})
