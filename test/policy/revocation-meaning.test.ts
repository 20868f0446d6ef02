import test from 'ava'
import { parsePolicy } from '../../src/policy/parse.ts'
import { edit, placeOf, problemsOf, twoIssuers } from '../support/policy-text.ts'

const marker = '  routes:\n'
const withRevocation = (revocation: string) =>
  edit(twoIssuers, marker, `  revocation: ${revocation}\n${marker}`)
const stream = (over = '') =>
  `{ issuer: https://idp.example, audience: https://meshbind.example, keys: { url: https://idp.example/ssf }${over} }`
const noOne =
  'Name the stream as the issuer whose tokens it may revoke, or give its transmitter the `issuer` of one.'

const fine = [
  '{ denylist: { file: revoked.yaml } }',
  '{ denylist: { file: ../lists/revoked.yaml } }',
  '{ statusList: { hosts: [idp.example] } }',
  '{ statusList: { hosts: [idp.example, 127.0.0.1, "[::1]"], maxStale: 24h } }',
  '{ statusList: { hosts: [idp.example], maxStale: 30s, keys: { file: status.json } } }',
  '{ statusList: { hosts: [idp.example], keys: { url: https://idp.example/k, caFile: ca.pem } } }',
  `{ events: { corp: ${stream()} } }`,
  `{ events: { any-name: ${stream()} } }`,
  '{ events: { corp: { issuer: https://ssf.example, audience: a, keys: { discovery: true } } } }',
  `{ denylist: { file: r.yaml }, statusList: { hosts: [a] }, events: { corp: ${stream()} } }`,
]
for (const revocation of fine) {
  test(`policy.md, revocation: ${revocation} is taken without a word`, (t) => {
    t.deepEqual(problemsOf(withRevocation(revocation)), [])
    t.true(parsePolicy(withRevocation(revocation)).ok)
  })
}

const empty = 'must not be empty'
const aHost = 'must be one lower-case host, without port'
const oneSource = 'must have exactly one of file, url, discovery'
const list = (more: string) => `{ statusList: { hosts: [idp.example], ${more} } }`
const hosts = (host: string) => `{ statusList: { hosts: ["${host}"] } }`
const events = (name: string, text: string) => `{ events: { ${name}: ${text} } }`
const audience = 'audience: a, keys: { file: k.json }'

/** The revocation section, the piece at which the problem is placed, the message. */
const broken: readonly (readonly [revocation: string, at: string, message: string])[] = [
  ['{}', '{}', 'must have at least one of denylist, statusList, events'],
  ['{ denylist: {} }', '{} }', 'required key `file` is missing'],
  ['{ denylist: { file: "" } }', '""', empty],
  ['{ denylist: { file: a, files: b } }', 'files', 'unknown key `files`'],
  ['{ denyList: { file: a } }', 'denyList', 'unknown key `denyList`'],
  ['{ denylist: [a] }', '[a]', 'must be a map, not a list'],
  ['{ statusList: { hosts: [] } }', '[] }', empty],
  ...[
    'IDP.example',
    'idp.example:443',
    'https://idp.example',
    '*.idp.example',
    '*',
    'idp.example.',
    'a b',
    '.',
    '::1',
  ].map((host) => [hosts(host), `"${host}"`, aHost] as const),
  [list('maxStale: 25h'), '25h', 'must be at most 24h'],
  [list('maxStale: 86401s'), '86401s', 'must be at most 24h'],
  [list('keys: {}'), '{} }', oneSource],
  [list('keys: { file: a, url: https://a.example }'), '{ file: a', oneSource],
  [
    list('keys: { discovery: true }'),
    'true',
    'has no issuer to start from here: write url or file',
  ],
  [
    list('keys: { url: "http://a.example/k" }'),
    '"http',
    'must be https (http is for loopback alone)',
  ],
  [list('keys: { file: a, caFile: b }'), 'b }', 'goes with url or discovery, not with file'],
  [events('corp', `{ ${audience} }`), '{ audience', 'required key `issuer` is missing'],
  [
    events('corp', '{ issuer: a, keys: { file: k.json } }'),
    '{ issuer: a',
    'required key `audience` is missing',
  ],
  [events('corp', '{ issuer: a, audience: b }'), '{ issuer: a', 'required key `keys` is missing'],
  [events('corp', '{ issuer: a, audience: b, keys: {} }'), '{} }', oneSource],
  [events('Corp', stream()), 'Corp', 'the name'],
  [events('"a/b"', stream()), '"a/b"', 'the name'],
  [
    events('ssf', `{ issuer: https://ssf.example, ${audience} }`),
    'ssf:',
    '`ssf` can revoke no issuer’s tokens',
  ],
  [
    events('ssf', `{ issuer: https://idp.example/, ${audience} }`),
    'ssf:',
    '`ssf` can revoke no issuer’s tokens',
  ],
]
for (const [revocation, at, message] of broken) {
  test(`policy.md, revocation: ${revocation} is refused at its place`, (t) => {
    const text = withRevocation(revocation)
    const start = text.indexOf('  revocation:')
    const place = placeOf(text.slice(start), at).replace(
      /^1:/,
      `${text.slice(0, start).split('\n').length}:`,
    )
    const problems = problemsOf(text)
    t.is(problems.length, 1, problems.join('\n'))
    t.true(
      problems[0]?.startsWith(`${place} ${message}`),
      `${place} ${message}, not ${problems[0]}`,
    )
  })
}

test('policy.md, events: a stream that can revoke nobody’s tokens is told what to do', (t) => {
  const result = parsePolicy(
    withRevocation(events('ssf', `{ issuer: https://ssf.example, ${audience} }`)),
  )
  t.deepEqual(result.ok ? [] : result.problems.map(({ advice }) => advice), [noOne])
})

test('policy.md, revocation: all its problems are told at once', (t) => {
  const text = withRevocation(
    `{ statusList: { hosts: [A, B], maxStale: 25h, keys: {} }, events: { ssf: { issuer: a, ${audience} } } }`,
  )
  t.is(problemsOf(text).length, 5)
})
