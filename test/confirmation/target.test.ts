/** Request targets: RFC 3986 §6.2.2 and §6.2.3 to the letter, held against a reader that is written another way. */

import { isIPv6 } from 'node:net'
import test from 'ava'
import fc from 'fast-check'
import { normaliseRequestPath, readTarget } from '../../src/confirmation/target.ts'
import { removeDots } from '../fuzz/slow/uri.ts'

const base = 'https://api.example'

/** Each row is one target in several spellings. */
const equivalences: { readonly [title: string]: readonly (readonly string[])[] } = {
  'RFC 3986 §6.2.2.1: scheme and host compare without case': [
    [`${base}/a`, 'HTTPS://api.example/a', 'hTTps://API.EXAMPLE/a', 'https://Api.Example/a'],
    ['http://[2001:db8::a]/', 'http://[2001:DB8::A]/'],
  ],
  'RFC 3986 §6.2.3: the default port, and an empty port, are none': [
    [`${base}/a`, `${base}:443/a`, `${base}:/a`],
    ['http://api.example/a', 'http://api.example:80/a', 'http://api.example:/a'],
    ['https://[::1]/', 'https://[::1]:443/', 'https://[::1]:/'],
  ],
  'RFC 3986 §6.2.3: an empty path is /': [
    [base, `${base}/`, `${base}:443`, `${base}?x`, `${base}#x`, `${base}/?x#y`],
  ],
  'RFC 3986 §6.2.2.2: an escaped unreserved character is the character': [
    [`${base}/~a`, `${base}/%7Ea`, `${base}/%7ea`, `${base}/~%61`, `${base}/%7e%61`],
    [`${base}/a-b._0Z`, `${base}/%61%2D%62%2e%5f%30%5A`],
  ],
  'RFC 3986 §6.2.2.1: escapes compare without case': [
    [`${base}/a%2Fb`, `${base}/a%2fb`],
    [`${base}/%C3%A9`, `${base}/%c3%a9`, `${base}/%c3%A9`],
    [`${base}/%3B%3D`, `${base}/%3b%3d`],
  ],
  'RFC 3986 §6.2.2.3: dot segments are removed, escaped ones too': [
    [`${base}/a/g`, `${base}/a/b/c/./../../g`, `${base}/a/b/c/%2e/%2E%2e/../g`, `${base}/a/./g`],
    [`${base}/a/`, `${base}/a/.`, `${base}/a/b/..`, `${base}/a/b/../`, `${base}/a/./`],
    [`${base}/`, `${base}/.`, `${base}/..`, `${base}/../..`, `${base}/a/..`, `${base}/%2e%2e`],
    [`${base}/mid/6`, `${base}/mid/content=5/../6`],
    [`${base}/a/b`, `${base}/a//../b`],
    [`${base}//a`, `${base}/.//a`],
  ],
  'RFC 9449 §4.3: query and fragment are left out': [
    [
      `${base}/a`,
      `${base}/a?x=1`,
      `${base}/a#y`,
      `${base}/a?/../b`,
      `${base}/a#?/..`,
      `${base}/a?`,
    ],
  ],
}
for (const [title, rows] of Object.entries(equivalences)) {
  test(title, (t) => {
    for (const [first = '', ...others] of rows) {
      const target = readTarget(first)
      t.not(target, undefined, first)
      t.deepEqual(`${target?.origin}${target?.path}`, first.endsWith('e') ? `${first}/` : first)
      for (const other of others) t.deepEqual(readTarget(other), target, other)
    }
  })
}

const differences: { readonly [title: string]: readonly (readonly [string, string])[] } = {
  'a trailing slash is another path': [[`${base}/a`, `${base}/a/`]],
  'an escaped slash is no slash': [
    [`${base}/a/b`, `${base}/a%2Fb`],
    [`${base}/a/..%2Fb`, `${base}/b`],
  ],
  'an escape is taken once': [
    [`${base}/%7E`, `${base}/%257E`],
    [`${base}/%2e`, `${base}/%252e`],
  ],
  'escaped reserved characters are other characters': [
    [`${base}/a;b`, `${base}/a%3Bb`],
    [`${base}/a?b`, `${base}/a%3Fb`],
    [`${base}/a#b`, `${base}/a%23b`],
    [`${base}/a+b`, `${base}/a%20b`],
  ],
  'a path has its case': [[`${base}/a`, `${base}/A`]],
  'another port is another origin': [
    [`${base}/`, `${base}:80/`],
    [`${base}/`, `${base}:8443/`],
    [`${base}:8443/`, `${base}:8444/`],
    ['http://api.example/', 'http://api.example:443/'],
  ],
  'another scheme is another origin': [[`${base}/`, 'http://api.example/']],
  'another host is another origin': [
    [`${base}/`, 'https://api.example.evil.example/'],
    [`${base}/`, 'https://api.example./'],
    ['https://127.0.0.1/', 'https://0x7f.1/'],
    ['https://127.0.0.1/', 'https://2130706433/'],
    ['https://[::1]/', 'https://[0:0:0:0:0:0:0:1]/'],
  ],
  'empty segments are kept': [
    [`${base}/a/b`, `${base}/a//b`],
    [`${base}/a`, `${base}//a`],
    [`${base}/a/`, `${base}/a//`],
  ],
  'three dots are a name': [[`${base}/a`, `${base}/.../a`]],
}
for (const [title, pairs] of Object.entries(differences)) {
  test(`RFC 3986 §6.2.2: ${title}`, (t) => {
    for (const [one, other] of pairs) {
      const [left, right] = [readTarget(one), readTarget(other)]
      t.not(left, undefined, one)
      t.not(right, undefined, other)
      t.notDeepEqual(left, right, `${one} ${other}`)
    }
  })
}

const refusals: { readonly [title: string]: readonly string[] } = {
  'userinfo (RFC 9110 §4.2.4)': [
    'https://u@api.example/',
    'https://u:p@api.example/',
    'https://@h/',
  ],
  'a backslash': [`${base}\\a`, 'https:\\\\api.example/', `${base}/a\\b`, `${base}/?\\`],
  'a tab, a newline or a space anywhere': [
    ...[`${base}/a\tb`, 'https://api\n.example/', `${base}/\n`, `${base}/a\r`, 'ht\ttps://h/'],
    ...[` ${base}`, `${base} `, `${base}/a b`, '\thttps://h/', `${base}/?a\n`, `${base}/#\t`],
  ],
  'the other control bytes': [`${base}/\0`, `${base}/\x7f`, '\x01https://h/'],
  'no slashes, one or three': [
    'https:api.example/',
    'https:/api.example/',
    'https:///api.example/',
  ],
  'a host in full width, or with marks to be mapped': [
    'https://ａｐｉ.example/',
    'https://api。example/',
    'https://api\u00ad.example/',
    'https://ſ.example/',
  ],
  'characters that are not ASCII': [`${base}/é`, 'https://é.example/', `${base}/?é`, `${base}/#é`],
  'characters that RFC 3986 §3.3 does not have': [...'<>"{}|^`'].map((char) => `${base}/a${char}b`),
  'malformed escapes': ['%', '%2', '%zz', '%%41', '%2 f', '%u0041'].map((bad) => `${base}/${bad}`),
  'escapes in the host': ['https://api%2eexample/', 'https://%61pi.example/', 'https://h%00/'],
  'IPv6 that is unclosed, zoned, named or of the future': [
    ...[
      'https://[::1/',
      'https://::1/',
      'https://::1]/',
      'https://[]/',
      'https://[fe80::1%25en0]/',
    ],
    ...['https://[v1.a]/', 'https://[api.example]/', 'https://[::1]a/', 'https://[::1]:x/'],
  ],
  'brackets in a path': [`${base}/[`, `${base}/a]`],
  'other schemes': ['ftp', 'ws', 'wss', 'file', 'javascript', 'httpss', 'xhttps', 'urn'].map(
    (scheme) => `${scheme}://api.example/`,
  ),
  'relative references': ['', '/', '/a', 'a', '//api.example/', 'api.example', '?x', '#y', '.'],
  'no host': ['https://', 'https:///', 'https://:443/', 'https://?x', 'http://#'],
  'ports that are no numbers, or too long': ['x', '-1', '443443', '4 43', '443:443', '+443'].map(
    (port) => `${base}:${port}/`,
  ),
  'more than 8 KiB': [`${base}/${'a'.repeat(9 * 1024)}`, `${base}/?${'a'.repeat(9 * 1024)}`],
}
for (const [title, texts] of Object.entries(refusals)) {
  test(`target.ts: ${title}: refused, not repaired`, (t) => {
    for (const text of texts) t.is(readTarget(text), undefined, JSON.stringify(text))
  })
}

test('target.ts: 8 KiB are read, and no more', (t) => {
  const longest = `${base}/`.padEnd(8192, 'a')
  t.not(readTarget(longest), undefined)
  t.is(readTarget(`${longest}a`), undefined)
})

test('RFC 9112 §3.2: only the origin form of a request has a path', (t) => {
  for (const text of ['*', '', 'api.example:443', `${base}/a`, 'a/b', '?a', '/a b', '/é', '/%zz'])
    t.is(normaliseRequestPath(text), undefined, text)
  t.is(normaliseRequestPath('/a/%7e%2f?x=/../#'), '/a/~%2F')
  t.is(normaliseRequestPath('/a#b'), undefined)
})

const unreserved = new Set(
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~'.split(''),
)
const hexDigits = '0123456789abcdefABCDEF'

/** Character by character: escapes in one spelling, or undefined at the first that must not be there. */
function spelled(text: string, marks: string): string | undefined {
  let out = ''
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (char !== '%') {
      if (!unreserved.has(char) && !marks.includes(char)) return undefined
      out += char
      continue
    }
    const [high, low] = [text.charAt(i + 1), text.charAt(i + 2)]
    if (high === '' || low === '' || !hexDigits.includes(high) || !hexDigits.includes(low))
      return undefined
    const decoded = Buffer.from(high + low, 'hex').toString('latin1')
    out += unreserved.has(decoded) ? decoded : `%${high}${low}`.toUpperCase()
    i += 2
  }
  return out
}

function only(text: string, chars: string): boolean {
  return [...text].every((char) => chars.includes(char))
}

/** The same contract by cutting and scanning, without one regular expression. */
function oracle(text: string): { origin: string; path: string } | undefined {
  if (text.length > 8192) return undefined
  const [beforeFragment = '', ...fragments] = text.split('#')
  const [hierarchy = '', ...queries] = beforeFragment.split('?')
  const rest = [...queries, ...fragments].join('?')
  if (spelled(rest, "!$&'()*+,;=:@/?[]") === undefined) return undefined
  const mark = hierarchy.indexOf('://')
  const scheme = hierarchy.slice(0, Math.max(mark, 0)).toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') return undefined
  const after = hierarchy.slice(mark + 3)
  const slash = after.indexOf('/')
  const authority = (slash === -1 ? after : after.slice(0, slash)).toLowerCase()
  const path = spelled(slash === -1 ? '/' : after.slice(slash), "!$&'()*+,;=:@/")
  if (path === undefined) return undefined
  const hostEnd = authority.startsWith('[') ? authority.indexOf(']') + 1 : authority.indexOf(':')
  const host = hostEnd === -1 ? authority : authority.slice(0, hostEnd)
  const port = authority.slice(host.length)
  const literal = host.startsWith('[')
  const name = literal ? host.slice(1, -1) : host
  const chars = literal ? '0123456789abcdef:.' : '0123456789abcdefghijklmnopqrstuvwxyz._-'
  if (name === '' || !only(name, chars)) return undefined
  if (port !== '' && (port[0] !== ':' || port.length > 6 || !only(port.slice(1), '0123456789')))
    return undefined
  if (Number(port.slice(1)) > 65_535 || (port.startsWith(':0') && port !== ':0')) return undefined
  if (literal && !isIPv6(name)) return undefined
  if (!literal && name.replace(/\.$/, '').split('.').includes('')) return undefined
  if (fragments.length > 1) return undefined
  const usual = port === ':' || port === (scheme === 'https' ? ':443' : ':80')
  return { origin: `${scheme}://${host}${usual ? '' : port}`, path: removeDots(path) }
}

const segment = fc.constantFrom(
  ...['a', 'B', '.', '..', '', '%2e', '%2E%2e', '.%2e', '...', '~', '%7e', '%7E', '%2f', '%2F'],
  ...['a:b', '@', ';x=1', '%C3%a9', '%41', '%25', '%252e', 'é', '%', '%z1', '\\', 'a b', '[', '\t'],
)
const rare = <T>(usual: T[], others: T[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )
const uri = fc
  .tuple(
    rare(['https', 'HTTPS', 'http', 'Http'], ['ftp', '', 'https:', ' https']),
    rare(['://'], [':', ':/', ':///', ':\\\\', '//']),
    rare(['h', 'H.Example', 'a-b_c.d', '[::1]', '[A::b]'], ['', 'u@h', '[::1', '[x]', 'é', '%61']),
    rare(['', ':', ':80', ':443', ':8443'], [':x', ':123456', ':0443', ':-1', '::']),
    fc.array(segment, { maxLength: 6 }).map((parts) => parts.map((part) => `/${part}`).join('')),
    rare(['', '?', '?a=b/../c', '?%2f'], ['?é', '?%', '?[', '? ']),
    rare(['', '#', '#a?b/..'], ['#%', '#\n', '#a#b']),
  )
  .map((parts) => parts.join(''))

test('RFC 3986 §6.2.2, §6.2.3: any target is read as the hand-written reader does', (t) => {
  let accepted = 0
  fc.assert(
    fc.property(uri, (text) => {
      const expected = oracle(text)
      if (expected !== undefined) accepted++
      t.deepEqual(readTarget(text), expected, JSON.stringify(text))
    }),
    { numRuns: 20_000 },
  )
  t.true(accepted > 500, `${accepted}`)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), fc.nat(40), (junk, at) => {
      const text = `https://api.example/a/%7e/../b?c#d`
      const mixed = text.slice(0, at) + junk + text.slice(at)
      t.deepEqual(readTarget(mixed), oracle(mixed), JSON.stringify(mixed))
    }),
    { numRuns: 5000 },
  )
})

test('RFC 3986 §6.2: what is normalised stays as it is, and agrees with the path of the request', (t) => {
  fc.assert(
    fc.property(uri, (text) => {
      const target = readTarget(text)
      if (target === undefined) return
      t.deepEqual(readTarget(target.origin + target.path), target)
      t.is(normaliseRequestPath(`${target.path}?x`), target.path)
    }),
    { numRuns: 5000 },
  )
})

test('WHATWG URL §4.4 changes nothing more in what is accepted than RFC 3986 §6.2 does', (t) => {
  let read = 0
  fc.assert(
    fc.property(uri, (text) => {
      const target = readTarget(text)
      const url = URL.parse(text)
      if (target === undefined || url === null) return
      read++
      t.is(url.origin, new URL(target.origin).origin, text)
      t.deepEqual(readTarget(url.origin + url.pathname)?.path, target.path, text)
    }),
    { numRuns: 10_000 },
  )
  t.true(read > 200, `${read}`)
})

test('WHATWG URL §4.4 repairs these to an accepted target, and here each is refused', (t) => {
  const target = 'https://api.example/a/b'
  const insert = (at: number, text: string) => target.slice(0, at) + text + target.slice(at)
  const places = Array.from({ length: target.length + 1 }, (_, i) => i)
  const repairs = [
    ...['\t', '\n', '\r'].flatMap((char) => places.map((at) => insert(at, char))),
    ...[' ', '\0', '\x1f'].flatMap((char) => [char + target, target + char]),
    ...['https:api.example/a/b', 'https:/api.example/a/b', 'https:\\\\api.example\\a\\b'],
    ...['https:///api.example/a/b', 'https://api.example\\a/b', 'https://api.example/a\\b'],
    ...['https://ａｐｉ.example/a/b', 'https://api%2Eexample/a/b', 'https://api。example/a/b'],
    ...['https://@api.example/a/b', 'https://:@api.example/a/b', 'https://api.example:000443/a/b'],
  ]
  for (const text of repairs) {
    t.is(URL.parse(text)?.href, target, JSON.stringify(text))
    t.is(readTarget(text), undefined, JSON.stringify(text))
  }
})
