import test from 'ava'
import fc from 'fast-check'
import { assertControls, canonicalOnly, without, withToken, world } from '../support/paths-world.ts'

test(
  'N236-N243: the controls: public is open, the rest is allowed with a bound token only',
  assertControls,
)

const disguises: { readonly [id: string]: readonly string[] } = {
  'N236: empty segments': ['//admin', '///', '//', '/public//admin', '/public//', '//public/a'],
  'N237: dot segments': [
    ...[
      '/public/../admin',
      '/public/./../admin',
      '/public/..',
      '/public/.',
      '/./admin',
      '/../admin',
    ],
    ...['/public/a/../../admin', '/public/../public/../admin', '/healthz/../admin', '/.', '/..'],
  ],
  'N238: encoded dots, slashes and backslashes, once and twice': [
    ...['/public/%2e%2e/admin', '/public/%2E%2E/admin', '/public/.%2e/admin', '/public/%2e./admin'],
    ...[
      '/public/..%2fadmin',
      '/public%2f..%2fadmin',
      '/public/%5c..%5cadmin',
      '/public\\..\\admin',
    ],
    ...['/public/%252e%252e/admin', '/public/%252e%252e%252fadmin', '/%61dmin', '/%2561dmin'],
    ...['/public/%25252e%25252e/admin', '/public/..\\admin', '/public/..%5Cadmin', '/%2Fadmin'],
  ],
  'N239: path parameters': [
    ...['/admin;x=1', '/public;x/../admin', '/public/..;/admin', '/public/;/../admin', '/;/admin'],
    ...['/public/..;a=b/admin', '/admin;.css', '/admin%3b.css', '/public/%3B/admin', '/admin/;'],
  ],
  'N240: fragments': [
    '/admin#x',
    '/public/#/../admin',
    '/public/a#b',
    '/#',
    '/admin?x#y',
    '/public/#',
  ],
  'N241: control bytes, raw and encoded': [
    ...[
      '/admin\0',
      '/public/a\0/../admin',
      '/admin\r\nx: y',
      '/admin\x7f',
      '/admin\t',
      '/public/\n',
    ],
    ...['/admin%00', '/public/%00', '/public/a%0d%0ab', '/public/%7f', '/public/%1F', '/admin%09'],
  ],
  'N242: overlong and broken UTF-8': [
    ...['/public/%c0%ae%c0%ae/admin', '/public/%c0%ae%c0%ae%c0%afadmin', '/public/%e0%80%ae/x'],
    ...['/public/%f0%80%80%ae/x', '/public/%ff', '/public/%c3', '/public/%ed%a0%80', '/public/%80'],
  ],
  'N243: targets in absolute, authority and asterisk form': [
    ...['http://payments.mesh.example/public/a', 'https://payments.mesh.example/public/a'],
    ...[
      'http://open.mesh.example/public/a',
      'payments.mesh.example:443',
      '*',
      'public/a',
      '?public',
    ],
    ...['//open.mesh.example/public/a', 'admin', './admin', '%2fadmin', ' /public/a', '\\admin'],
  ],
}

for (const [title, paths] of Object.entries(disguises)) {
  test(`${title}: path_not_canonical, with and without a token, by every rule`, async (t) => {
    for (const path of paths) {
      t.is(await without({ path }), canonicalOnly, JSON.stringify(path))
      t.is(await withToken({ path }), canonicalOnly, JSON.stringify(path))
      t.is(await withToken({ path, method: 'POST' }), canonicalOnly, JSON.stringify(path))
    }
  })
}

test('N242: bytes that are no UTF-8 are refused as they come from Envoy', async (t) => {
  const marker = '/public/QQQ/x'
  const { encodeCheckRequest } = await import('../support/check-request.ts')
  for (const broken of [
    [0xc0, 0xae, 0x2f],
    [0xff, 0xfe, 0x2f],
    [0xe9, 0x41, 0x41],
  ]) {
    const bytes = encodeCheckRequest({ method: 'GET', path: marker })
    const at = bytes.lastIndexOf('QQQ')
    t.true(at > 0)
    t.true((await world.askBytes(bytes)).allowed)
    Buffer.from(broken).copy(bytes, at)
    t.is((await world.askBytes(bytes)).reason, canonicalOnly)
  }
})

/**
 * Every path that some lenient server may make of a target: it decodes, cuts, collapses and resolves, again and again.
 * The first `?` as it was sent ends the path for all of them (RFC 3986 §3.4); one that decoding brings may be anything.
 */
function readings(target: string): Set<string> {
  const seen = new Set([target.replace(/\?.*$/s, '')])
  const steps: readonly ((text: string) => string)[] = [
    (text) => text.replace(/[?#].*$/s, ''),
    (text) => text.replace(/[\0\r\n].*$/s, ''),
    (text) => text.replace(/;[^/]*/g, ''),
    (text) => text.replaceAll('\\', '/'),
    (text) => text.replace(/\/{2,}/g, '/'),
    (text) =>
      text.replace(/%([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16))),
    (text) => text.replace(/\/\.(?=\/|$)/g, ''),
    (text) => text.replace(/(?:\/(?!\.\.(?:\/|$))[^/]*)?\/\.\.(?=\/|$)/, ''),
  ]
  for (const text of seen) for (const step of steps) seen.add(step(text))
  return seen
}

const pieces = fc.constantFrom(
  ...[
    '/',
    '//',
    '/public/',
    '/public',
    'admin',
    '/admin',
    '..',
    '/..',
    '/../',
    '.',
    '/./',
    ';',
    '#',
  ],
  ...[
    '?',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '\\',
    '%252e',
    '%252f',
    '%3b',
    '%23',
    '%3f',
    '%00',
    '%25',
    'x',
  ],
)

test('N236-N242: no target that any server may read as protected is allowed without a token', async (t) => {
  let protectedOnes = 0
  let allowed = 0
  const target = fc
    .array(pieces, { minLength: 1, maxLength: 7 })
    .map((parts) => `/public/${parts.join('')}`)
  await fc.assert(
    fc.asyncProperty(target, async (path) => {
      const verdict = await without({ path })
      if (verdict.startsWith('allow')) allowed++
      if (![...readings(path)].some((reading) => /^\/admin(?:\/|$)/.test(reading))) return
      protectedOnes++
      t.false(verdict.startsWith('allow'), path)
    }),
    { numRuns: 1500, examples: [['/public/../admin'], ['/public/%2e%2e%2fadmin'], ['/public/x']] },
  )
  // The examples alone make two: how many more there are is chance.
  t.true(protectedOnes >= 2 && allowed > 10, `${protectedOnes} ${allowed}`)
})
