import test from 'ava'
import fc from 'fast-check'
import { canonicalPath } from '../../src/policy/path.ts'

const unreserved = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~'
const hex = '0123456789ABCDEFabcdef'
const isControl = (byte: number) => byte < 0x20 || byte === 0x7f

/** The byte of an escape at `index`, or undefined where no well-formed escape stands. */
function escapeAt(text: string, index: number): number | undefined {
  const [percent, high = '', low = ''] = text.slice(index, index + 3)
  if (percent !== '%' || high === '' || low === '') return undefined
  return hex.includes(high) && hex.includes(low) ? Number.parseInt(high + low, 16) : undefined
}

/** policy.md "Paths and hosts" read clause by clause. A raw space cannot be in a target (RFC 9112 §3). */
function oracle(target: string): string | undefined {
  for (const char of target)
    if (isControl(char.charCodeAt(0)) || char === ' ' || char === '#') return undefined
  const path = target.split('?')[0] ?? ''
  if (!path.startsWith('/') || path.includes('\\') || path.includes(';')) return undefined
  const segments = path.split('/').slice(1)
  for (const [i, segment] of segments.entries()) {
    if (segment === '.' || segment === '..') return undefined
    if (segment === '' && i < segments.length - 1) return undefined
  }
  const bytes: number[] = []
  for (let i = 0; i < path.length; ) {
    const char = String.fromCodePoint(path.codePointAt(i) ?? 0)
    if (char !== '%') {
      if (char === '\ufffd') return undefined
      bytes.push(...Buffer.from(char))
      i += char.length
      continue
    }
    const byte = escapeAt(path, i)
    if (byte === undefined || isControl(byte)) return undefined
    if (`${unreserved}/\\;`.includes(String.fromCharCode(byte))) return undefined
    if (byte === 0x25 && escapeAt(`%${path.slice(i + 3)}`, 0) !== undefined) return undefined
    bytes.push(byte)
    i += 3
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes))
  } catch {
    return undefined
  }
}

const placings: readonly ((part: string) => string)[] = [
  (part) => `${part}yz`,
  (part) => `y${part}z`,
  (part) => `yz${part}`,
  (part) => part,
  (part) => part + part,
]
const settings: readonly ((segment: string) => string)[] = [
  (segment) => `/${segment}`,
  (segment) => `/${segment}/b`,
  (segment) => `/a/${segment}`,
  (segment) => `/a/${segment}/b`,
  (segment) => `/a/b?${segment}`,
]
const values = Array.from({ length: 256 }, (_, value) => value)
const everywhere = (part: string) =>
  placings.flatMap((put) => settings.map((within) => within(put(part))))
const spelled = (value: number) => value.toString(16).padStart(2, '0')
const bothCases = (value: number) => [`%${spelled(value)}`, `%${spelled(value).toUpperCase()}`]

const forms: readonly (readonly [name: string, (value: number) => readonly string[]])[] = [
  ['raw', (value) => [String.fromCharCode(value)]],
  ['percent-encoded, in both cases', bothCases],
  ['encoded twice', (value) => bothCases(value).map((encoded) => encoded.replace('%', '%25'))],
]
for (const [name, spellings] of forms) {
  test(`policy.md Paths and hosts: each of the 256 values ${name}, in every place, is judged as the prose says`, (t) => {
    const paths = values.flatMap(spellings).flatMap(everywhere)
    const wrong = paths.filter((path) => canonicalPath(path) !== oracle(path))
    t.deepEqual(wrong, [])
    t.true(paths.some((path) => oracle(path) === undefined))
    t.true(paths.some((path) => oracle(path) !== undefined))
  })
}

test('policy.md Paths and hosts: an escape may stand for these characters and no others', (t) => {
  const taken = values.filter((value) =>
    bothCases(value).every((encoded) => canonicalPath(`/y${encoded}z`) !== undefined),
  )
  t.is(String.fromCharCode(...taken), ' !"#$%&\'()*+,:<=>?@[]^`{|}')
})

test('policy.md Paths and hosts: an encoded unreserved character, / \\ ; or control is refused', (t) => {
  const controls = values.filter(isControl).map((value) => String.fromCharCode(value))
  for (const char of [...unreserved, '/', '\\', ';', ...controls])
    for (const encoded of bothCases(char.charCodeAt(0)))
      t.is(canonicalPath(`/y${encoded}z`), undefined, encoded)
})

test('policy.md Paths and hosts: an encoded % that begins another escape is refused, whatever the escape', (t) => {
  for (const value of values)
    for (const encoded of bothCases(value))
      for (const path of everywhere(`%25${encoded.slice(1)}`).filter((at) => !at.includes('?')))
        t.is(canonicalPath(path), undefined, path)
  t.is(canonicalPath('/100%25'), '/100%')
  t.is(canonicalPath('/%25zz'), '/%zz')
  t.is(canonicalPath('/%2525'), undefined)
  t.is(canonicalPath('/%25252e'), undefined)
})

test('policy.md Paths and hosts: a byte that is no UTF-8 by itself is refused as Envoy sent it', (t) => {
  for (const value of values.filter((byte) => byte >= 0x80)) {
    for (const put of placings) {
      const bytes = Buffer.from(put(String.fromCharCode(value)), 'latin1')
      t.is(canonicalPath(`/a/${bytes.toString('utf8')}`), undefined, String(value))
    }
  }
})

test('policy.md Paths and hosts (N242): overlong, truncated, surrogate and out-of-range UTF-8 is refused', (t) => {
  const broken = [
    ...['%c0%ae', '%C0%AE', '%c0%af', '%c0%80', '%c1%9c', '%c1%bf'],
    ...['%e0%80%ae', '%e0%80%af', '%e0%9f%bf', '%f0%80%80%ae', '%f0%8f%bf%bf'],
    ...['%f8%80%80%80%ae', '%fc%80%80%80%80%ae', '%fe', '%ff', '%80', '%bf'],
    ...['%ed%a0%80', '%ed%bf%bf', '%ed%a0%80%ed%b0%80', '%f4%90%80%80', '%f5%80%80%80'],
    ...['%c3', '%e2%82', '%f0%9f%98', '%c3%28', '%e2%28%a1', '%c3x', 'é%a9'],
  ]
  for (const part of broken)
    for (const path of everywhere(part).filter((at) => !at.includes('?')))
      t.is(canonicalPath(path), undefined, path)
  t.is(canonicalPath('/caf%C3%A9'), '/café')
  t.is(canonicalPath('/%e2%82%ac/%f0%9f%98%80'), '/€/😀')
})

test('policy.md Paths and hosts (N236, N237): dot and empty segments are refused, look-alikes are not', (t) => {
  const refused = ['//', '///', '//a', '/a//', '/a//b', '/.', '/..', '/./', '/../', '/a/.']
  for (const path of [...refused, '/a/..', '/a/./b', '/a/../b', '/..//', '/./a', '//evil/a'])
    t.is(canonicalPath(path), undefined, path)
  for (const path of ['/', '/a', '/a/', '/...', '/.a', '/..a', '/a.', '/a..', '/a/.../b', '/.well'])
    t.is(canonicalPath(path), path, path)
})

test('policy.md Paths and hosts: malformed %, fragments, parameters and what does not begin with / are refused', (t) => {
  const refused = ['/%', '/a%', '/%2', '/%zz', '/%u002e', '/% 41', '/%-1', '/a#b', '/#', '/a?b#c']
  const others = ['/a;b', '/;', '/a/;x=1/b', '/..;/a', '/a\\b', '', 'a', '*', '?', 'http://h/a']
  for (const path of [...refused, ...others, '/a b', '/a\tb', '/a\0', '/a\r\nb', '/a?b\x7f'])
    t.is(canonicalPath(path), undefined, JSON.stringify(path))
})

test('policy.md Paths and hosts: the query is no part of the path and is not judged as one', (t) => {
  t.is(canonicalPath('/a?x=/../;%2e%2e\\'), '/a')
  t.is(canonicalPath('/?//'), '/')
  t.is(canonicalPath('/a/?'), '/a/')
  t.is(canonicalPath('/a%3Fb?c'), '/a?b')
})

test('policy.md Paths and hosts: any text at all is judged as the prose says', (t) => {
  const pieces = [
    '/',
    '.',
    '..',
    '//',
    '%',
    '%25',
    '%2',
    '2e',
    '%2f',
    '%5C',
    '%c3%a9',
    '%c0',
    '%ae',
  ]
  const piece = fc.oneof(
    fc.constantFrom(
      ...pieces,
      '?',
      '#',
      ';',
      '\\',
      'é',
      '😀',
      '%20',
      '%3f',
      '%3b',
      '%41',
      'a',
      '~',
    ),
    fc.integer({ min: 0, max: 255 }).map((value) => `%${spelled(value)}`),
    fc.string({ maxLength: 3, unit: 'binary' }).filter((text) => text.isWellFormed()),
  )
  const path = fc.array(piece, { maxLength: 8 }).map((parts) => `/${parts.join('')}`)
  fc.assert(
    fc.property(path, (text) => canonicalPath(text) === oracle(text)),
    { numRuns: 5000 },
  )
  t.pass()
})

test('policy.md Paths and hosts: what was refused stays refused behind any taken prefix', (t) => {
  const refused = ['..', '%2e%2e', '%2f', '%252e', ';', '%00', '%c0%ae', '\\']
  for (const prefix of ['/a/', '/%20/', '/é/', '/%C3%A9/', '/a!b/']) {
    t.not(canonicalPath(prefix), undefined)
    for (const part of refused) t.is(canonicalPath(prefix + part), undefined, prefix + part)
  }
})
