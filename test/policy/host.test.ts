import test from 'ava'
import fc from 'fast-check'
import { canonicalHost, hostMatches, isHostPattern } from '../../src/policy/host.ts'

test('policy.md Paths and hosts: hosts compare in lower case, without port or trailing dot', (t) => {
  const spellings = ['a.example', 'A.Example', 'A.EXAMPLE.', 'a.example:443', 'a.example.:8443']
  for (const text of [...spellings, 'a.example:']) t.is(canonicalHost(text), 'a.example', text)
  t.is(canonicalHost('[2001:DB8::1]:443'), '[2001:db8::1]')
  t.is(canonicalHost('10.0.0.1:80'), '10.0.0.1')
  t.is(canonicalHost('LOCALHOST'), 'localhost')
})

test('N247: userinfo, two hosts, empty labels, schemes and paths are no host', (t) => {
  const refused = ['', '.', ':443', 'a..example', '.a.example', 'a.example..', 'u@a.example']
  const lists = [
    'a.example,b.example',
    'a.example b.example',
    'a.example;b',
    'a.example, a.example',
  ]
  const urls = ['https://a.example', 'a.example/x', 'a.example?x', 'a.example#x', 'a.example\\b']
  const ports = ['a.example:x', 'a.example:123456', 'a.example:80:80', 'a.example:-1', 'a:80.']
  const brackets = ['[', '[]', '[::1', '::1', '[::1]x', '[g::]', '[[::1]]', '[::1%25eth0]']
  const spaced = [' a.example', 'a.example ', 'a.example\n', 'a.example\0', 'a.example\r\nx']
  const encoded = [
    '%61.example',
    'a%2eexample',
    'é.example',
    'a。example',
    'ａ.example',
    '*.example',
  ]
  const all = [refused, lists, urls, ports, brackets, spaced, encoded].flat()
  for (const text of all) t.is(canonicalHost(text), undefined, JSON.stringify(text))
})

test('policy.md Paths and hosts: of the 256 values only letters, digits, - _ and the dot are taken inside a name', (t) => {
  const taken = Array.from({ length: 256 }, (_, value) => String.fromCharCode(value)).filter(
    (char) => canonicalHost(`x${char}y`) !== undefined,
  )
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  t.deepEqual(taken, [...'-.0123456789', ...letters.toUpperCase(), '_', ...letters])
})

test('RFC 9110 §4.2.3: only ASCII letters have two cases; no other character becomes a letter of a host', (t) => {
  for (const char of ['\u212a', '\u0130', '\u017f', '\u2126', '\u00c5'])
    t.is(canonicalHost(`x${char}.example`), undefined, char.codePointAt(0)?.toString(16))
})

test('policy.md Paths and hosts: one host has one spelling', (t) => {
  const label = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/)
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
  const port = fc.constantFrom('', ':', ':1', ':443', ':65535')
  fc.assert(
    fc.property(name, fc.constantFrom('', '.'), port, (text, dot, suffix) => {
      t.is(canonicalHost(text + dot + suffix), text.toLowerCase())
      t.is(canonicalHost(text.toUpperCase() + dot + suffix), text.toLowerCase())
    }),
  )
})

test('policy.md The policy language: a host pattern is exact or has one leading *.', (t) => {
  for (const text of ['a', 'a.example', '*.example', '*.a.example', '10.0.0.1', '[::1]', 'a_b-c.x'])
    t.true(isHostPattern(text), text)
  const refused = ['', '*', '*.', '*a.example', 'a.*.example', '**.example', '*.*.example', 'a.*']
  const spelled = ['A.example', 'a.example.', 'a.example:80', 'https://a', 'a/b', '.a', 'a..b']
  for (const text of [...refused, ...spelled, 'u@a', ' a', 'a\n', '*.[::1]', '*.A'])
    t.false(isHostPattern(text), text)
})

test('policy.md The policy language: *. takes names below at any depth, never the name itself or a look-alike', (t) => {
  t.true(hostMatches('*.example', 'a.example'))
  t.true(hostMatches('*.example', 'b.a.example'))
  for (const host of ['example', 'aexample', 'a.example.org', 'a.example2', 'a-example'])
    t.false(hostMatches('*.example', host), host)
  t.true(hostMatches('a.example', 'a.example'))
  for (const host of ['b.a.example', 'aXexample', 'a.exampl', 'a.example.b'])
    t.false(hostMatches('a.example', host), host)
})
