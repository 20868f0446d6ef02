/** The grammars of where a request goes: paths, hosts, the `htu` of a proof. */

import { normaliseRequestPath, readTarget } from '../../../src/confirmation/target.ts'
import { canonicalHost } from '../../../src/policy/host.ts'
import { canonicalPath } from '../../../src/policy/path.ts'
import type { Random } from '../random.ts'
import { canonicalPathSlowly, normalisePathSlowly, readTargetSlowly } from '../slow/uri.ts'
import { agree, type Target } from '../target.ts'

const longest = 8192
const textOf = (bytes: Buffer) => bytes.toString('utf8')
const pieces = [
  'a',
  'v1',
  '.',
  '..',
  '',
  '%2e',
  '%2F',
  '%41',
  '%7e',
  '%7E',
  '%25',
  '%252f',
  '%20',
  'é',
]
const more = [
  '%C3%A9',
  '%c0%ae',
  ';x',
  '\\',
  '*',
  "!$&'()+,=:@",
  '~',
  '...',
  '%',
  '%zz',
  '%25%34',
  ' ',
]
const pathWords = [
  ...pieces,
  ...more,
  '/',
  '//',
  '/../',
  '?',
  '#',
  '\x7f',
  '\x00',
  '%00',
  '%ff',
  '\u{1f600}',
]

function pathText(random: Random): string {
  const words = random.chance(3) ? [...pieces, ...more] : ['a', 'v1', 'payments', 'b~c', 'A.b']
  const path = `/${random.many(6, () => random.pick(words)).join('/')}`
  return path + random.pick(['', '', '?', '?a=/../b', '#f', '?a#b', '/'])
}

export const path: Target = {
  name: 'path',
  source: 'policy.md, Paths and hosts; RFC 3986 §6.2.2',
  dictionary: pathWords,
  generate: (random) => Buffer.from(pathText(random)),
  judge(input) {
    const text = textOf(input)
    const fast = canonicalPath(text)
    agree('path', fast, canonicalPathSlowly(text))
    if (fast === undefined) return 'refused'
    return `taken${text.includes('%') ? ', decoded' : ''}${fast.endsWith('/') ? ', open' : ''}`
  },
}

export const target: Target = {
  name: 'htu',
  source: 'RFC 9449 §4.3 item 9, RFC 3986 §6.2.2, §6.2.3',
  dictionary: [
    ...pathWords,
    'https://',
    'HTTPS://',
    ':443',
    ':80',
    ':0',
    '[::1]',
    '[',
    ']',
    '@',
    '.',
  ],
  generate(random) {
    const scheme = random.pick([
      'https://',
      'https://',
      'http://',
      'HTTPS://',
      'https:/',
      'https:',
      '',
    ])
    const host = random.pick([
      'payments.example',
      'PAYMENTS.example.',
      'a..b',
      '[::1]',
      '[::FFFF:1.2.3.4]',
      '[::1',
      '[v1.x]',
      '0x7f.1',
      'a_b-c',
      'u@h',
      'ｅ.example',
      '',
    ])
    const port = random.pick(['', '', ':', ':443', ':80', ':0443', ':0', ':65535', ':65536', ':x'])
    return Buffer.from(scheme + host + port + (random.chance(5) ? '' : pathText(random)))
  },
  judge(input) {
    const text = textOf(input)
    const fast = readTarget(text)
    agree('target', fast, readTargetSlowly(text))
    const [asked = ''] = text.split('?')
    // Longer ones are refused before, as a path that is not canonical.
    if (asked.length <= longest)
      agree('request path', normaliseRequestPath(text), normalisePathSlowly(asked))
    if (fast === undefined) return 'refused'
    agree('target in its one spelling', readTarget(fast.origin + fast.path), fast)
    return `taken ${fast.origin.startsWith('https:')} ${fast.origin.endsWith(']')} ${text.includes('%')}`
  },
}

export const host: Target = {
  name: 'host',
  source: 'RFC 3986 §3.2.2, RFC 9110 §4.2.3',
  dictionary: ['.', ':', ':443', '[::1]', '@', ',', '*.', 'K', '\u212a'],
  generate: (random) =>
    Buffer.from(
      random.pick([
        'a.example',
        'A',
        'a_b-c.d',
        '[::1]',
        '[::g]',
        '*.a',
        'a..b',
        '1.2.3.4',
        'ä.b',
      ]) +
        random.pick(['', '', '.', '..']) +
        random.pick(['', '', ':', ':443', ':123456', ':x', ':1:2']),
    ),
  judge(input) {
    const text = textOf(input)
    const fast = canonicalHost(text)
    agree('host', fast, hostSlowly(text))
    return fast === undefined ? 'refused' : `taken ${fast.startsWith('[')} ${text.includes(':')}`
  },
}

function hostSlowly(text: string): string | undefined {
  if (text.length > 260) return undefined
  const bracket = text.startsWith('[') ? text.indexOf(']') : -1
  if (text.startsWith('[') && bracket < 2) return undefined
  const colon = text.indexOf(':', bracket + 1)
  const name = colon === -1 ? text : text.slice(0, colon)
  const port = colon === -1 ? '' : text.slice(colon + 1)
  if (port.length > 5 || [...port].some((char) => char < '0' || char > '9')) return undefined
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  const lower = [...bare].map((char) => (char >= 'A' && char <= 'Z' ? char.toLowerCase() : char))
  if (bracket !== -1) {
    const inside = bare.slice(1, -1)
    const sound =
      bare.endsWith(']') && [...inside].every((c) => '0123456789abcdefABCDEF:.'.includes(c))
    return sound && inside !== '' ? lower.join('') : undefined
  }
  const chars = 'abcdefghijklmnopqrstuvwxyz0123456789_-'
  const labels = lower.join('').split('.')
  const sound = labels.every((label) => label !== '' && [...label].every((c) => chars.includes(c)))
  return sound ? lower.join('') : undefined
}
