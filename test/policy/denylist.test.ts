import test from 'ava'
import fc from 'fast-check'
import { maxDenylistLength, parseDenylist } from '../../src/policy/denylist.ts'
import { placeOf } from '../support/policy-text.ts'

const issuer = 'https://idp.example'
const job = 'spiffe://mesh.example/ns/batch/sa/job-42'
const x5t = 'bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2'
const until = Number.POSITIVE_INFINITY
const forms =
  'The forms: { issuer, jti }, { issuer, subject, before? }, { presenter, before? }, { certificate }, { issuer, key }.'

const revocationsOf = (text: string) => {
  const result = parseDenylist(text)
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join('\n'))
  return result.entries.map(({ revocation }) => JSON.parse(JSON.stringify(revocation)))
}

/** `line:column message` of every problem, with the advice after ` = `. */
const problemsOf = (text: string): string[] => {
  const result = parseDenylist(text)
  if (result.ok) return []
  return result.problems.map(
    ({ line, column, message, advice }) =>
      `${line}:${column} ${message}${advice === '' ? '' : ` = ${advice}`}`,
  )
}

test('policy.md, Revocation entries: every kind of entry is read', (t) => {
  const before = Date.UTC(2026, 10, 22, 10) / 1000
  const text = `
# what is revoked
- { issuer: ${issuer}, jti: 4f9c }
- { issuer: ${issuer}, subject: batch-42, before: 2026-11-22T10:00:00Z }
- { issuer: ${issuer}, subject: batch-43 }
- { presenter: ${job}, before: 2026-11-22T10:00:00Z }
- { presenter: ${job} }
- { certificate: ${x5t} }
- { issuer: ${issuer}, key: key-1 }
`
  t.deepEqual(revocationsOf(text), [
    { issuer, jti: '4f9c' },
    { issuer, subject: 'batch-42', before },
    { issuer, subject: 'batch-43' },
    { presenter: job, before },
    { presenter: job },
    { certificate: x5t },
    { issuer, key: 'key-1' },
  ])
})

test('an entry of a denylist hits for as long as it is listed', (t) => {
  const result = parseDenylist(`- { issuer: a, subject: b, before: 2001-01-01T00:00:00Z }`)
  t.deepEqual(
    result.ok && result.entries.map((each) => each.until),
    [until],
    'also one whose before is long gone',
  )
})

test('nothing revoked is an empty list, JSON is YAML', (t) => {
  t.deepEqual(revocationsOf('[]'), [])
  t.deepEqual(revocationsOf('[] # nothing'), [])
  t.deepEqual(revocationsOf(JSON.stringify([{ issuer, jti: '\u{1f525}' }])), [
    { issuer, jti: '\u{1f525}' },
  ])
})

for (const [text, seconds] of [
  ['2026-11-22T10:00:00Z', Date.UTC(2026, 10, 22, 10) / 1000],
  ['2026-11-22T11:30:00+01:30', Date.UTC(2026, 10, 22, 10) / 1000],
  ['2026-11-22T09:00:00-01:00', Date.UTC(2026, 10, 22, 10) / 1000],
  // iat has no fractions: a token of the second that has begun may be older than the point in time.
  ['2026-11-22T10:00:00.001Z', Date.UTC(2026, 10, 22, 10, 0, 1) / 1000],
  ['2099-01-01T00:00:00Z', Date.UTC(2099, 0, 1) / 1000],
] as const) {
  test(`policy.md: before ${text} is that second, quoted or not, a fraction rounded up`, (t) => {
    for (const value of [text, `"${text}"`])
      t.deepEqual(revocationsOf(`- { presenter: ${job}, before: ${value} }`), [
        { presenter: job, before: seconds },
      ])
  })
}

for (const before of [
  '2026-11-22',
  '2026-11-22 10:00:00Z',
  '2026-11-22T10:00:00',
  '2026-02-30T10:00:00Z',
  '2026-11-22T25:00:00Z',
  'now',
  '12026-11-22T10:00:00Z',
]) {
  test(`policy.md: before ${before} is no time`, (t) => {
    const text = `- { presenter: ${job}, before: "${before}" }`
    t.deepEqual(problemsOf(text), [
      `${placeOf(text, `"${before}"`)} must be a time such as 2026-11-22T10:00:00Z`,
    ])
  })
}

const oneOf = 'must have exactly one of jti, subject, key, presenter, certificate'
const broken: readonly (readonly [entry: string, at: string, problem: string])[] = [
  [`{ issuer: ${issuer} }`, '{', `${oneOf} = ${forms}`],
  [`{ issuer: ${issuer}, jti: a, subject: b }`, '{', `${oneOf} = ${forms}`],
  [`{ presenter: ${job}, certificate: ${x5t} }`, '{', `${oneOf} = ${forms}`],
  ['{}', '{', `${oneOf} = ${forms}`],
  ['{ jti: a }', '{', `\`jti\` needs the \`issuer\` that it is of = ${forms}`],
  ['{ subject: a }', '{', `\`subject\` needs the \`issuer\` that it is of = ${forms}`],
  ['{ key: a }', '{', `\`key\` needs the \`issuer\` that it is of = ${forms}`],
  [`{ issuer: iss, presenter: ${job} }`, 'iss,', `does not go with \`presenter\` = ${forms}`],
  [`{ issuer: iss, certificate: ${x5t} }`, 'iss,', `does not go with \`certificate\` = ${forms}`],
  [
    '{ issuer: a, jti: b, before: 2026-11-22T10:00:00Z }',
    '2026',
    `does not go with \`jti\` = ${forms}`,
  ],
  [
    '{ issuer: a, key: b, before: 2026-11-22T10:00:00Z }',
    '2026',
    `does not go with \`key\` = ${forms}`,
  ],
  [
    `{ certificate: ${x5t}, before: 2026-11-22T10:00:00Z }`,
    '2026',
    `does not go with \`certificate\` = ${forms}`,
  ],
  ['{ issuer: a, jty: b }', 'jty', 'unknown key `jty` = Did you mean `jti`?'],
  [
    '{ issuer: a, jti: "" }',
    '""',
    'must not be empty = List at least one: an empty list would mean nothing.',
  ],
  [
    '{ issuer: "", jti: b }',
    '""',
    'must not be empty = List at least one: an empty list would mean nothing.',
  ],
  ['{ issuer: a, jti: 42 }', '42', 'must be a string, not a number'],
  ['{ issuer: a, jti: null }', 'null', 'must be a string, not empty'],
  ['{ issuer: a, jti: [b] }', '[b]', 'must be a string, not a list'],
  ['{ presenter: job-42 }', 'job-42', 'must be a SPIFFE ID'],
  ['{ presenter: "spiffe://mesh.example/ns/batch/*" }', '"spiffe', 'must be a SPIFFE ID'],
  ['{ presenter: "spiffe://MESH.example/a" }', '"spiffe', 'must be a SPIFFE ID'],
  [`{ certificate: ${x5t}= }`, x5t, 'must be an x5t#S256: 43 characters of base64url'],
  [
    `{ certificate: ${x5t.slice(1)} }`,
    x5t.slice(1),
    'must be an x5t#S256: 43 characters of base64url',
  ],
  ['job-42', 'job-42', 'must be a map, not a string'],
  ['{ issuer: a, jti: b, jti: c }', 'jti: c', 'Map keys must be unique = Keep one of the two.'],
  ['{ issuer: a, __proto__: b }', '__proto__', 'the key `__proto__` is not taken anywhere'],
]
for (const [entry, at, problem] of broken) {
  test(`policy.md, Revocation entries: ${entry} is a problem with place and advice, and no entry is taken`, (t) => {
    const text = `- { issuer: good, jti: good }\n- ${entry}\n`
    const start = text.indexOf('\n') + 1
    const place = placeOf(text.slice(start), at).replace('1:', '2:')
    t.deepEqual(problemsOf(text), [`${place} ${problem}`])
  })
}

for (const dead of ['spiffe://mesh.example', 'spiffe://mesh.example/a/../b']) {
  test(`X509-SVID §5.2: ${dead} is no workload: an entry for it could never hit`, (t) => {
    t.is(problemsOf(`- { presenter: "${dead}" }`).length, 1)
  })
}

test('all problems are told at once, in the order of the text', (t) => {
  const text = `- { jti: a }\n- { presenter: b }\n- { issuer: c, jti: d, other: e }\n`
  t.deepEqual(
    problemsOf(text).map((problem) => problem.split(':')[0]),
    ['1', '2', '3'],
  )
})

for (const [what, text, problem] of [
  ['an empty file', '', 'the denylist is empty = Write [] while nothing is revoked.'],
  ['comments alone', '# none\n', 'the denylist is empty = Write [] while nothing is revoked.'],
  ['a map', 'issuer: a', 'must be a list, not a map'],
  [
    'two documents',
    '[]\n---\n[]\n',
    'more than one YAML document = One file is one document: remove the `---`.',
  ],
  [
    'a million characters and more',
    `${'#'.repeat(maxDenylistLength)}\n`,
    'the denylist is over 1 MiB = Split it, or remove what is not used.',
  ],
] as const) {
  test(`threats J185: ${what} is no denylist`, (t) => {
    t.deepEqual(problemsOf(text), [`1:1 ${problem}`])
  })
}

test('20 000 entries are taken, one more is not', (t) => {
  const entries = Array.from({ length: 20_001 }, (_, i) => `{"issuer":"a","jti":"${i}"}`)
  t.is(revocationsOf(`[${entries.slice(1).join(',')}]`).length, 20_000)
  t.deepEqual(problemsOf(`[${entries.join(',')}]`), ['1:1 is too large (at most 20000)'])
})

test('alias bombs and nesting without end are problems like any other', (t) => {
  const bomb = `- &a { issuer: a, jti: b }\n${'- *a\n'.repeat(30)}`
  t.true(problemsOf(bomb).length > 0)
  t.true(problemsOf('['.repeat(50_000)).length > 0)
  t.true(problemsOf('- !!js/function x').length > 0)
})

test('threats J185: a denylist that is cut off anywhere gives whole entries or none, and never throws', (t) => {
  const text = `- { issuer: ${issuer}, jti: one }\n- { issuer: ${issuer}, jti: two }\n`
  for (let length = 0; length < text.length; length++) {
    const result = parseDenylist(text.slice(0, length))
    const found = result.ok ? result.entries.length : 0
    t.true(found < 2 || text.slice(0, length).includes('jti: two }'), `${length}`)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (junk) => {
      parseDenylist(junk)
      parseDenylist(text + junk)
    }),
  )
})
